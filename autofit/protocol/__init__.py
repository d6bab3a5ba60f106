"""What crosses the process boundary between the parent and its worker.

`job.py` has `job.json`, `outcome.json` and the events; `model_jobs.py` the jobs on a saved model; `cache_job.py` the
extraction alone; `precision.py` what a comparison of precisions has measured; `messages.py` the
records in them, the heartbeat and the requests; `payload.py` the Python objects; `object_state.py` and
`callback_state.py` their state as data, never code.
"""
