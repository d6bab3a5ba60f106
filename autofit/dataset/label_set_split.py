"""Splits images with any number of labels, so that training and validation have about the same share of each. Pure.

Iterative stratification after Sechidis, Tsoumakas and Vlahavas, On the Stratification of Multi-Label Data (ECML PKDD
2011, section 3.2): the label with the fewest remaining images is distributed first; each image goes to the side that
needs most images of this label.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from autofit.dataset.split import Classes, drawn_order, held_out_count


class _Dealer:
    """Distributes images over validation and training.

    Args:
        set_of: the labels of each image, in the order in which the images are distributed.
        share: the share for validation.
    """

    def __init__(self, set_of: dict[str, frozenset[str]], share: float) -> None:
        self._set_of = set_of
        self.left = Counter(label for labels in set_of.values() for label in labels)
        self.waiting = defaultdict[str, list[str]](list)
        for path, labels in set_of.items():
            for label in labels:
                self.waiting[label].append(path)
        wanted = {label: held_out_count(count, share) if count > 1 else 0 for label, count in self.left.items()}
        self._wanted = wanted, {label: count - wanted[label] for label, count in self.left.items()}
        self._room = [len(set_of) * share, len(set_of) * (1 - share)]
        self._dealt: set[str] = set()
        self.held: set[str] = set()

    def deal(self, path: str, label: str | None = None) -> None:
        """Give an image, unless done, to the side that needs most images of a label, or without a label most images."""
        if path in self._dealt:
            return
        lacks = [(wanted[label] if label else 0, room) for wanted, room in zip(self._wanted, self._room, strict=True)]
        side = 0 if lacks[0] > lacks[1] else 1
        self._dealt.add(path)
        if side == 0:
            self.held.add(path)
        self._room[side] -= 1
        for each in self._set_of[path]:
            self.left[each] -= 1
            self._wanted[side][each] -= 1


def split_label_sets(
    classes: Classes, sets: Sequence[frozenset[str]], share: float, seed: int
) -> tuple[Classes, Classes]:
    """Split images into training and validation.

    Args:
        classes: paths by the number of their set.
        sets: the labels of each set.
        share: the share for validation, 0 < share < 1. A label of two or more images is on both sides, unless its
            images were distributed for rarer labels.
        seed: the seed of the split: images are distributed in the order of a hash of seed and path.
    """
    set_of = {path: sets[number] for number, paths in enumerate(classes) for path in paths}
    dealer = _Dealer({path: set_of[path] for path in drawn_order(set_of, seed)}, share)
    while rarest := min(((count, label) for label, count in dealer.left.items() if count > 0), default=None):
        for path in dealer.waiting[rarest[1]]:
            dealer.deal(path, rarest[1])
    for path in drawn_order(set_of, seed):
        dealer.deal(path)
    held = dealer.held
    training = [[path for path in paths if path not in held] for paths in classes]
    return training, [[path for path in paths if path in held] for paths in classes]
