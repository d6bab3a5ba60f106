"""The plots: real images of a sensible size, whatever the records hold; the user's matplotlib untouched."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image

from autofit.errors import AutofitError
from autofit.probing.records import MemoryModelRecord, ProbeReport, SweepReport
from autofit.protocol.messages import StageRecord, Trial, Verdict
from autofit.report import plots
from autofit.report.drawing import INK, svg


def test_a_probe_is_plotted_as_png(report: ProbeReport, tmp_path: Path) -> None:
    """`--plot` would write no plot, an empty one, or temporary files beside it."""
    path = tmp_path / "probe.png"
    plots.probe_plot(report, path)
    with Image.open(path) as image:
        assert (image.format, image.width, image.height) == ("PNG", 1440, 540)
        assert len(image.convert("RGB").getcolors(2**20) or []) > 50
    assert [entry.name for entry in tmp_path.iterdir()] == ["probe.png"]


def test_memory_panel_shows_limit_line_measurements_and_failures(report: ProbeReport) -> None:
    """The limit, the fit or a failure would be missing, or drawn in bytes."""
    memory, _ = plots.probe_figure(report, "title").axes
    drawn = {line.get_label(): line for line in memory.lines}
    assert set(drawn) == {"limit, 3.00 GB", "fitted line", "measured", "failed"}
    assert list(drawn["measured"].get_xdata()) == [32, 64, 256, 256]  # type: ignore[arg-type]
    assert list(drawn["measured"].get_ydata()) == [0.46, 0.8, 2.41, 2.41]  # type: ignore[arg-type]
    assert (list(drawn["failed"].get_xdata()), list(drawn["failed"].get_ydata())) == ([384], [3.0])  # type: ignore[arg-type]


def test_the_memory_panel_says_what_limits_and_what_is_left_free(report: ProbeReport) -> None:
    """The picture would not say which limit bound, or why the largest size is below it."""
    model = MemoryModelRecord(base_bytes=1.2e8, bytes_per_image=1.06e7, max_relative_error=0.02)
    memory, _ = plots.probe_figure(report.model_copy(update={"memory_model": model, "headroom_bytes": 9e7}), "").axes
    assert memory.get_title("left") == "Memory, limited by --memory-limit"
    assert "headroom, 90 MB" in memory.get_legend_handles_labels()[1]


def test_saved_sizes_are_rings(known: ProbeReport) -> None:
    """Figures from a saved profile would look as if it had been measured now."""
    for axes in plots.probe_figure(known, "").axes:
        drawn = {line.get_label(): line for line in axes.lines}
        assert list(drawn["saved"].get_xdata()) == [32, 64, 256]  # type: ignore[arg-type]
        assert drawn["saved"].get_markerfacecolor() == "none"
        assert list(drawn["measured"].get_xdata()) == [256]  # type: ignore[arg-type]


def test_the_recommended_size_is_marked(report: ProbeReport) -> None:
    """One would have to look up the recommendation in the table."""
    _, speed = plots.probe_figure(report, "").axes
    drawn = {line.get_label(): line for line in speed.lines}
    assert list(drawn["recommended, 32"].get_xydata()[0]) == [32, 146]  # type: ignore[index, arg-type]


def test_a_size_that_was_too_slow_is_on_the_fitted_line(report: ProbeReport) -> None:
    """A size that was stopped for its time would be drawn as one that took no memory, or all of it."""
    slow = Trial(batch_size=100, verdict=Verdict.TIMEOUT)
    memory, _ = plots.probe_figure(report.model_copy(update={"trials": [*report.trials[:3], slow]}), "").axes
    failed = next(line for line in memory.lines if line.get_label() == "failed")
    assert list(failed.get_ydata()) == [pytest.approx(1.18)]  # type: ignore[arg-type]


def test_a_sweep_is_plotted_as_png(sweep: SweepReport, tmp_path: Path) -> None:
    """`--plot` of a sweep would write no plot, or one whose rows are cut off."""
    plots.sweep_plot(sweep, tmp_path / "sweep.png")
    with Image.open(tmp_path / "sweep.png") as image:
        assert (image.format, image.width) == ("PNG", 1440)
        assert image.height > 400


def test_a_sweep_shows_every_network_in_the_tables_order(sweep: SweepReport) -> None:
    """A network that does not fit would be missing, or its bar would be beside another's name."""
    speed, sizes = plots.sweep_figure(sweep, "").axes
    names = [label.get_text() for label in speed.get_yticklabels()]
    assert names == [
        "MobileNetV2 at 160 x 192",
        "ResNet50 at 224",
        "ResNet50 at 1024",
        "NASNetLarge at 512",
        "VGG16 at 16",
    ]
    assert [text.get_text() for text in speed.texts] == ["146", "4.9", "does not fit", "does not fit", "failed"]
    assert [text.get_text() for text in sizes.texts] == ["256", "32", "64", "8"]
    assert speed.yaxis_inverted()


def test_a_sweep_in_which_all_failed_is_still_plotted(sweep: SweepReport, tmp_path: Path) -> None:
    """The picture would fail just where one wants to see why."""
    plots.sweep_plot(sweep.model_copy(update={"probes": sweep.probes[2:]}), tmp_path / "unfit.png")
    plots.sweep_plot(sweep.model_copy(update={"probes": []}), tmp_path / "failed.png")


