"""For which GPUs TensorFlow brings machine code."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path
from types import SimpleNamespace

import pytest

from autofit.machine.tensorflow_build import cuda_targets, has_machine_code

TARGETS = ("sm_60", "sm_70", "sm_80", "sm_89", "compute_90")


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ("6.1", True),
        ("7.5", True),
        ("8.6", True),
        ("8.9", True),
        ("9.0", False),  # PTX alone
        ("10.0", False),
        ("12.0", False),
        ("5.2", False),
        (None, True),
        ("unknown", True),
    ],
)
def test_machine_code_runs_on_its_own_major_version(capability: str | None, *, expected: bool) -> None:
    """A start that compiles for minutes would not be announced, or one that does not would be."""
    assert has_machine_code(capability, TARGETS) is expected
    assert has_machine_code(capability, ())


def test_a_lower_minor_version_has_none() -> None:
    """Machine code for 8.9 would be expected to run on 8.0."""
    assert not has_machine_code("8.0", ("sm_89",))
    assert has_machine_code("12.0", ("sm_120",))


def test_the_list_of_the_installed_tensorflow_is_read_without_importing_it() -> None:
    """Its format would have changed, and no GPU would be known to need compiling."""
    loaded = set(sys.modules)
    targets = cuda_targets()
    assert any(target.startswith("sm_") for target in targets)
    assert not {"tensorflow.python", "numpy"} & (set(sys.modules) - loaded)


def test_an_unknown_build_has_no_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package without the file would end the doctor in a traceback."""
    for spec in (None, SimpleNamespace(origin=str(tmp_path / "__init__.py"))):
        monkeypatch.setattr(util, "find_spec", lambda _, spec=spec: spec)
        assert cuda_targets() == ()
