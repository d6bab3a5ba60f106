"""The probe: how many images at once this machine can train, and how many are fastest.

search.py        which size to try next (ask/tell, pure)
memory_model.py  a line through the peaks (pure)
recommend.py     the fastest of the sizes that fit (pure)
loop.py          drives trials in a worker, and verifies the answer in a fresh one
records.py       what is reported
"""
