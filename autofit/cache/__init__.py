"""The cache on disk: features and pixels of images, stored for the next epoch and the next run.

    identity.py      how an image is recognised
    entry_format.py  the files of an entry: a record, rows, and an index
    entry.py         an entry that is open for reading or writing
    store.py         all entries, and the limit on their size; places.py their folders
    feature_rows.py  the rows of many images, from one or several entries
    shards.py        divides images into shards by their identities
    shard_entry.py   writes the entry of a shard, which appears whole and is committed once
    moved_shard.py   sends the entry of a shard to another machine; known_images.py lists the images it need not send
    folder.py        the folder of the cache
    compiled_kernels.py   the folder beside it for the kernels that CUDA compiles

Nothing here imports TensorFlow: a row is an array of a fixed shape.
"""
