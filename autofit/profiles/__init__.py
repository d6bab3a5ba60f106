"""Profiles: what was measured on a machine once, kept so that the next probe there is nearly free.

records.py   what is kept, every number and string bounded
reading.py   a profile's file, read as what it is: data from a stranger
match.py     which saved entry speaks of this machine and this workload, and what it is worth as a hint (pure)
keeping.py   which entries a machine's file keeps (pure)
store.py     one file a machine in the user's folder, and those that come with autofit
exchange.py  from one machine to another, through a file

A profile is a hint: it says where a probe should look first, and what it says is run before it is believed.
"""
