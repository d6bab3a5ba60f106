"""What a label means, the order of classes, and labels that may be one class. Pure."""

from __future__ import annotations

import ast
import json
import math
import operator
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from autofit.dataset.split_words import Role, split_name, split_role
from autofit.errors import UserError
from autofit.printable import first_of

Label = str | int

_WHOLE: Final = re.compile(r"-?(0|[1-9][0-9]*)")
_DECIMAL: Final = re.compile(r"(-?[0-9]+)\.([0-9]+)")
_UNLABELLED: Final = frozenset({"unlabeled", "unlabelled", "nolabel", "notlabeled", "notlabelled", "unannotated"})
_TO_PREDICT: Final = frozenset({"predict", "pred", "holdout", "eval", "evaluation", "inference"})
_MISSING: Final = frozenset({"na", "n/a", "#n/a", "<na>", "null", "?", "-"})
_IMAGE_PATH: Final = re.compile(r".*\.(jpe?g|png|tiff?|bmp|gif|webp)", re.IGNORECASE | re.DOTALL)
_LISTED: Final = re.compile("[|;,；，、]")  # noqa: RUF001 - as `label_sets.SEPARATORS`
_MARKED: Final = re.compile("[|;,；，、+/&]")  # noqa: RUF001 - the same and others
_NO_NAMES: Final = frozenset({"set()", "frozenset()", "()"})
_TRUTHS: Final[Mapping[str, bool]] = {"0": False, "1": True, "false": False, "true": True}
SHOWN_PAIRS = 5


def label_of(value: object) -> Label:
    """The label that a value of a table means: text without blanks around it, or a whole number; 1.0 is 1.

    Raises:
        ValueError: the value is no label; the message says what it is instead.
    """
    if isinstance(value, str):
        return _label_of_text(value.strip())
    if is_truth(value):
        return int(bool(value))
    try:
        return operator.index(value)  # type: ignore[arg-type]  # raises TypeError if it is not a whole number
    except TypeError:
        pass
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise ValueError(_problem(labels_of_object(value) if isinstance(value, dict) else value))


def is_truth(value: object) -> bool:
    """Whether a value is True or False, of Python's or of NumPy's, which is no whole number."""
    return type(value).__name__ in {"bool", "bool_"}


def other_notation(label: str, names: Collection[str]) -> str | None:
    """The class that a label means where training has all classes in another notation; None if there is none."""
    return other_notations([label], names).get(label)


def other_notations(labels: Iterable[str], names: Collection[str]) -> dict[str, str]:
    """The classes that labels mean where training has all classes in another notation, of those labels that mean one.

    A DataFrame's True is the class 1, and in the CSV file that pandas writes of it the text `True`. Where all classes
    are whole numbers, 7 is 00007, as a folder may be called of which a table has the number. Letters may be composed in
    another way, as those of folders from a Mac are.
    """
    truths = {_TRUTHS.get(name.casefold()): name for name in names} if len(names) == len(_TRUTHS) / 2 else {}
    if truths.keys() == {False, True}:
        return {label: truths[_TRUTHS[label.casefold()]] for label in labels if label.casefold() in _TRUTHS}
    are_numbers = all(map(str.isdecimal, names))
    form = _without_zeros if are_numbers else composed
    alike = defaultdict[str, list[str]](list)
    for name in names:
        alike[form(name)].append(name)
    if are_numbers and len(alike) < len(names):
        return {}
    meant = {label: alike[form(label)] for label in labels if form(label) in alike}
    return {label: names[0] for label, names in meant.items() if len(names) == 1}


def composed(name: str) -> str:
    """A name with its letters composed, as tables mostly have them; archives of a Mac have them in parts."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def share_a_name(some: Iterable[str], others: Iterable[str]) -> bool:
    """Whether a name is among both, however its letters are composed."""
    return not set(map(composed, some)).isdisjoint(map(composed, others))


def _without_zeros(label: str) -> str:
    """A whole number without zeros before it; any other label as it is."""
    return label.lstrip("0") or "0" if label.isdecimal() else label


def class_order(names: Iterable[str]) -> list[str]:
    """Class names in order: as numbers if all are whole numbers, else as text."""
    names = list(names)
    return sorted(names, key=int) if names and all(map(_WHOLE.fullmatch, names)) else sorted(names)


def look_alikes(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Class names that differ only in case, blanks, leading zeros, letters that look the same, or unseen signs."""
    alike = defaultdict[str, list[str]](list)
    for name in names:
        bare = "".join(_seen(name).split()).casefold()
        alike[bare.lstrip("0") or "0" if bare.isdecimal() else bare].append(name)
    return [tuple(same) for same in alike.values() if len(same) > 1]


