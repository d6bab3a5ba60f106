"""The declarations of the options about the network, its head and the training."""

from __future__ import annotations

from functools import partial
from typing import Literal, get_args

from autofit.config.given_objects import class_weights_or, loss_choice, metric_list, optimizer_choice, rate_choice
from autofit.config.monitoring import monitor_choice
from autofit.config.option import EVERYWHERE, MEASURING, ONE_NETWORK, Option
from autofit.config.option_checks import (
    auto_or_count,
    backbone_name,
    batch_size_ramp,
    cut_choice,
    device_choice,
    image_sides,
    model_name,
    one_of,
    or_none,
    weights_file,
)
from autofit.config.precisions import Precision
from autofit.config.validators import auto_or_whole_number, real_number, whole_number

DEFAULT_OPTIMIZER = "adam"

ClassWeight = Literal["none", "balanced"] | dict[str, float]
"""Weights of the classes in the loss; the keys of a dictionary are names or numbers of classes."""

NETWORK = (
    Option(
        "backbone",
        None,
        "A network of `keras.applications`, by name, or `hub:` and a preset of KerasHub: its name or its folder.",
        "In Python also the function, such as `keras.applications.ResNet50`, or an object of KerasHub.",
        check=backbone_name,
        commands=(*ONE_NETWORK, "check", "extract", "estimate"),
        default_text="`MobileNetV2`",
        metavar="NAME",
        is_listed=True,
    ),
    Option(
        "model",
        None,
        "Your own network instead of a backbone: a function `(input_shape, num_classes) -> keras.Model`, or its name "
        "as `module:function`.",
        "In Python also a `keras.Model`, of which a copy is trained. The function may be defined in a notebook cell. "
        "Its inputs are raw images, 0 to 255, `(n, height, width, 3)`. It trains in stages with `trainable` `head`.",
        check=model_name,
        commands=(*ONE_NETWORK, "estimate"),
        metavar="MODULE:FUNCTION",
    ),
    Option(
        "weights",
        "imagenet",
        "The backbone's initial weights: `imagenet`, `none` (random), or a file.",
        "For a preset of KerasHub `imagenet` means its own.",
        check=weights_file,
        commands=(*EVERYWHERE, "check", "extract", "estimate"),
        metavar="imagenet|none|FILE",
    ),
    Option(
        "image_size",
        None,
        "The size of the images in pixels: `160`, or `160x192` (height x width).",
        "In Python also `(160, 192)`.",
        check=or_none(image_sides),
        commands=(*ONE_NETWORK, "check", "extract", "estimate"),
        default_text="the backbone's or the model's own, else 224",
        metavar="N|HxW",
        is_listed=True,
    ),
    Option(
        "trainable",
        None,
        "The layers that train: only the `head`, with a frozen backbone, or `all`.",
        "The head of a `model` is its last `Dense`, with its softmax and dropout; all below has to be pretrained.",
        check=or_none(one_of("head", "all")),
        commands=(*EVERYWHERE, "estimate"),
        default_text="`head` with weights, `all` without; of a `model` `head` with `fine_tune_epochs`, else `all`",
        metavar="head|all",
    ),
    Option(
        "hidden_units",
        0,
        "The width of a hidden layer in the head; 0 for none.",
        check=partial(whole_number, least=0),
        commands=(*EVERYWHERE, "estimate"),
        cli_type=int,
    ),
    Option(
        "dropout",
        0.2,
        "The share of the head's inputs that is dropped in training.",
        check=partial(real_number, least=0.0, below=1.0),
        commands=(*EVERYWHERE, "estimate"),
        cli_type=float,
    ),
)

