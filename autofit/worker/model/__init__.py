"""Builds Keras models, loads their weights, compiles and saves them.

builder.py          raw images to probabilities, from a backbone or from the user's function
weights.py          loads the weights of a backbone, and hashes weights
classifier_weights.py  loads the weights of a whole classifier without its top
copied_weights.py   sets the weights of a layer or a network
imagenet_rescaling.py  the rescaling that belongs to the ImageNet weights of EfficientNet
bn_folding.py       folds the BatchNormalization of a frozen backbone into its convolutions
given_model.py      gets a model from the user's function; refuses one whose training micro-batches would change
sent_model.py       sends a model that the user has built to a worker
reopening.py        checks that the model can be opened again after it is saved
registered_objects.py  sends the user's registered classes to a worker
finite_weights.py   finds weights that are no numbers
outputs.py          probabilities or logits; the form of the labels that a loss takes
objective.py        loss and metrics; optimizer.py the optimizer
mean_loss.py        requires that a loss is a mean over the samples
saved_model.py      opens a saved model; variables_bound.py bounds the memory of its variables
keras_internals.py  the only uses of Keras's private API, each with a public fallback
head.py             the layers on top of a backbone; own_head.py those of a user's own network
cut_points.py       the layers at which a network can be cut; layer_graph.py the graph of layers
segments.py         a network as a chain of segments, for computing activations again
falling_rate.py     the learning rate of a training from scratch
fine_tuning.py      the optimizer of fine-tuning, with lower rates for lower layers
precision.py        float32 or mixed precision of the layers
preprocessing.py    preprocesses images as a backbone needs it
hub_backbone.py     backbones of KerasHub
multi_label.py      loss and metrics for several labels
network_hash.py     a hash of a network's layers
exported.py         writes a model in the formats of other runtimes
"""
