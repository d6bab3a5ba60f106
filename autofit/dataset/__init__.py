"""The data set of a run: found once, in the parent process, and the same in every attempt.

    scan.py     the user's data -> ImageIndex: joins the modules below
    sources.py  refuses data that is neither a folder nor a table, by its name
    to_predict.py  the images to predict: paths, folders, patterns, images in memory
    picture_files.py  PIL images: upright, palettes and colour spaces resolved
    given_lists.py  lists of paths and labels that a user gives, checked
    array_kinds.py  which objects are arrays; array_labels.py  the labels of images in memory
    image_table.py  images that were in memory, as a table of their files
    arrays.py   images in memory or in a dataset object, written to files; number_scale.py what their numbers mean
    dataset_objects.py  the images and labels of a tf.data.Dataset or a PyDataset
    layout.py   where a folder has its class folders: in itself, in splits, in a wrapper
    class_level.py  whether the folders of one level are classes; inside.py the direct content of a folder
    side_folders.py  folders that describe the images beside them, as masks do
    split_words.py  names of splits (pure)
    lower_folders.py  folders inside class folders that show that these are no classes (pure)
    mask_files.py  images that are named as masks or versions of others (pure)
    folder.py   a folder with one subfolder for each class -> Found
    flat_images.py  images without class folders: the table or archive beside them
    containers.py  files that hold images in another form: what to do with each, by its name (pure)
    found.py    Found: the images and other content of a folder or table
    asked.py    the options about a table: its columns and the folder of its images
    split_columns.py  what the cells of a column of splits say (pure)
    columns.py  which columns hold paths, labels, splits, groups and weights
    table_form.py  a table's encoding and separator
    bare_list.py  tables without column names: a path and a label in each line (pure)
    named_list.py  such tables whose paths are names without suffix
    mark_columns.py  columns of 0 and 1, or -1 and 1, one for each label (pure)
    listed_places.py  where the files of a table are
    missing_files.py  listed files that do not exist, or are no regular files
    labels.py   what a label means, the order of classes (pure)
    class_weights.py  weights of classes, by name or number (pure)
    label_sets.py  images with any number of labels: what a cell means, and the sets that images have (pure)
    listing.py  a CSV file, lists or a DataFrame, image by image; gather.py sorts them into classes -> Found
    own_list.py  the list that a run has written of its images
    json_table.py  the objects in a file of JSON, each with its line; json_listing.py  the images that they list
    joined_lists.py  the lists of CUB-200, joined by the id of an image
    table_files.py  a table of images in a file, of any of these kinds
    groups.py   images that belong together, and the column of a table that says so (pure)
    sample_weights.py  how much each image counts, and the column of a table that says so (pure)
    group_findings.py  the lines about groups on one or both sides of a split (pure)
    held_out.py the validation and test images that are given, or that the data has
    mixed_splits.py splits that paths name and the data does not (pure)
    split_lists.py  lists of splits beside the data, which are not followed
    contents.py classes whose files only look like images
    findings.py the lines about what was found (pure)
    labelled.py images with the classes of a run that has ended, to evaluate its model on
    labelled_sets.py   the same, with any number of labels
    split.py    Found -> training and validation, in order (pure)
    label_set_split.py the same, so that each of several labels has its share (pure)
    group_split.py the same, with all images of a group on one side (pure)
    table.py    the lines of a CSV file, each with its number
    index.py    ImageIndex, and samples.csv
    duplicates.py  groups of equal images; near_pairs.py pairs of similar ones among very many (pure)
    label_doubts.py  which images are probably labelled wrong
    spread.py   images in an order in which each part has all classes in proportion (pure)

Paths are str everywhere, as the operating system returns them: a million Path objects would take too much memory.
"""

from __future__ import annotations

from autofit.dataset.arrays import are_images, images_in_files, stand_in
from autofit.dataset.asked import asked_of
from autofit.dataset.dataset_objects import class_names_of
from autofit.dataset.held_out import HeldOut
from autofit.dataset.index import ImageIndex
from autofit.dataset.scan import scan

__all__ = ["HeldOut", "ImageIndex", "are_images", "asked_of", "class_names_of", "images_in_files", "scan", "stand_in"]
