"""What crosses the process boundary between the parent and its worker.

`job.py` has `job.json`, `outcome.json` and the events; `model_jobs.py` the jobs on a saved model; `cache_job.py` the
feature cache, and an extraction without training; `precision.py` what a comparison of precisions has measured;
`epoch_stages.py` the stage of each epoch;
`tf_choices.py` what a user chooses by TensorFlow's own variables; `messages.py` the records in all of them, the
heartbeat and the requests; `payload.py` the Python objects; `object_state.py` and `callback_state.py` the state of
callbacks as data, never code; `object_digest.py` tells what has changed of that which is no data.
"""
