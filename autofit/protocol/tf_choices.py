"""What a user chooses by TensorFlow's own environment variables: kernels, tuning, XLA. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from autofit.protocol.job import Kernels, Tuning

ONEDNN_VARIABLE = "TF_ENABLE_ONEDNN_OPTS"


def kernels_asked(environment: Mapping[str, str]) -> Kernels | None:
    """The kernels that the user has chosen by TensorFlow's own variable; None if it is not set."""
    asked = _switch(environment, ONEDNN_VARIABLE)
    return None if asked is None else "onednn" if asked else "eigen"


AUTOTUNE_VARIABLE = "TF_CUDNN_USE_AUTOTUNE"


def tuning_asked(environment: Mapping[str, str]) -> Tuning | None:
    """How algorithms are chosen, if the user has set TensorFlow's own variable; None if not."""
    asked = _switch(environment, AUTOTUNE_VARIABLE)
    return None if asked is None else "tuned" if asked else "quick"


XLA_VARIABLE = "TF_XLA_FLAGS"
AUTO_JIT = "--tf_xla_auto_jit="
NOT_COMPILED = frozenset({"0", "-1", ""})


def xla_asked(environment: Mapping[str, str]) -> bool:
    """Whether the user has TensorFlow compile its graphs with XLA, by TensorFlow's own variable (docs/decisions/0051).

    If the flag comes twice, the last one counts: https://www.tensorflow.org/xla/tutorials/autoclustering_xla
    """
    flags = environment.get(XLA_VARIABLE, "").split()
    levels = [flag.removeprefix(AUTO_JIT) for flag in flags if flag.startswith(AUTO_JIT)]
    return bool(levels) and levels[-1] not in NOT_COMPILED


def xla_flags(environment: Mapping[str, str], *, is_on: bool) -> str:
    """The value of the variable that switches XLA on or off and keeps the user's other flags."""
    if is_on and xla_asked(environment):
        return environment[XLA_VARIABLE]
    others = [flag for flag in environment.get(XLA_VARIABLE, "").split() if not flag.startswith(AUTO_JIT)]
    return " ".join([*others, *([f"{AUTO_JIT}2"] if is_on else [])])


def _switch(environment: Mapping[str, str], variable: str) -> bool | None:
    """A variable that TensorFlow reads as true or false; None if it is neither."""
    value = environment.get(variable, "").lower()
    return True if value in {"1", "true"} else False if value in {"0", "false"} else None
