"""Files that hold images, or tables of them, in another form: what to do with each, by its name. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_UNPACK: Final = "is an archive: unpack it and give the folder"
_UNPACK_TABLE: Final = "is a packed table: unpack it and give the table"
_ARRAYS: Final = (
    "is a file of arrays: load its images and labels, and give autofit.run(images, labels), or autofit.run(paths, "
    "labels) if it holds labels alone"
)
_DESCRIBES: Final = (
    "describes images and lists none: give their folder with one subfolder a class, or a CSV file with the columns "
    "path,label"
)
ARCHIVES: Final = ("zip", "tar", "tgz", "gz", "bz2", "xz", "7z", "rar", "zst")
_REMEDIES: Final = {
    **dict.fromkeys(ARCHIVES, _UNPACK),
    **dict.fromkeys(("xlsx", "xls", "xlsm", "ods", "numbers"), "is a spreadsheet: save it as CSV and give that"),
    **dict.fromkeys(
        ("parquet", "feather"),
        "is a table of pandas: read it with pandas.read_parquet or read_feather, and give the DataFrame",
    ),
    **dict.fromkeys(("yaml", "yml", "xml"), _DESCRIBES),
    **dict.fromkeys(("mdb", "lmdb", "rec", "arrow"), "is a data base of images: write them to one folder a class"),
    **dict.fromkeys(("npz", "npy", "h5", "hdf5", "mat", "pkl", "pickle"), _ARRAYS),
    **dict.fromkeys(
        ("tfrecord", "tfrecords", "tfrec"),
        "is a file of TensorFlow: read it as a tf.data.Dataset of (image, label), and give that",
    ),
    "arff": "is a table of Weka: save it as CSV and give that",
}
SUFFIXES: Final = frozenset(_REMEDIES)
_BESIDE: Final = (".json", ".md", ".txt", ".yaml", ".yml", ".xml")
"""How the names of files end that describe others beside them."""

_WITHOUT_SUFFIX: Final = (
    (re.compile(r"(data|test)_batch(_[0-9]+)?(\.bin)?"), _ARRAYS),  # CIFAR-10
    (re.compile(r".*[-.]idx[0-9]-ubyte(\.gz)?"), _ARRAYS),  # MNIST
    (re.compile(r".*\.tfrecord-[0-9]+-of-[0-9]+"), _REMEDIES["tfrecord"]),
    (re.compile(r"[^.]*-[0-9]{5}-of-[0-9]{5}"), _REMEDIES["tfrecord"]),  # ImageNet
    (re.compile(r".*\.(csv|tsv|txt|jsonl?|ndjson)\.(gz|bz2|xz|zst|zip)", re.IGNORECASE), _UNPACK_TABLE),
)


def remedy_of(name: str) -> str | None:
    """What a file is by its name, and what to do with it, as `is an archive: unpack it ...`; None for other files."""
    for pattern, remedy in _WITHOUT_SUFFIX:
        if pattern.fullmatch(name):
            return remedy
    return _REMEDIES.get(name.rpartition(".")[2].lower() if "." in name else "")


def remedy_of_most(names: Sequence[str]) -> str | None:
    """The same of the first file that holds images, with its name, if most files are of its kind.

    Those that describe others do not count.
    """
    remedies = {name: remedy_of(name) for name in names if not name.lower().endswith(_BESIDE)}
    name, first = next(((name, remedy) for name, remedy in remedies.items() if remedy), ("", None))
    is_most = 2 * sum(remedy == first for remedy in remedies.values()) > len(remedies)
    return f"{name} {first}" if first and is_most else None
