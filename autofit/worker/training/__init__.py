"""The training loop and what it writes.

trainer.py        the life of an epoch: train, validate, keep the best, commit
commits.py        when progress is committed; train_state.py what a checkpoint holds
run_events.py     reports to the parent
callbacks.py      Keras callbacks and their states
epoch_plan.py     which samples a pass visits, in which order and batches
divergence.py     whether a training has diverged
bn_recalibration.py  the averages of BatchNormalization that trains, before each validation
source_opener.py  chooses and opens the source of the batches; batch_sources.py the two sources
audit_log.py      a line for each applied update, and the replay of them
export.py         the saved model and the history
"""
