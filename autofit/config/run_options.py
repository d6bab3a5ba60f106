"""The declarations of the options about the images and caches, the machine, and the run itself."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

from autofit.config.option import EVERYWHERE, PROBES, Option
from autofit.config.option_checks import (
    audited_run,
    checkpoint_interval,
    estimated_device,
    memory_size,
    one_of,
    or_none,
    path_text,
    time_span,
)
from autofit.config.validators import flag, real_number, share, whole_number
from autofit.machine.cards import CARDS

MOST_VIEWS = 64
"""The largest number of augmented views of a training image in the feature cache."""

Strength = Literal["none", "light", "strong"]
"""How much training images are augmented."""

MOST_PROBED_BATCH = 4096
"""The largest batch size that a probe looks for by default."""

MAX_SEED = 2**32 - 1
"""The largest seed that NumPy's legacy generator takes, which `keras.utils.set_random_seed` seeds as well."""

IMAGES = (
    Option(
        "augment",
        "auto",
        "Augmentation of the training images, anew in each epoch: `none`, `light` or `strong`.",
        'As layers of Keras, `light` is `RandomFlip("horizontal")` and `RandomCrop` to 87 to 100 % of each side, '
        'and `strong` is `RandomFlip("horizontal")`, `RandomZoom((-0.3, 0))` with a window anywhere, '
        "`RandomRotation(15 / 360)`, `RandomContrast(0.2)`, `RandomBrightness(0.2)` and `RandomErasing(0.5, "
        "scale=(0.02, 0.2))`. `auto` is `light` in fine-tuning above a cut, and else `none`. "
        "How an image is augmented depends only on the seed, the epoch and the image.",
        check=one_of("auto", "none", "light", "strong", none_means="none"),
        metavar="auto|none|light|strong",
    ),
    Option(
        "flip",
        True,
        "Whether augmentation may mirror an image left to right.",
        "Switch it off where left and right matter: for digits, text or signs. `predict` and `evaluate` with `views` "
        "then leave out mirrored views, too.",
        check=flag,
        cli_type=bool,
    ),
    Option(
        "feature_cache",
        "auto",
        "Run a frozen backbone once on each image, store the features on disk, and train the head on them.",
        "The training is the same, but many times faster, and later runs use the features too. `auto` does so if the "
        "backbone is frozen, nothing is augmented, and there is more than one epoch. `off` runs the backbone in every "
        "epoch. `on` with `augment` is an approximation: it trains on a few fixed views of each image.",
        check=one_of("auto", "on", "off", none_means="off"),
        metavar="auto|on|off",
    ),
    Option(
        "feature_views",
        4,
        "The number of fixed views of each training image, with `feature_cache` `on` and `augment`.",
        check=partial(whole_number, least=1, most=MOST_VIEWS),
        cli_type=int,
    ),
    Option(
        "pixel_cache",
        "auto",
        "Decode each image once and store its pixels on disk.",
        "`auto` does so if the backbone runs in more than one epoch; the pixels are the same. `off` decodes the images "
        "each time.",
        check=one_of("auto", "off", none_means="off"),
        metavar="auto|off",
        on_rerun="any",
    ),
    Option(
        "cache_by",
        "stat",
        "How the caches recognise an image: `content` by all its bytes; `stat` likewise up to 256 KiB, and a larger "
        "file by path, size, times, inode and samples of its bytes.",
        check=one_of("stat", "content"),
        commands=("run", "extract"),
        metavar="stat|content",
        on_rerun="any",
    ),
)

MACHINE = (
    Option(
        "memory_limit",
        None,
        "The memory that may be used, such as `3GB` (3 * 10^9 bytes) or `3GiB`.",
        "On a CPU it limits the resident memory of the worker, on a GPU the device memory.",
        check=or_none(memory_size),
        commands=(*EVERYWHERE, "check", "extract"),
        fields=("memory_limit_bytes",),
        default_text="what the machine has",
        metavar="SIZE",
        on_rerun="any",
    ),
    Option(
        "max_batch",
        MOST_PROBED_BATCH,
        "The largest batch size to look for.",
        check=partial(whole_number, least=1),
        commands=PROBES,
        fields=(),
        cli_type=int,
    ),
    Option(
        "memory",
        None,
        "The memory of the machine to estimate for, such as `16GB`.",
        "On a GPU it is the card's, on a CPU the limit on the process.",
        check=or_none(memory_size),
        commands=("estimate",),
        fields=(),
        default_text="the card's own",
        metavar="SIZE",
        is_listed=True,
    ),
    Option(
        "device",
        None,
        "The machine to estimate for: `cpu`, `gpu`, a card such as `t4`, `l4` or `a100`, or `all` cards.",
        "`cpu` and `gpu` need `memory`.",
        check=or_none(partial(estimated_device, allowed=("cpu", "gpu", "all", *CARDS))),
        commands=("estimate",),
        fields=(),
        default_text="`gpu` with `memory`, else `all`",
        metavar="cpu|gpu|CARD|all",
        is_listed=True,
    ),
    Option(
        "profile",
        True,
        "Start from earlier measurements on such a machine, and save the new ones.",
        "Otherwise the saved profiles are neither read nor written. In either case the largest batch size that a probe "
        "reports has just run; the speed of the recommended one may have been measured earlier.",
        check=flag,
        commands=(*EVERYWHERE, "estimate"),
        cli_type=bool,
        on_rerun="any",
    ),
)

