"""The mirror: a copy of a run on a mounted drive, from which the run can be resumed when the machine is lost.

A mirror is a run directory itself. A thread of the parent writes it; the training does not wait for that thread, and no
failure of the drive stops the training.

    watchdog.py   runs calls that may hang, such as reading a mounted drive, on a thread of their own
    copying.py    copies files and checkpoint generations from one folder to another, verified
    content.py    the content of a mirror, and how it is brought up to date
    restore.py    copies a run back from its mirror; tells how far a run is
    patience.py   the time limits; overlap.py refuses a mirror that overlaps with its run directory
    mirror.py     the mirror's thread: lock, retries, messages, and the last copy
"""
