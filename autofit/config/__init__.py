"""What a user may choose: options, backbones, batch schedules and byte sizes.

options.py           Options, the validated request; make_options and the checks across options
given_options.py     from a request back to the options that a user has to give (pure)
request_difference.py  in which option two requests differ (pure)
option_table.py      all options, each declared once
training_options.py  the declarations about the network and the training; data_options.py  about the data
run_options.py       the declarations about images and caches, the machine, and the run
option.py            the Option class
option_checks.py     checks of particular options
validators.py        checks of single values: numbers, words, paths
backbones.py         the networks of keras.applications
rungs.py             the rungs of the ladder: ways to train that take less memory
batch_schedule.py    batch sizes: schedules, automatic sizes, the rule after an out-of-memory
precisions.py        the numbers that layers may compute with
half_precision.py    where 16 bits are slow, and where they may be fast (pure)
shard_choice.py      which part of an extraction a process takes (pure)
byte_size.py         sizes such as 3GB
cuts.py              the names of the cuts at which fine-tuning begins
option_conflicts.py  what cannot be asked for together
given_objects.py     optimizers, losses, metrics and models given as objects; keras_objects.py as configurations
monitoring.py        the figure by which epochs are compared, and whether more of it is better (pure)
learning_rates.py    usual and default learning rates; fine_tuning.py the settings of a fine-tuning's optimizer
hub_presets.py       the backbones of KerasHub
multi_label_figures.py  mean average precision and F1 (pure); standard_error.py of an accuracy (pure)
"""
