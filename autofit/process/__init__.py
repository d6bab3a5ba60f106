"""Worker processes.

launch.py           starts one
monitor.py          monitors it
tail.py             reads the lines of its files as they come
exit_classifier.py  diagnoses its exit
limit_causes.py     names the limit (`ulimit`) behind an exit; gpu_causes.py the GPU error behind it
signals.py          handles the parent's own signals: stop, save, pause
"""
