"""The mirror: a copy of a run on a mounted drive, from which the run can be resumed when the machine is gone.

A mirror is a run directory itself. It is written by a thread of the parent, which nothing waits for, and what the
drive does never stops a training.

    run_with_watchdog.py    doing on a thread what may hang
    copying.py     files and checkpoint generations, from one folder to another, verified
    content.py     what of a run is in its mirror, and bringing that up to date
    taking_up.py   how far a run directory is, and taking a run over from its mirror
    mirror.py      the thread: claims, retries, what is told, and the last wait
"""