def test_a_line_that_misses_the_trials_is_not_drawn(report: ProbeReport) -> None:
    """A straight line far from every dot would be shown as what memory costs."""
    steps = MemoryModelRecord(base_bytes=-4e8, bytes_per_image=1.06e7, max_relative_error=6.56)
    memory, _ = plots.probe_figure(report.model_copy(update={"memory_model": steps}), "").axes
    assert "fitted line" not in [line.get_label() for line in memory.lines]


def test_the_title_says_backbone_and_size(report: ProbeReport) -> None:
    """A picture passed on would not say what was probed."""
    figure = plots.probe_figure(report, "MobileNetV2 at 160 x 192 costs $2 to $3")
    assert figure.get_suptitle() == "MobileNetV2 at 160 x 192 costs $2 to $3"
    svg(figure)  # and dollar signs are no formula


@pytest.mark.parametrize("verdict", [Verdict.DEVICE_OOM, Verdict.TIMEOUT])
def test_a_probe_in_which_nothing_fits_is_still_plotted(report: ProbeReport, tmp_path: Path, verdict: Verdict) -> None:
    """The picture would fail just where one wants to see why."""
    trials = [trial.model_copy(update={"verdict": verdict}) for trial in report.trials]
    bare = report.model_copy(
        update={"trials": trials, "memory_model": None, "allocator_limit_bytes": 0, "memory_limit_bytes": 0}
    )
    plots.probe_plot(bare, tmp_path / "probe.png")


@pytest.mark.slow
def test_a_history_is_plotted_to_a_path_and_to_a_buffer(tmp_path: Path) -> None:
    """A notebook gives a buffer, a run a path: one of them would get nothing."""
    history = {"loss": [0.9, 0.5], "accuracy": [0.6, 0.8], "val_loss": [0.8, 0.4], "val_accuracy": [0.7, 0.8]}
    buffer = io.BytesIO()
    plots.history_plot(history, buffer)
    plots.history_plot(history, tmp_path / "history.png")
    assert (tmp_path / "history.png").read_bytes() == buffer.getvalue()
    with Image.open(buffer) as image:
        assert (image.width, image.height) == (1440, 540)


def test_epochs_count_from_one() -> None:
    """The first epoch would be drawn as epoch 0."""
    loss, accuracy = plots.history_figure({"loss": [0.9, 0.5], "acc": [0.6, 0.8], "val_loss": [0.8, 0.4]}).axes
    assert [list(line.get_xdata()) for line in loss.lines[:2]] == [[1, 2], [1, 2]]  # type: ignore[arg-type]
    assert [axes.get_title("left") for axes in (loss, accuracy)] == ["Loss", "Acc"]


@pytest.mark.parametrize("history", [{"loss": [float("nan")]}, {"loss": [float("inf"), 1.0]}, {}])
def test_a_diverged_history_is_still_plotted(history: dict[str, list[float]]) -> None:
    """A run whose loss is not a number would end without its page."""
    plots.history_plot(history, io.BytesIO())


@pytest.mark.slow
def test_the_same_records_give_the_same_svg(report: ProbeReport) -> None:
    """A page made again would differ from the first for no reason, or would call elsewhere."""
    first, second = (svg(plots.probe_figure(report, "")) for _ in range(2))
    assert first == second
    assert first.startswith("<svg")
    assert "currentColor" in first
    assert INK not in first


@pytest.mark.slow
def test_the_users_matplotlib_stays_as_it_was(report: ProbeReport) -> None:
    """A notebook's own plots would change their style after ours."""
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    svg(plots.probe_figure(report, ""))
    assert dict(mpl.rcParams) == before


@pytest.mark.slow
def test_the_room_is_entered_without_heavy_imports() -> None:
    """A summary or a progress bar would cost a second for matplotlib, or TensorFlow in the parent."""
    code = (
        "import sys; import autofit.report.run_text, autofit.report.sweep_text; "
        "import autofit.report.progress, autofit.report.page, autofit.report.plots; "
        "print({'matplotlib', 'numpy', 'tensorflow', 'keras', 'IPython'} & set(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout == "set()\n"


def test_the_curves_mark_the_epoch_that_was_handed_over() -> None:
    """A run whose best model was chosen by accuracy would show another epoch as its best than its card."""
    drawn = []
    for recorded in (None, 0):
        target = io.BytesIO()
        plots.history_plot({"loss": [0.5, 0.4, 0.3], "val_loss": [0.6, 0.5, 0.4]}, target, recorded)
        drawn.append(target.getvalue())
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize(("method", "label"), [("solved", "solved head"), ("epochs", "head")])
def test_the_curves_tell_the_head_from_what_follows(method: Literal["solved", "epochs"], label: str) -> None:
    """A loss of 0.02 that is 1.2 an epoch later, as fine-tuning begins, would be taken for a training gone wrong."""
    stages = [
        StageRecord(name="head", method=method, epochs=1),
        StageRecord(name="fine-tune", method="epochs", epochs=2),
    ]
    history = {"loss": [0.02, 1.2, 0.9]}
    for shown, is_marked in ((stages, True), (stages[:1], True), ((), False)):
        (axes,) = plots.history_figure(history, None, shown).axes
        assert (label in axes.get_legend_handles_labels()[1]) == is_marked
    (alone,) = plots.history_figure({"loss": [0.02]}, None, stages[:1]).axes
    assert label not in alone.get_legend_handles_labels()[1]


def test_where_matplotlib_fails_the_plot_alone_is_missing(
    report: ProbeReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken installation of matplotlib would be called a defect of autofit, after all trials of a probe."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(AutofitError, match=r"the plot is missing, matplotlib fails \(import of matplotlib"):
        plots.probe_plot(report, tmp_path / "probe.png")
