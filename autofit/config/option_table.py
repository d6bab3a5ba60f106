"""All options, each declared once: the default, the texts, the check and the command line's flag.

Validation (`make_options`), the flags of `autofit train` and `autofit probe` and the site's table of options follow
from this table. The signatures and docstrings of `run`, `probe` and `sweep` and the fields of `Options` are written out
for readers; `tests/config/test_option_table.py` compares each with the table and shows what is missing or differs.
"""

from __future__ import annotations

from typing import Any, Final

from autofit.config.data_options import DATA
from autofit.config.option import Command, Option
from autofit.config.run_options import IMAGES, MACHINE, PYTHON_ONLY, RUN
from autofit.config.training_options import NETWORK, TRAINING

OPTIONS: Final = (*NETWORK, *TRAINING, *DATA, *IMAGES, *MACHINE, *RUN, *PYTHON_ONLY)
BY_NAME: Final = {option.name: option for option in OPTIONS}
REQUEST: Final = tuple(option for option in OPTIONS if option.field_names)
"""The options that `make_options` takes: all that are part of a request."""

AGAIN: Final = tuple(option for option in OPTIONS if option.on_rerun != "same" and option.name != "mirror_dir")
"""The options that `resume` takes. `mirror_dir` is not one: the mirror of a run changes only by calling `run` again."""


def options_of(command: Command) -> tuple[Option, ...]:
    """The options that a function takes, in the order of its signature."""
    return tuple(option for option in OPTIONS if command in option.commands)


def checked(name: str, value: Any) -> Any:
    """Check the value of one option.

    Raises:
        UserError: it cannot be used.
    """
    return BY_NAME[name].check(name, value)
