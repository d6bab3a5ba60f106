"""The worker process, the one package that imports TensorFlow and Keras. Nothing above it imports it at module level.

jobs/       what a worker can be asked to do; dispatch.py is called by __main__.py and the inline launcher
training/   the training loop and what it writes: trainer, commits, train state, run events, audit log, batch sources
features/   features of a frozen backbone: extraction and the rows of the feature cache
execution/  a network made ready to run: session, compiled steps, micro-batches
model/      Keras models: built, given weights, folded, compiled, saved
runtime/    the process itself: TensorFlow's settings, memory, heartbeat, control pipe, stop conditions, exceptions

`__main__.py` states the protocol with the parent; `inline_launcher.py` runs a worker in the calling process;
`image_sequence.py` is the public ImageSequence.
"""
