"""The declarations of the options about the data: its table, and the images that are held out."""

from __future__ import annotations

from autofit.config.option import OF_DATA, OF_TABLES, Option
from autofit.config.option_checks import validation_source
from autofit.config.validators import flag

DATA = (
    Option(
        "validation",
        0.2,
        "The images to validate on: a share of each class, a folder, or a CSV or JSON file.",
        "In Python also a DataFrame. Where the data has images for validation (`val/`, a column `split`), a share "
        "above 0 means these.",
        check=validation_source,
        commands=OF_DATA,
        metavar="SHARE|DIR|CSV",
    ),
    Option(
        "test",
        None,
        "The images to judge the finished model by: a folder, or a CSV or JSON file.",
        "In Python also a DataFrame. They are never trained on. Default: those that the data has (`test/`, a column "
        "`split`), if any.",
        commands=OF_DATA,
        fields=(),
        metavar="DIR|CSV",
    ),
    Option(
        "path_column",
        None,
        "The column of a table that holds the paths.",
        "Default: `path`, or another usual name.",
        commands=OF_TABLES,
        fields=(),
        metavar="NAME",
    ),
    Option(
        "label_column",
        None,
        "The column of a table that holds the labels.",
        "With `multi_label` also `a,b,c`, or a list in Python: the columns of 0 and 1, one for each label. Default: "
        "`label`, or another usual name.",
        commands=OF_TABLES,
        fields=(),
        metavar="NAME",
    ),
    Option(
        "group_column",
        None,
        "The column of a table that says which images belong together, such as those of one patient.",
        "Those with the same value are all for training or all for validation, and in one fold where the head's "
        "penalty is chosen by cross-validation. An image without a value belongs to no other.",
        commands=OF_DATA,
        fields=(),
        metavar="NAME",
    ),
    Option(
        "weight_column",
        None,
        "The column of a table that says how much each image counts in the training loss: a number of 0 or more.",
        "Only ratios matter. All figures count images alike. A `tf.data.Dataset` of images, labels and weights has its "
        "own.",
        commands=OF_DATA,
        fields=(),
        metavar="NAME",
    ),
    Option(
        "multi_label",
        False,
        "An image may have any number of labels, also none; each class then has a probability of its own.",
        "The labels of an image are in one column, separated by semicolons, bars, commas or blanks, or as lists; or "
        "each label has a column of 0 and 1. In Python also an array `(n, classes)` of 0 and 1 beside images in "
        "memory.",
        check=flag,
        commands=OF_DATA,
        cli_type=bool,
    ),
    Option(
        "images_in",
        None,
        "The folder that a table's relative paths are relative to.",
        "Default: that of the table, or the one in it where the images are.",
        commands=OF_TABLES,
        fields=(),
        metavar="DIR",
    ),
)
