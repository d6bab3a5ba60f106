"""Keras models: built, given weights, folded, compiled, saved."""
