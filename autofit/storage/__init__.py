"""Files that survive kills, full disks and untrusted sources.

run_directory.py  the files of a run, each named once; run_lock.py the lock that keeps it to one writer
attempt_directory.py  the files of an attempt
checkpoints.py    generations of checkpoints; checkpoint_files.py the files of one, with checksums
records.py        the base of every record that is saved as JSON
format_version.py the number of a file's format: newer ones are refused as such
safe_files.py     opening files from untrusted sources; writing files whole or not at all
lock_holders.py   who holds a run directory's lock, and the end of workers without a parent
locks.py          advisory locks on open files; holder_file.py where a drive has none
leases.py         leases in a shared folder: who works on what, until it shows no sign any more
probabilities.py   what a model says of the validation and test images
json_bounds.py     the size and the number of values that JSON may have
model_file.py      what a .keras file holds, before Keras opens it; hdf5_file.py a file of weights
user_key.py        a key that only this user can read; user_path.py a path as a user writes it
scratch.py         temporary folders that the next process clears away after a kill
system_errors.py   what an error of the system means, and what to do about it
stutter.py         errors of a drive that may pass
"""
