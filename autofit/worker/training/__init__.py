"""The training loop and what it writes.

trainer.py        the training loop: train, validate, keep the best weights, commit
commits.py        decides when progress is committed; train_state.py: what a checkpoint holds;
                  training_progress.py: how far a training has come
run_events.py     reports to the parent
callbacks.py      Keras callbacks and their states
epoch_plan.py     which samples a pass visits, in which order and batches
divergence.py     decides whether a training has diverged
bn_recalibration.py  computes the averages of trained BatchNormalization anew before each validation
source_opener.py  chooses and opens the source of the batches; batch_sources.py: the two sources
audit_log.py      writes a line for each update; replay.py: repeats the micro-batch sizes of another run's log
calibration.py    how confident a fine-tuned model is, corrected by its validation images
export.py         the saved model and the history
evaluation.py     the recalibration and the validation after an epoch
head_stage.py     solves the head on cached features
best_model.py     keeps the best weights so far; monitored_figure.py: the figure by which they are chosen
stage_clock.py    ends a stage within its time budget
callback_states.py  the states of callbacks in a checkpoint; callback_kinds.py: what a callback does, by its class
compiled_for_callbacks.py  compiles a model for callbacks if its user has not
targets.py        the labels and weights of samples
unread_images.py  images that cannot be read, each reported once
"""
