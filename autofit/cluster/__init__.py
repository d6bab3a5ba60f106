"""Other machines: work spread over a cluster that exists. autofit makes none of its own.

devices.py    which of its devices take part
ray_data.py   Ray; the only module that imports it
"""
