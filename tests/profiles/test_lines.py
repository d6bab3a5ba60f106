"""The small sizes of earlier estimates, saved and read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from autofit.profiles.lines import FOLDER, LineStore
from tests.support.lines import measured_line
from tests.support.machines import make_hardware

MACHINE = make_hardware()


def test_a_line_is_found_again_by_its_network_and_its_machine(tmp_path: Path) -> None:
    """Each estimate would run the sizes anew, or take those of another network, machine or version."""
    store, line = LineStore(tmp_path), measured_line()
    store.save(line, MACHINE)
    assert store.load(line.workload, MACHINE) == line
    assert store.load(measured_line(backbone="VGG16").workload, MACHINE) is None
    assert store.load(line.workload, make_hardware(tensorflow_version="2.22.0")) is None
    assert store.load(line.workload, make_hardware(cores=4)) is None


@pytest.mark.parametrize("content", ["", "{}", "[" * 10_000, '{"schema": "autofit/probe/3"}'], ids=len)
def test_a_damaged_file_is_as_none(tmp_path: Path, content: str) -> None:
    """A file cut off by a full disk would end every later estimate."""
    store, line = LineStore(tmp_path), measured_line()
    store.save(line, MACHINE)
    [file] = (tmp_path / FOLDER).iterdir()
    file.write_text(content, encoding="utf-8")
    assert store.load(line.workload, MACHINE) is None


def test_a_folder_that_cannot_be_written_costs_no_estimate(tmp_path: Path) -> None:
    """An estimate on a full or read-only disk would end with an error after its trials."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    LineStore(tmp_path / "file").save(measured_line(), MACHINE)
    assert (tmp_path / "file").read_text(encoding="utf-8") == ""


def test_a_user_s_own_function_is_not_saved(tmp_path: Path) -> None:
    """After an edit of the function its old figures would be told."""
    line = measured_line()
    own = line.model_copy(update={"workload": line.workload.model_copy(update={"backbone": "nets:build"})})
    LineStore(tmp_path).save(own, MACHINE)
    assert not (tmp_path / FOLDER).exists()
