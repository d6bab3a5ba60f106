"""A notebook in a real Jupyter kernel: what a user sees below each cell, and the stop button."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import autofit
from autofit.storage.run_directory import RunDirectory
from tests.support.drawn import draw_tinted
from tests.support.kernel import Shown, running_kernel
from tests.support.paths import AUTOFIT_PATH
from tests.support.run_files import committed
from tests.support.shared import made_once

pytestmark = pytest.mark.slow

PHOTOS_A_CLASS = 120
EPOCHS = 5

NETWORK = """
import autofit

def network(input_shape, num_classes):
    import keras
    return keras.Sequential([
        keras.Input(input_shape),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(24, 5, activation="relu"),
        keras.layers.Conv2D(24, 5, strides=2, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(num_classes, activation="softmax"),
    ])
"""
TRAIN = f"""
result = autofit.run("photos", model=network, image_size=64, batch_size=4, micro_batch_size=4, epochs={EPOCHS}, seed=1)
result
"""
DEFECT = """
from unittest.mock import patch
with patch("autofit.dataset.asked_of", side_effect=ZeroDivisionError("a defect")):
    autofit.run("photos")
"""
FORKS = """
from autofit.process import launch
from tests.support import fork_server
launch.start_process = fork_server.start_worker
"""
"""Its workers are forked; all else is as a user has it."""
SAVED_MODEL = """
import keras
model = keras.models.load_model(result.model_path)
images = autofit.load_images("photos/class0/00*.jpg", model.input_shape[1:3])
print(float(abs(model.predict(images, verbose=0) - found).max()))
"""


PLAIN = "import sys; from autofit.report.progress import progress_view; print(type(progress_view(sys.stderr)).__name__)"


def run_of(folder: Path) -> RunDirectory:
    """The one run directory of the notebook."""
    (path,) = (folder / "runs").iterdir()
    return RunDirectory(path)


def tell_story(folder: Path) -> dict[str, Shown]:
    """What a notebook in this folder shows, cell by cell.

    Mistakes; the cell that trains, stopped after its first epoch; predictions with what it left; the same cell twice
    more.
    """

    def trained_an_epoch() -> bool:
        return any(committed(path.parent) > (0, 0) for path in folder.glob("runs/*/checkpoints"))

    with running_kernel(folder) as kernel:
        kernel.run(FORKS)
        kernel.run(NETWORK)
        shown = {"mistake": kernel.run('autofit.run("nowhere")'), "no result": kernel.run("autofit.Result('nowhere')")}
        shown["defect"] = kernel.run(DEFECT)
        shown["command"] = kernel.run(f"!{sys.executable} -c '{PLAIN}'")
        shown["stopped"] = kernel.run_until(TRAIN, trained_an_epoch)
        opened = f"result = autofit.Result({str(run_of(folder).path)!r})"
        shown["predicted"] = kernel.run(f'{opened}\nfound = result.predict("photos/class0/00*.jpg")\nfound')
        shown["saved model"] = kernel.run(SAVED_MODEL)
        shown["labels"] = kernel.run("print(found.shape, set(found.labels) <= set(result.class_names), result.status)")
        shown["again"] = kernel.run(TRAIN)
        shown["finished"] = kernel.run(TRAIN)
    return shown


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a notebook that has run, with `story.json`: what each cell showed. Tests only read it."""

    def make(folder: Path) -> None:
        (folder / "photos").mkdir()
        draw_tinted(folder / "photos", PHOTOS_A_CLASS)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", AUTOFIT_PATH)
            outputs = {name: shown.outputs for name, shown in tell_story(folder).items()}
        (folder / "story.json").write_text(json.dumps(outputs))

    return made_once(tmp_path_factory, "notebook", make)


@pytest.fixture(scope="module")
def story(folder: Path) -> dict[str, Shown]:
    """What each cell showed."""
    return {name: Shown(outputs) for name, outputs in json.loads((folder / "story.json").read_text()).items()}


def test_a_mistake_is_one_line_below_the_cell(story: dict[str, Shown]) -> None:
    """The message would stand below forty lines of autofit's code."""
    error = story["mistake"].error
    assert len(error) == 1
    assert error[0].startswith("UserError: nowhere does not exist: check the path")
    assert story["no result"].error[0].startswith("UserError: ")


def test_a_defect_of_autofit_is_a_whole_traceback(story: dict[str, Shown]) -> None:
    """Nobody could report where it is."""
    error = story["defect"].error
    assert len(error) > 5
    assert any("training.py" in line for line in error)
    assert "a defect" in error[-1]


def test_a_command_in_a_cell_gives_plain_lines(story: dict[str, Shown]) -> None:
    """A cell shows each line once and for good: a bar that moves would be hundreds of lines of control codes."""
    assert story["command"].text().split() == ["PlainView"]


def test_the_stop_button_is_one_line_that_says_how_to_go_on(story: dict[str, Shown]) -> None:
    """A stopped cell would show a traceback, and a command for a terminal that the user may not have."""
    error = story["stopped"].error
    assert len(error) == 1
    assert error[0].startswith("InterruptedRunError: ")
    assert "the best model so far is runs/" in error[0]
    assert "go on with: the same call again, or autofit.resume('runs/" in error[0]


def test_what_was_trained_until_the_stop_button_predicts_in_a_table(story: dict[str, Shown]) -> None:
    """What was trained would be of no use, or a row of numbers be shown and the classes have to be looked up."""
    html = story["predicted"].html
    assert html.count("<tr>") == 1 + 10
    assert "photos/class0/000.jpg" in html
    assert "%" in html
    assert story["labels"].text().strip() == "(10, 3) True interrupted"


def test_the_saved_model_says_the_same_of_images_that_load_images_reads(story: dict[str, Shown]) -> None:
    """Who uses the model without autofit, as the summary says, would get other probabilities."""
    assert story["saved model"].error == []
    assert float(story["saved model"].text().split()[-1]) <= 1e-6


def test_the_same_cell_goes_on_and_then_is_finished(story: dict[str, Shown], folder: Path) -> None:
    """A second run would begin from nothing, or a finished one be trained again."""
    assert story["again"].error == []
    result = autofit.Result(run_of(folder).path)
    assert len(result.history["loss"]) == EPOCHS
    assert [attempt.verdict for attempt in result.attempts] == ["interrupted", "completed"]
    assert "already trained" in story["finished"].text()
    assert len(autofit.Result(run_of(folder).path).attempts) == 2


def test_the_display_is_updated_in_place_and_ends_with_a_card(story: dict[str, Shown]) -> None:
    """Each progress line would stay in the notebook, or the figures not be shown at all."""
    outputs: list[Any] = story["again"].outputs
    displays = [output for output in outputs if output["output_type"] == "display_data"]
    (card,) = (output for output in outputs if output["output_type"] == "execute_result")
    assert len(displays) == 1
    assert f"Epoch {EPOCHS}/{EPOCHS}" in displays[0]["data"]["text/html"]
    assert "<progress" not in displays[0]["data"]["text/html"]
    assert len(displays[0]["data"]["text/html"]) < 50_000
    assert "Validation accuracy" in card["data"]["text/html"]
    assert [output for output in outputs if output["output_type"] == "stream"] == []
