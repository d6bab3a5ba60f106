"""What `autofit check` finds of planted faults: wrong labels, equal images across splits, copies that were changed.

From a folder of photos with one subfolder for each class, folders are made in which a share of the labels is wrong and
a share of the images is there twice, in training and validation. The figures are means over seeds. Nothing is
downloaded: the photos and the weights are given.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from machine import machine, today, versions
from PIL import Image, ImageEnhance, ImageOps

import autofit
from autofit.api.data_report import DataReport
from autofit.runs.data_findings import ImageGroup

WRONG_SHARE, TWICE_SHARE, CHANGED_SHARE, LOOKED_AT_SHARE = 0.05, 0.03, 0.03, 0.08
LEAST_PLANTED = 10


def _half(image: Image.Image) -> Image.Image:
    return image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.LANCZOS)


def _cropped(image: Image.Image) -> Image.Image:
    """Without a hundredth of its width and height on each side."""
    across, down = max(1, round(image.width / 100)), max(1, round(image.height / 100))
    return image.crop((across, down, image.width - across, image.height - down))


def _cropped_by_a_tenth(image: Image.Image) -> Image.Image:
    across, down = round(image.width / 10), round(image.height / 10)
    return image.crop((across, down, image.width - across, image.height - down))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half": _half,
    "saved again": lambda image: image,
    "cropped": _cropped,
    "mirrored": ImageOps.mirror,
    "cropped by a tenth": _cropped_by_a_tenth,
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.6),
}
"""How a copy is changed; each is then saved as a JPEG of quality 75."""


class Planted:
    """A folder with `train` and `val`, and what is wrong in it.

    Args:
        photos: by class.
        folder: a new one.
        seed: of what is planted.
    """

    def __init__(self, photos: dict[str, list[Path]], folder: Path, seed: int) -> None:
        self._folder, self._draw = folder, random.Random(seed)
        listed = [(name, path) for name, paths in photos.items() for path in paths]
        wrong = {*self._draw.sample(range(len(listed)), self._count(listed, WRONG_SHARE))}
        self.files: list[Path] = []
        self.wrong: set[str] = set()
        for number, (name, path) in enumerate(listed):
            given = self._draw.choice([other for other in photos if other != name]) if number in wrong else name
            target = self._place("val" if number % 5 == 0 else "train", given, f"{number:06d}{path.suffix}")
            shutil.copyfile(path, target)
            self.files.append(target)
            self.wrong |= {str(target)} if number in wrong else set()
        self.twice = self._twins(TWICE_SHARE, "", shutil.copyfile)
        self.changed = {
            change: self._twins(CHANGED_SHARE, change, lambda path, target, how=how: _save(how, path, target))
            for change, how in CHANGES.items()
        }

    def _twins(self, share: float, change: str, copy: Callable[[Path, Path], object]) -> set[frozenset[str]]:
        """Put copies of some training images into the validation of the same class."""
        of_training = [path for path in self.files if path.parent.parent.name == "train"]
        pairs = set()
        for path in self._draw.sample(of_training, self._count(self.files, share)):
            name = f"{path.stem}-{change or 'twice'}{'.jpg' if change else path.suffix}"
            target = self._place("val", path.parent.name, name)
            copy(path, target)
            pairs.add(frozenset((str(path), str(target))))
        return pairs

    def _count(self, of: list[object] | list[Path] | list[tuple[str, Path]], share: float) -> int:
        return max(LEAST_PLANTED, round(share * len(of)))

    def _place(self, *parts: str) -> Path:
        target = self._folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target


def _save(how: Callable[[Image.Image], Image.Image], path: Path, target: Path) -> None:
    with Image.open(path) as image:
        how(image.convert("RGB")).save(target, "JPEG", quality=75)


def judged(report: DataReport, planted: Planted) -> dict[str, float]:
    """The shares of what was planted that were found, and how much else was told."""
    doubts = report.findings.doubts or []
    originals = [doubt.image.path in planted.wrong for doubt in doubts if "-" not in Path(doubt.image.path).stem]
    first = round(LOOKED_AT_SHARE * len(originals))
    told = [
        doubt.image.path in planted.wrong for doubt in report.likely_wrong if "-" not in Path(doubt.image.path).stem
    ]
    same, alike = (_pairs(groups) for groups in (report.duplicates, report.near_duplicates))
    copies = set().union(planted.twice, *planted.changed.values())
    found = {f"copies: {change}": len(pairs & alike) / len(pairs) for change, pairs in planted.changed.items()}
    return {
        "wrong labels in the first 8 %": sum(originals[:first]) / len(planted.wrong),
        "told as wrong, of all": len(told) / max(1, len(originals)),
        "of these planted": sum(told) / max(1, len(told)),
        "equal images": len(planted.twice & same) / len(planted.twice),
        **found,
        "other pairs told as alike": len({frozenset(map(_original, pair)) for pair in alike - copies if _apart(pair)}),
    }


def _pairs(groups: list[ImageGroup]) -> set[frozenset[str]]:
    paths = ([image.path for image in group.images] for group in groups)
    return {frozenset((one, other)) for group in paths for place, one in enumerate(group) for other in group[:place]}


def _original(path: str) -> str:
    return Path(path).stem.partition("-")[0]


def _apart(pair: frozenset[str]) -> bool:
    """Whether two images are not copies of one: also two copies of one may be told as alike."""
    return len({_original(path) for path in pair}) > 1


def main() -> None:
    """Plant, look, judge, and print a line of JSON for each folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, nargs="+", help="folders with a subfolder for each class")
    parser.add_argument("--backbone", default="MobileNet")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--most", type=int, default=5000, help="images of a folder")
    parser.add_argument("--no-labels", action="store_true")
    asked = parser.parse_args()
    packages = versions(sys.executable, ("tensorflow", "keras", "numpy", "scipy", "pillow"))
    print(json.dumps({"machine": machine(), "versions": packages, "date": today()}), flush=True)
    network = {"backbone": asked.backbone, "weights": asked.weights, "image_size": asked.image_size}
    for folder in asked.photos:
        rows, seconds, images = [], [], 0
        for seed in range(asked.seeds):
            with tempfile.TemporaryDirectory() as work:
                planted = Planted(_photos(folder, asked.most, seed), Path(work), seed)
                begun = time.monotonic()
                report = autofit.check(work, find_wrong_labels=not asked.no_labels, **network)
                seconds.append(time.monotonic() - begun)
                images = report.findings.images
                rows.append(judged(report, planted))
        means = {name: round(statistics.mean(row[name] for row in rows), 3) for name in rows[0]}
        print(
            json.dumps({"folder": folder.name, "images": images, "seconds": [round(s, 1) for s in seconds], **means}),
            flush=True,
        )


def _photos(folder: Path, most: int, seed: int) -> dict[str, list[Path]]:
    """The photos of each class, at most so many in all."""
    listed = sorted(path for path in folder.rglob("*") if path.is_file())
    kept = sorted(random.Random(seed).sample(listed, min(most, len(listed))))
    classes = sorted({path.parent.name for path in kept})
    return {name: [path for path in kept if path.parent.name == name] for name in classes}


if __name__ == "__main__":
    main()
