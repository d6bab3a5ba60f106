"""Features of a frozen backbone: computed once for each image and cached.

extraction.py      the pass before the first epoch
extractor.py       runs the backbone in micro-batches and appends the features to the cache
finite_features.py refuses features that are no numbers
batch_autotune.py  finds the fastest micro-batch size of an extraction
feature_cache.py   finds the rows of a run in the cache, and those that are missing
head_solver.py     solves the head to its optimum; head_losses.py its loss, head_rows.py the rows it reads,
                   head_memory.py the memory it takes
head_fit.py        the final head; head_strength.py chooses its strength, photo_scores.py judges heads by photos
out_of_fold.py     probabilities of rows by heads that were not solved on them;
                   neighbours.py votes of the most similar rows, alike_rows.py rows that are nearly equal
shard_extraction.py fills the cache shard after shard, together with other processes, and trains nothing
features_record.py where the rows of a run are; extraction_time.py an extraction under a time budget
"""
