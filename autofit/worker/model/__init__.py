"""Keras models.

builder.py          builds autofit's models, and checks a user's own
weights.py          loads the weights of a backbone, and hashes weights
objective.py        loss, metrics and optimizer
bn_folding.py       a frozen backbone with less to compute
saved_model.py      opens a model that autofit has saved
keras_internals.py  the only module that uses private names of Keras
"""
