"""Keras models: built, given weights, compiled and saved.

builder.py          raw images to probabilities, from a backbone or from the user's function
weights.py          loads the weights of a backbone, and hashes weights
classifier_weights.py  weights of a whole classifier, without its top
bn_folding.py       a frozen backbone with BatchNormalization folded into its convolutions
given_model.py      got from the user's function, and refused where micro-batches would alter its training
sent_model.py       a model that the user has built, on its way to a worker
reopening.py        whether what will be saved can be opened again
registered_objects.py  the user's registered classes, taken along to a worker
outputs.py          probabilities or logits; the form of the labels that a loss takes
objective.py        loss, metrics and optimizer
saved_model.py      opens a saved model; variables_bound.py what its variables may take
keras_internals.py  the only uses of Keras's private API, each with a public fallback
head.py             the layers on top of a backbone
cut_points.py       the layers through which everything passes; layer_graph.py the graph of layers
segments.py         a network as a chain of segments, for computing activations again
fine_tuning.py      the optimizer of fine-tuning, with lower rates for lower layers
precision.py        float32 or mixed precision of the layers
preprocessing.py    how raw images become what a backbone was trained on
hub_backbone.py     backbones of KerasHub
multi_label.py      loss and metrics of several labels
network_hash.py     what tells one network from another
exported.py         a model in the formats of other runtimes
"""
