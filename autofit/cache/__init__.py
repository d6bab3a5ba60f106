"""The cache on disk: features and pixels of images, stored for the next epoch and the next run.

    identity.py      how an image is recognised
    entry_format.py  the files of an entry: a record, rows, and an index
    entry.py         an entry that is open for reading or writing
    store.py         all entries, and their limit
    feature_rows.py  the rows of many images, in whichever entries they are
    shards.py        images cut into shards by their identities
    shard_entry.py   the entry of a shard: there whole, and once
    moved_shard.py   the entry of a shard on its way to another machine; known_images.py what needs not come
    folder.py        the folder in which they are
    compiled_kernels.py   the folder beside them for what CUDA compiles

Nothing here imports TensorFlow: a row is an array of a fixed shape.
"""