RUN = (
    Option(
        "seed",
        0,
        "The seed of the split, the order, the initial weights and dropout.",
        check=partial(whole_number, least=0, most=MAX_SEED),
        cli_type=int,
    ),
    Option(
        "deterministic",
        False,
        "Use only operations that give the same bits each time, also on a GPU.",
        "Runs with the same sizes, replays, resumes and repeats after an out-of-memory are then bit-equal on one "
        "machine. It may be slower, and a model with an operation that has no such implementation is refused.",
        check=flag,
        cli_type=bool,
    ),
    Option(
        "checkpoint_every",
        "60s",
        "How often to save: a time such as `60s` or `2m`, or a number of steps.",
        check=checkpoint_interval,
        fields=("checkpoint_seconds", "checkpoint_steps"),
        metavar="60s|N",
        on_rerun="any",
    ),
    Option(
        "max_minutes",
        None,
        "Save and stop after this many minutes; the run can be resumed.",
        check=or_none(partial(real_number, least=0.0, exclusive=True)),
        cli_type=float,
        metavar="MINUTES",
        on_rerun="any",
    ),
    Option(
        "time_budget",
        None,
        "The time until the finished model, such as `90s`, `5m` or `1h`; or a number of seconds.",
        "It decides whether the head is also trained on augmented views, and whether all layers or only the upper ones "
        "are fine-tuned, and for how many epochs; from a minute on also how many epochs train a backbone from random "
        "weights whose `epochs` are not given. Training ends after the last epoch that fits; if there is not even time "
        "to read all images, fewer are used. The run ends at most a tenth of the budget, or 5 s, after it. A resumed "
        "run goes on with what is left.",
        check=or_none(time_span),
        fields=("time_budget_seconds",),
        metavar="TIME",
        on_rerun="unfinished",
    ),
    Option(
        "max_bad_images",
        0.1,
        "Stop as soon as more than this share of all images cannot be read; 1 for never.",
        "All images are those for training and for validation. One or two bad images stop a run only if the share is "
        "0.",
        check=share,
        cli_type=float,
        metavar="SHARE",
        on_rerun="any",
    ),
    Option(
        "run_dir",
        None,
        "The folder for checkpoints, log, model and report.",
        "If it holds an unfinished run of the same request, that is resumed; the result of a finished one is returned "
        "at once.",
        fields=(),
        default_text="the run of the same call under `runs`, if there is one, else `runs/<time>-<backbone>`; with a "
        "mirror `runs/<the mirror's name>`",
        cli_type=Path,
        metavar="DIR",
    ),
    Option(
        "take_over",
        False,
        "End a worker that still holds the run directory although its parent is gone, such as a suspended one.",
        "The worker is woken, saves what it has trained, and is killed only if it does not end by itself. A worker "
        "whose parent is alive is never ended.",
        check=flag,
        fields=(),
        cli_type=bool,
        on_rerun="any",
    ),
    Option(
        "mirror_dir",
        None,
        "A folder on a mounted drive for a copy of the run directory, from which the run can be resumed.",
        "If it holds the same request and has trained further than `run_dir`, or `run_dir` is empty, the run is "
        "restored from it. A failure of the drive never stops the training.",
        check=or_none(path_text),
        cli_type=Path,
        metavar="DIR",
        on_rerun="any",
    ),
    Option(
        "isolation",
        "process",
        "Where to train: in a `process` of its own, which may be killed without harm, or `inline` in the caller's.",
        check=one_of("process", "inline"),
        commands=EVERYWHERE,
        metavar="process|inline",
        on_rerun="any",
    ),
    Option("audit", False, "Write all updates to `audit.jsonl`.", check=flag, cli_type=bool),
    Option(
        "replay",
        None,
        "A run directory with `audit.jsonl`, whose micro-batch sizes are repeated step by step.",
        check=or_none(audited_run),
        cli_type=Path,
        metavar="DIR",
    ),
)

PYTHON_ONLY = (
    Option(
        "callbacks",
        None,
        "Keras callbacks, a list or one, in Python only.",
        "They are called in the worker and keep their state over restarts and resumes. After the run your objects have "
        "the state that the run left.",
        fields=(),
        cli_type=None,
    ),
    Option(
        "view",
        None,
        "An object that shows the progress, in Python only.",
        commands=(*EVERYWHERE, "evaluate", "check", "estimate", "extract"),
        fields=(),
        default_text="bars in a terminal or notebook, else plain lines",
        cli_type=None,
    ),
)