def _seen(name: str) -> str:
    """A name without what nobody sees: how letters are composed, their width, and signs such as a zero-width blank."""
    if name.isascii():
        return name
    return "".join(sign for sign in unicodedata.normalize("NFKC", name) if unicodedata.category(sign) != "Cf")


def look_alike_warning(names: Iterable[str]) -> str | None:
    """One line on class names that are `look_alikes`; None if there are none."""
    pairs = [" and ".join(map(repr, same)) for same in look_alikes(names)]
    if not pairs:
        return None
    shown = first_of(pairs, SHOWN_PAIRS)
    how = "case or blanks" if shown.isascii() else "case, blanks or how letters are composed"
    how = "zeros before a number" if shown.replace(" and ", "").replace("'", "").isdecimal() else how
    return f"warning: these classes differ only in {how}: {shown}; rename those that are one class"


def unlabelled_warning(names: Collection[str]) -> str | None:
    """One line on class names such as `unlabeled`, which labelling tools give to images without a class; or None."""
    bare = {name: re.sub("[^a-z]", "", name.casefold()) for name in names}
    meant = [repr(name) for name in names if bare[name] in _UNLABELLED or name.casefold() in _MISSING]
    if not meant or len(names) == len(meant):
        return None
    return f"warning: {first_of(meant, SHOWN_PAIRS)} is trained on as a class: leave these images out if they have none"


def held_out_warning(names: Collection[str]) -> str | None:
    """One line on a class folder that is called as one of images held out, such as `alien_test`, as no other; or None.

    With two folders either may be meant so. `valid` beside `invalid` is a class.
    """
    role_of = {name: role for name in names if (role := _held_out_role(name))}
    if len(role_of) != 1 or len(names) < 3:  # noqa: PLR2004 - two classes and one that is none
        return None
    ((held, role),) = role_of.items()
    if any(name.lower().endswith(held.lower()) for name in names if name != held):
        return None
    return (
        f"warning: {held!r} is trained on as a class: if its images are for the {role}, move it elsewhere, or give it "
        f"with {role}= if it has class folders"
    )


def _held_out_role(name: str) -> Role | None:
    """The split for which images are held out in a folder of this name; None if it has no such name."""
    if re.sub("[^a-z]", "", name.casefold()) in _TO_PREDICT:
        return "test"
    role = split_role(name)
    return None if role == "train" else role


def several_labels(names: Collection[str]) -> str | None:
    """A class name that lists others, such as `cat|dog` beside `cat` and `dog`; None if there is none."""
    known = set(names)
    for name in names:
        parts = [part.strip() for part in _LISTED.split(name)]
        if len(parts) > 1 and known.issuperset(parts):
            return name
    return None


def names_of_others(names: Collection[str]) -> list[str]:
    """The names that consist of other names with a mark between, such as `cat+dog` beside `cat` and `dog`."""
    known = frozenset(names)
    parts = {name: [part.strip() for part in _MARKED.split(name)] for name in names}
    return [name for name, each in parts.items() if len(each) > 1 and known.issuperset(each)]


def is_text_of_names(text: str) -> bool:
    """Whether a text is a set or a tuple of names, as Python writes it into a table."""
    bare = text.removeprefix("frozenset(")
    if bare.startswith(("('", '("')):
        has_several = "', " in bare or '", ' in bare
        return bare.endswith(("',)", '",)')) or (has_several and bare.endswith(("')", '")')))
    is_set = bare.startswith(("{'", '{"')) and bare.endswith(("'}", '"}', "'})", '"})')) and ":" not in bare
    return is_set or text in _NO_NAMES


def object_of(text: str) -> dict[object, object] | None:
    """The object that a text is, as JSON or as Python writes it into a table; None if it is another text."""
    if not (text.startswith("{") and text.endswith("}")):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
        return value if isinstance(value, dict) else None
    return None


