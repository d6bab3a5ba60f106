"""Distributes work over the machines of an existing cluster; autofit sets up none itself.

devices.py    which of its devices take part
ray_data.py   Ray; the only module that imports it
"""
