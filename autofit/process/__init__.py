"""Worker processes.

launch.py           starts one
monitor.py          monitors it
tail.py             reads the lines of its files as they come
exit_classifier.py  diagnoses its exit
limit_causes.py     names the limit (`ulimit`) that an exit comes from; gpu_causes.py what happened to a GPU
signals.py          what signals mean to its parent
"""
