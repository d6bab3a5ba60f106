"""The probe: how many images at once this machine can train on, and how many are fastest.

search.py        which size to try next on a CPU (ask/tell, pure)
gpu_search.py    the same on a GPU
evidence.py      conclusions from the trials so far (pure)
memory_model.py  a linear fit of memory against batch size (pure)
hint.py          the hint of a saved profile, adjusted to the memory of this process (pure)
trial_limits.py  the memory budget and the time limit of a trial (pure)
trial_worker.py  a worker process that runs trials
request.py       what is probed, and with what
loop.py          drives trials in workers; the answer is a size that ran in a fresh worker
time_spent.py    where the seconds of a probe went (pure)
ladder.py        which rung is tried next, and which is chosen (pure); climb.py probes them
precision_choice.py  which precision is chosen (pure); precision_trial.py measures both
recommend.py     the fastest of the sizes that fit, and the order of a sweep (pure)
records.py       the reports of a probe and a sweep
halving_search.py  the search for a later stage, where only few sizes matter (pure)
line_search.py   the search that measures only the line of memory (pure)
estimate.py      what fits another machine, estimated by that line (pure)
"""
