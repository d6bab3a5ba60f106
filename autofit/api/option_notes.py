"""What is unexpected about the options of a call and the stages of its run, in lines. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import compress

from autofit.config.learning_rates import unusual_rate
from autofit.config.option_table import BY_NAME
from autofit.config.options import (
    Options,
    has_optimizer_object,
    has_rate_of_fine_tuning,
    has_rate_of_its_own,
    head_options,
    needing_epochs,
    trains_pretrained,
)
from autofit.protocol.job import FineTunePlan, TrainingPlan

OF_OPTIMIZER = ("optimizer", "learning_rate")


def rate_note(options: Options) -> str | None:
    """A line about an unusual learning rate; None without one, or where it is for the plan to say what has the rate."""
    if has_rate_of_fine_tuning(options):
        return None
    return unusual_rate(options.optimizer, options.learning_rate, trains_pretrained=trains_pretrained(options))


def option_notes(options: Options, planned: TrainingPlan, *, has_callbacks: bool) -> Iterator[str]:
    """The lines about options that have no effect in a run, or another one than may be expected.

    A cut may be for a fine-tuning that the same call with more epochs will make. A replay trains as the run that it
    follows, whatever is planned.

    Args:
        options: the request.
        planned: the plan of a run that follows no other.
        has_callbacks: whether the user has given callbacks.
    """
    if options.dropout != BY_NAME["dropout"].default and planned.head == "solve" and not planned.fine_tune:
        how = "the head is solved, not trained by epochs (recipe 'classic' is)"
        yield f"dropout {options.dropout:g} has no effect: {how}"
    if options.fine_tune_from != "auto" and not options.fine_tune_epochs:
        yield f"fine_tune_from {options.fine_tune_from!r} has no effect without fine_tune_epochs"
    if options.replay is not None:
        return
    if has_rate_of_fine_tuning(options):
        optimizer, is_solved = ("adamw", True) if planned.head == "solve" else (options.optimizer, False)
        rate = unusual_rate(optimizer, options.learning_rate, trains_pretrained=is_solved)
        yield from [rate] if rate else []
    if planned.fine_tune is not None and planned.head != "solve":
        yield from _rate_of_head(options, planned.fine_tune, has_callbacks=has_callbacks)
    if planned.fine_tune is None and trains_pretrained(options) and options.recipe == "auto":
        why = _needing(head_options(options), has_callbacks=has_callbacks)
        because = _listed(why) if why else "so many images and classes"
        yield f"because of {because} the head is not solved first: all layers train at once, on a random head"


def _rate_of_head(options: Options, fine_tune: FineTunePlan, *, has_callbacks: bool) -> Iterator[str]:
    """A line if the user has given an optimizer or its rate, and they are for a head that is trained by epochs."""
    is_object = has_optimizer_object(options)
    has_rate = has_rate_of_its_own(options) or options.optimizer_config is not None
    is_own = "optimizer" in needing_epochs(options), has_rate and not is_object
    given = list(compress(OF_OPTIMIZER, is_own))
    if not given:
        return
    others = [name for name in _needing(options, has_callbacks=has_callbacks) if name not in OF_OPTIMIZER]
    because = f" because of {_listed(others)}" if others else ""
    are = "is that of" if len(given) == 1 else "are those of"
    yield (
        f"{_listed(given)} {are} the head, which is trained by epochs{because}; "
        f"fine-tuning has AdamW with learning_rate {fine_tune.learning_rate:g}"
    )


def _needing(options: Options, *, has_callbacks: bool) -> tuple[str, ...]:
    """The names of what the user has given that needs a head trained by epochs."""
    return (*needing_epochs(options), *(["callbacks"] if has_callbacks else []))


def _listed(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
