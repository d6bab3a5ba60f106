"""Worker processes.

launch.py           starts one
monitor.py          monitors it
exit_classifier.py  diagnoses its exit
signals.py          what signals mean to its parent
"""
