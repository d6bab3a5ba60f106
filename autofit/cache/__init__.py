"""The cache on disk: what was computed of an image once is used again, by the next epoch and by the next run.

    identity.py      what makes an image the same image as last time
    entry_format.py  the files of an entry: a record, rows, and an index
    entry.py         an entry that is open for reading or writing
    store.py         the folder of all entries, and its limit

Nothing in here knows TensorFlow: a row is bytes of one shape.
"""
