"""The worker process itself.

tf_settings.py      TensorFlow's settings and the limit of its allocator
devices.py          how many devices a job uses
keras_config.py     the settings in keras.json that autofit does not follow
memory.py           the memory of this process: its total, and the part in TensorFlow's allocator
allocator_stall.py  notices that the allocator waits for memory that nothing will free
heartbeat.py        progress.jsonl and events.jsonl
phase_times.py      the seconds that the worker spends in each phase
control_pipe.py     the parent's requests, and how the worker notices the parent's death
signals.py          what the worker does on a signal
stop_conditions.py  decides whether the worker stops before its work is done
exceptions.py       the exceptions that end a job
"""
