"""The worker: the one room that knows TensorFlow and Keras. Nothing above it imports it at module level.

__main__.py     the process: what it is given, what it leaves behind
attempt.py      one life, from job.json to outcome.json
environment.py  how TensorFlow runs here, decided before its first operation
session.py      a network made ready to train, the same for a trial and for the training
model.py        images in, probabilities out; weights.py loads and hashes weights
networks.py     how a batch goes through it while it trains, slice by slice
objective.py    loss, metrics, optimizer
steps.py        the compiled steps and the guarded update
microbatch.py   out of memory: halve, repeat, write down
loop.py         the training loop; state.py what a checkpoint holds of it
ledger.py       the applied updates
trial.py        one measured size for the probe
predict.py      predictions; saved.py opens a saved model
decode.py       one image; loader.py batches, ahead of the training; images.py the public ImageSequence
heartbeat.py    what the parent hears; control.py what it asks; departure.py, endings.py reasons to leave
"""
