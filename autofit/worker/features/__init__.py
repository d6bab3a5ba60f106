"""The features that a frozen backbone makes of images.

extraction.py      the pass before the first epoch: finds and extracts the features of all images
extractor.py       runs the backbone over blocks of images
batch_autotune.py  the micro-batch size of the extraction
feature_cache.py   where the features of a run are in the cache
"""