def labels_of_object(value: Mapping[object, object]) -> list[object]:
    """The labels in an object that says nothing but them, as `{"choices": ["cat", "dog"]}` of Label Studio does.

    Raises:
        ValueError: it is another object.
    """
    for held in value.values() if len(value) == 1 else ():
        if isinstance(held, list) and all(isinstance(each, str) for each in held):
            return held
    raise ValueError(
        f"the label {value!r:.60} is an object: give its name alone, or with multi_label=True a list of names or one "
        "column a label"
    )


def joined_labels_warning(names: Collection[str]) -> str | None:
    """One line on class names that consist of other class names, such as `rust scab`; None if there are none.

    Names with blanks are not refused, as lists with other separators are: `black white` may be one class beside `black`
    and `white`. Nor are `cat|bird` and `bird|dog` refused, whose parts are no classes themselves, nor lists of numbers.
    """
    parts = {name: _parts(name) for name in names}
    uses = Counter(part for each in parts.values() for part in set(each))
    joined = [
        name
        for name, each in parts.items()
        if len(each) > 1 and (all(part in parts or part.isdecimal() for part in each) or _is_shared(name, each, uses))
    ]
    joined += [name for name in names_of_others(names) if name not in joined]
    if not joined:
        return None
    shown = first_of([repr(name) for name in joined], SHOWN_PAIRS)
    return (
        f"warning: these labels are made of others: {shown}; each is a class of its own: give multi_label=True if an "
        "image may have several labels"
    )


def _parts(name: str) -> list[str]:
    return [part.strip() for part in re.split("[|;]" if re.search("[|;]", name) else r"\s", name) if part.strip()]


def _is_shared(name: str, parts: list[str], uses: Mapping[str, int]) -> bool:
    """Whether a part between separators is also a part of another label."""
    return re.search("[|;]", name) is not None and any(uses[part] > 1 for part in parts)


def refuse_no_classes(names: Collection[str]) -> None:
    """Refuse labels that are no classes: one lists others, all are paths of images, such as masks, or end in a split.

    Raises:
        UserError: the labels are of this kind.
    """
    if several := several_labels(names):
        raise UserError(
            f"the label {several!r:.60} names several classes: give multi_label=True if an image may have several "
            "labels"
        )
    if len(names) > 1 and all(map(_IMAGE_PATH.fullmatch, names)):
        raise UserError(
            f"the labels are paths of images, such as {min(names)!r:.60}, as of masks: name the column of the classes "
            "with label_column="
        )
    if pair := _of_splits(names):
        raise UserError(
            f"the labels end in the names of splits, such as {pair[0]!r:.60} and {pair[1]!r:.60}: give a table "
            "with the columns path,label,split"
        )


def _of_splits(names: Collection[str]) -> tuple[str, str] | None:
    """Two labels that are one class in two splits, such as `cat train` and `cat test`, where all end so; else None."""
    met: dict[str, str] = {}
    pair = None
    for name in sorted(names):
        label, blank, last = name.rpartition(" ")
        meant = split_name(last)
        if not blank or meant is None or meant.others:
            return None
        if (other := met.setdefault(label, name)) != name:
            pair = pair or (other, name)
    return pair


def _label_of_text(text: str) -> Label:
    if not text:
        raise ValueError("the label is empty")
    if text.casefold() == "nan":
        raise ValueError(_problem(text))
    if (held := object_of(text)) is not None:
        raise ValueError(_list_problem(labels_of_object(held)))
    if (text.startswith("[") and text.endswith("]")) or is_text_of_names(text):
        raise ValueError(_list_problem(text))
    if number := _DECIMAL.fullmatch(text):
        if number[2].strip("0"):
            raise ValueError(_problem(text))
        return str(int(number[1]))
    return text


def is_missing(value: object) -> bool:
    """Whether a value of a table is missing: None, NaN, or pandas's NA, which cannot be compared."""
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or type(value).__name__ in {"NAType", "NaTType"}
    )


def _problem(value: object) -> str:
    if isinstance(value, list | tuple | set):
        return _list_problem(value)
    if is_missing(value) or value == "nan":
        return f"the label is missing ({value!r})"
    return f"the label is {value!r}: give text or a whole number"


def _list_problem(value: object) -> str:
    return f"the label {value!r:.60} is a list: give multi_label=True if an image may have several labels"
