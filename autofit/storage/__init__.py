"""Files that survive kills, full disks and untrusted sources.

run_directory.py      the files of a run, each named once; run_lock.py the lock that keeps it to one writer
attempt_directory.py  the files of an attempt
checkpoints.py        generations of checkpoints; checkpoint_files.py the files of one, with checksums
records.py            the base of every record that is saved as JSON
format_version.py     the version of a file's format: a newer one is refused as newer, and not as damaged
safe_files.py         opening files from untrusted sources; writing files whole or not at all
locks.py              advisory locks on open files; holder_file.py a lock for drives that have none
lock_holders.py       which processes hold a run directory's lock; ends workers whose parent is gone
leases.py             leases in a shared folder: which process works on which task
probabilities.py      a model's probabilities for the validation and test images
json_bounds.py        bounds on the size and the number of values of JSON
model_file.py         checks a .keras file before Keras opens it; hdf5_file.py a file of weights
user_key.py           a key that only this user can read; user_path.py a path as a user writes it
scratch.py            temporary folders, which the next process removes after a kill
system_errors.py      what an error of the system means, and what to do about it
stutter.py            errors of a drive that may pass
"""
