"""The worker: the one room that knows TensorFlow and Keras. Nothing above it imports it at module level.

__main__.py     the process: what it is given, what it leaves behind
attempt.py      one life, from job.json to outcome.json
environment.py  how TensorFlow runs here, decided before its first operation; memory.py what it takes
session.py      a network made ready to train, the same for a trial and for the training
model.py        images in, probabilities out; weights.py loads and hashes weights; folding.py a frozen one as it runs
networks.py     how a batch goes through it while it trains, slice by slice
objective.py    loss, metrics, optimizer
steps.py        the compiled steps and the guarded update
microbatch.py   out of memory: halve, repeat, write down; stall.py sees one on a CPU before it raises
loop.py         the training loop; sources.py where its batches come from; state.py what a checkpoint holds of it
ledger.py       the applied updates; quarantine.py the images that cannot be read
extraction.py   features, computed once; kept.py and slots.py what is kept of which image; growth.py how many at once
trial.py        one measured size for the probe
predict.py      predictions; saved.py opens a saved model
decode.py       one image; augment.py a view of it; images.py the public ImageSequence
loader.py       batches, ahead of the training; pool.py and threads.py in how many threads
pictures.py     samples as pixels; pixels.py those that are kept; early.py and early_decoder.py those that another
                process decodes while this one imports TensorFlow
heartbeat.py    what the parent hears; control.py what it asks; departure.py, endings.py reasons to leave
"""
