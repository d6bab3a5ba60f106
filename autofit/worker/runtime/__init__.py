"""The worker process itself.

tf_settings.py      TensorFlow's settings and the limit of its allocator
devices.py          on how many devices a job computes
keras_config.py     the settings of a keras.json that are not followed
memory.py           the memory of this process, inside TensorFlow's allocator and in all
allocator_stall.py  notices that the allocator waits for memory that nothing will free
heartbeat.py        progress.jsonl and events.jsonl
phase_times.py      where the seconds of the worker go
control_pipe.py     the requests of the parent, and how the worker notices its death
signals.py          what signals mean to the worker
stop_conditions.py  whether the worker stops before its work is done
exceptions.py       what ends a job
"""
