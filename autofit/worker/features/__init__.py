"""Features of a frozen backbone: computed once for each image and cached.

extraction.py      the pass before the first epoch
extractor.py       runs the backbone in micro-batches and appends the features to the cache
batch_autotune.py  finds the fastest micro-batch of an extraction
feature_cache.py   finds the rows of a run in the cache, and those that are missing
head_solver.py     solves the head to its optimum; head_losses.py its loss, head_rows.py the rows it reads
head_strength.py   chooses the strength of the penalty, photo_scores.py judges by photos
out_of_fold.py     what heads say of rows they have not seen,
                   neighbours.py what the most similar rows say, alike_rows.py which are nearly equal
shard_extraction.py fills the cache alone, shard after shard, beside other processes
features_record.py where the rows of a run are; extraction_time.py an extraction under a time budget
"""
