"""Runs a network; the probe's trials and the training use the same code.

session.py       the network with its objective and its compiled steps
step_options.py  how a step computes: padding, loss scale, the order of an update
steps.py         gradients without side effects, then one guarded update; evaluation
kept_weights.py  refuses a layer whose call sets what a step cannot keep
layer_losses.py  the losses that layers add, in float32
update_order.py  updates one variable after another, if memory is short
update_reserve.py  how much memory an update may take
strategy.py      the devices that a job trains on
replicas.py      the training step on several devices
sliced_model.py  how a batch goes through the network in slices
recompute.py     activations computed again in the backward pass
loss_scale.py    the factor of the loss in float16
microbatch.py    the response to an out-of-memory: halve the micro-batch and repeat
"""
