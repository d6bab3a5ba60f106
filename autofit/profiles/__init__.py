"""Profiles: what was measured on a machine once, kept so that the next probe or extraction there knows where to begin.

records.py   what is kept, every number and string bounded
reading.py   a profile's file, read as what it is: data from a stranger
match.py     what of it speaks of this machine and this workload, and what it is worth as a hint (pure)
keeping.py   which entries a machine's file keeps (pure)
store.py     one file a machine in the user's folder, and those that come with autofit
exchange.py  from one machine to another, through a file

A profile is a hint: it says where to look first, and what it says is run before it is believed.
"""
