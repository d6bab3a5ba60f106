"""The probe: how many images at once this machine can train, and how many are fastest.

search.py        which size to try next (ask/tell, pure)
evidence.py      what the trials so far say (pure)
memory_model.py  a line through what they took (pure)
recommend.py     the fastest of the sizes that fit (pure)
sweep.py         in which order several probes stand (pure)
loop.py          drives trials in workers; the answer is one that ran in a fresh one
records.py       what is reported, and what a saved profile tells beforehand
"""