TRAINING = (
    Option(
        "recipe",
        "auto",
        "How the head of a frozen backbone trains: `auto` solves it to its optimum, `classic` trains it by epochs.",
        "`auto` trains it by epochs, too, if any of `epochs`, `batch_size`, `batch_schedule`, `hidden_units`, "
        "`optimizer`, `learning_rate` (without `fine_tune_epochs`, or with a budget's `auto`), `loss`, `metrics`, "
        "`early_stopping`, `replay` or callbacks is given, or augmentation without views. A default is as not given.",
        check=one_of("auto", "classic"),
        metavar="auto|classic",
    ),
    Option(
        "epochs",
        "auto",
        "The number of passes over the training images.",
        "`auto` is 10 where the head is not solved.",
        check=auto_or_whole_number,
        metavar="auto|N",
        on_rerun="epochs",
    ),
    Option(
        "fine_tune_epochs",
        None,
        "The number of epochs of fine-tuning after the head: upper layers train as well, also those a `model` froze.",
        "The saved model is that of the best epoch by validation, of the head's stage or of fine-tuning. `auto` is as "
        "many epochs as `time_budget` has time for, but at most 8: more did not give a better model.",
        check=or_none(auto_or_count),
        default_text="0; `auto` with a `time_budget` and a frozen backbone, unless `epochs`, `replay` or `recipe` is "
        "given",
        metavar="auto|N",
        on_rerun="epochs",
    ),
    Option(
        "fine_tune_from",
        "auto",
        "The layer above which fine-tuning trains: `auto`, `input` (everything), a layer's name, or the share of the "
        "backbone's layers that stays frozen.",
        check=cut_choice,
        metavar="auto|input|LAYER|SHARE",
    ),
    Option(
        "batch_size",
        "auto",
        "The number of samples in an update.",
        "`auto` follows from the data, never from the machine: 32; 16 with less than 1,280 training images (from "
        "scratch 3,840), 8 with less than 640 (not from scratch); 32 for fine-tuning.",
        check=auto_or_whole_number,
        metavar="auto|N",
    ),
    Option(
        "micro_batch_size",
        "auto",
        "The number of samples on the device at once.",
        "`auto` takes the batch size if it fits and the backbone trains; else what the probe recommends, but at most "
        "the batch size.",
        check=auto_or_whole_number,
        metavar="auto|N",
    ),
    Option(
        "batch_schedule",
        None,
        "A ramp of the batch size over the epochs, such as `32:16`.",
        "Not together with `batch_size`.",
        check=or_none(batch_size_ramp),
        metavar="A:B",
    ),
    Option(
        "optimizer",
        DEFAULT_OPTIMIZER,
        "A Keras optimizer, by name.",
        "In Python also an object of `keras.optimizers`. A compiled `model` has its own.",
        check=optimizer_choice,
        commands=(*EVERYWHERE, "estimate"),
        fields=("optimizer", "optimizer_config"),
        metavar="NAME",
    ),
    Option(
        "devices",
        1,
        "The GPUs of this machine that layers of the backbone are trained on: a number, or `all`.",
        "Each GPU trains on a part of every batch, and all make the same update; `micro_batch_size` is per GPU. The "
        "order of the images and the number of updates are the same as on one GPU, and so are the weights, to float "
        "tolerance. Features, the head on features, and validation are computed on the first GPU.",
        check=device_choice,
        metavar="all|N",
        on_rerun="any",
    ),
    Option(
        "recompute",
        "auto",
        "Whether activations are recomputed in the backward pass instead of kept (gradient checkpointing): `on`, `off` "
        "or `auto`.",
        "A step then needs less memory and more time, and has the same gradients to float tolerance. `auto` recomputes "
        "where the wanted micro-batch does not fit otherwise.",
        check=one_of("auto", "off", "on"),
        commands=EVERYWHERE,
        metavar="auto|off|on",
    ),
    Option(
        "precision",
        "float32",
        "The numbers that the layers compute with: `float32`, `mixed_bfloat16`, `mixed_float16` or `auto`.",
        "In mixed precision, activations have 16 bits, which saves up to half of their memory; weights, head and loss "
        "stay float32, and so does the saved model. The trained weights differ from those of float32. It is fast on a "
        "GPU with units for 16 bits, and mostly slow on a CPU. `auto` measures float32 and 16 bits where the machine "
        "has such units, and takes 16 bits if they are clearly faster and features and loss differ by a few percent at "
        "most. `estimate` and `extract` do not take `auto`.",
        check=one_of("auto", *get_args(Precision)),
        commands=(*EVERYWHERE, "estimate", "extract"),
        metavar="|".join(("auto", *get_args(Precision))),
    ),
    Option(
        "learning_rate",
        None,
        "The optimizer's learning rate.",
        "In Python also an object of `keras.optimizers.schedules`. From random weights it falls to zero after seven "
        "tenths of the updates, unless `recipe` is `classic`, or callbacks, `loss`, `metrics`, an optimizer object or "
        "a `model` are given. In fine-tuning after a solved head it is the peak of a rate that rises and falls.",
        check=or_none(rate_choice),
        default_text="0.001, more with a `batch_size` over 32, or 0.0001 if pretrained layers train; 0.01 with `sgd`",
        cli_type=float,
        metavar="RATE",
    ),
    Option(
        "num_classes",
        10,
        "The number of classes, which is the width of the head's output.",
        check=partial(whole_number, least=1),
        commands=MEASURING,
        fields=(),
        cli_type=int,
    ),
    Option(
        "class_weight",
        "none",
        "The weights of the classes in the loss: `balanced` makes all classes count alike.",
        "In Python also weights by class, such as `{0: 1.0, 'cats': 2.0}`: by name, or by number in the order of the "
        "names; 1 for the others.",
        check=class_weights_or("none", "balanced"),
        metavar="none|balanced",
    ),
    Option(
        "loss",
        None,
        "The loss, by its name in Keras.",
        "In Python also an object of `keras.losses`, or a function or class of your own that is registered with Keras. "
        "A compiled `model` has its own.",
        check=loss_choice,
        default_text="the cross-entropy",
        metavar="NAME",
    ),
    Option(
        "metrics",
        (),
        "Further metrics than loss and accuracy, in Python only: names or objects of `keras.metrics`, or functions and "
        "classes of your own that are registered with Keras.",
        "A compiled `model` has its own.",
        check=metric_list,
        cli_type=None,
    ),
    Option(
        "monitor",
        "auto",
        "The metric by which the best epoch is chosen, whose model is saved: `val_loss`, `val_accuracy`, `loss`, "
        "`accuracy`, or another metric of the run, such as `val_auc`.",
        "`early_stopping` follows it too. `auto` is `val_loss`, in fine-tuning `val_accuracy` with any class weights; "
        "without validation images `loss` and `accuracy`.",
        check=monitor_choice,
        metavar="auto|val_loss|val_accuracy|NAME",
    ),
    Option(
        "early_stopping",
        None,
        "Stop after this many epochs in a row without a better validation loss, or metric of `monitor`.",
        check=or_none(partial(whole_number, least=1)),
        cli_type=int,
        metavar="N",
    ),
)
