"""The training loop and what it writes.

trainer.py        the life of an epoch: train, validate, keep the best, commit
commits.py        when progress is committed; train_state.py what a checkpoint holds
run_events.py     reports to the parent
callbacks.py      Keras callbacks and their states
epoch_plan.py     which samples a pass visits, in which order and batches
divergence.py     whether a training has diverged
bn_recalibration.py  the averages of BatchNormalization that trains, before each validation
source_opener.py  chooses and opens the source of the batches; batch_sources.py the two sources
audit_log.py      a line for each applied update; replay.py their micro-batch sizes, repeated
export.py         the saved model and the history
evaluation.py     the validation, and the averages before it
head_stage.py     solves the head on cached features
best_model.py     the weights that are handed over if nothing better comes
stage_clock.py    ends a stage in time
callback_states.py  the states of callbacks, in a checkpoint
compiled_for_callbacks.py  the model as callbacks find it
targets.py        the labels and weights of samples
unread_images.py  images that cannot be read, each reported once
"""
