"""Profiles: measurements of a machine, saved so that the next probe or extraction there knows where to begin.

records.py   what is saved, with a bound for every number and string
reading.py   reads a profile's file as data from an untrusted source
match.py     selects the measurement that matches a machine and a workload, as a hint (pure)
merge.py     merges new measurements into a machine's profile (pure)
store.py     one file for each machine in the user's folder, and the profiles that come with autofit
exchange.py  lists, exports and imports profiles
lines.py     saves the measurements of small batches that estimates make
known.py     answers from profiles that are certain enough to be used without a trial (pure)

A profile is a hint: it says where to look first, and its answer is verified by a trial before it is used.
"""
