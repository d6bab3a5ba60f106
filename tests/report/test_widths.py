"""Every report fits a terminal of 80 columns, and one of 60, whatever classes, files and machines are called."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

import autofit.report
from autofit.cache.store import CacheList, EntrySummary
from autofit.config.rungs import Rung
from autofit.doctor import Diagnosis, Finding, Severity
from autofit.machine.cards import CARDS
from autofit.probing.estimate import EstimateReport, Target, estimated
from autofit.probing.records import ProbeReport, RungRecord, SweepFailure, SweepReport
from autofit.profiles.records import Origin, ProfileList, ProfileSummary
from autofit.protocol.messages import BadImage, OomEvent, Phase, Progress, Verdict
from autofit.report import (
    cache_text,
    classification_text,
    data_text,
    doctor_text,
    estimate_text,
    export_text,
    prediction_text,
    probe_text,
    profile_text,
    progress_text,
    run_text,
    sweep_text,
)
from autofit.report.width import columns, in_columns
from autofit.runs.data_findings import ClassSize, DataFindings, FoundImage, ImageGroup, LabelDoubt
from autofit.runs.evaluation import ClassCounts
from autofit.runs.export import Parity
from autofit.runs.predicted_images import ClassFigures
from autofit.runs.result_record import AttemptRecord, ResultRecord
from tests.report import test_profile_text
from tests.support.lines import GB, measured_line
from tests.support.machines import make_hardware
from tests.support.records import make_evaluation, make_export

LONG = "a class with quite a long name " * 5
WIDE = "每个字母都有两列那么宽的类名"  # each letter takes two columns
NETWORK = "EfficientNetV2LargeWithAnEvenLongerName"
FILE = f"/photos/{'deep/' * 30}photo.jpg"
WARNING = "The images differ much in size, and many are smaller than what the network is trained on. " * 2

Reports = dict[str, Callable[[], Iterator[str | Table]]]
"""What each module of texts has to say."""


def printed(said: str | Table, width: int) -> str:
    """As a terminal of that width shows it."""
    if isinstance(said, str):
        return said
    stream = io.StringIO()
    Console(file=stream, width=width).print(said)
    return stream.getvalue()


def of_run(record: ResultRecord) -> Iterator[str]:
    for status in ("failed", "completed"):
        one = record.model_copy(update={"status": status})
        yield run_text.run_summary(one, labels=[LONG] * 9, model_path=Path(FILE).with_name("model.keras"))


@pytest.fixture
def run(
    make_result: Callable[..., ResultRecord],
    make_attempt: Callable[..., AttemptRecord],
    make_oom: Callable[..., OomEvent],
) -> ResultRecord:
    return make_result(
        status="failed",
        cause=WARNING,
        warnings=[WARNING],
        attempts=[make_attempt(Verdict.CRASHED, "exit code 139 " * 9)],
        oom_events=[make_oom(3, 32), make_oom(4, 16)],
        quarantined=[BadImage(path=FILE, reason="the file is empty")],
        tested_images=1200,
        test_accuracy=0.8,
        test_loss=0.5,
        validated_images=400,
        best_epoch=1,
    )


def of_probe(report: ProbeReport) -> Iterator[str | Table]:
    renamed = report.workload.model_copy(update={"backbone": NETWORK})
    both = report.model_copy(update={"workload": renamed, "recommended_batch": report.largest_feasible_batch})
    for one in (report, both):
        yield probe_text.probe_text(one)
        yield probe_text.probe_table(one)
        yield "\n".join(probe_text.probe_facts(one))


def of_sweep(sweep: SweepReport) -> Iterator[str | Table]:
    long = [
        probe.model_copy(update={"workload": probe.workload.model_copy(update={"backbone": NETWORK})})
        for probe in sweep.probes
    ]
    for one in (sweep, sweep.model_copy(update={"probes": long})):
        yield sweep_text.sweep_text(one)
        yield sweep_text.sweep_table(one)


def of_estimate() -> Iterator[str | Table]:
    line = measured_line()
    named = line.workload.model_copy(update={"backbone": NETWORK, "trainable": "all", "image_size": (160, 192)})
    line = line.model_copy(update={"workload": named})
    targets = [Target("cpu", 4 * GB), Target("a100-80gb", CARDS["a100-80gb"].memory_bytes, CARDS["a100-80gb"])]
    report = EstimateReport(
        estimates=[estimated(line, target) for target in targets],
        failures=[SweepFailure(workload=named, cause="SIGSEGV")],
        measured=[line],
        wall_seconds=41.0,
    )
    yield estimate_text.estimate_text(report)
    yield estimate_text.estimate_table(report)


def of_profiles() -> Iterator[str]:
    one = test_profile_text.profile(
        test_profile_text.entry(largest=2**24, recommended=2**24, backbone=NETWORK), cpu_model="Some CPU " * 20
    )
    one = one.model_copy(update={"extractions": [test_profile_text.extraction(backbone=NETWORK)]})
    yield profile_text.profile_text(one, Origin.SHIPPED)
    summary = ProfileSummary(
        fingerprint="0123456789abcdef",
        device_name="NVIDIA RTX 6000 Ada Generation",
        entries=1000,
        newest=1.8e9,
        origin=Origin.SHIPPED,
    )
    yield profile_text.profiles_text(ProfileList(folder=FILE, profiles=[summary]))


def of_cache() -> Iterator[str]:
    about = {"backbone": NETWORK, "image_size": "1024x1024", "weights": "imagenet"}
    entry = EntrySummary(
        name="0" * 41, kind="features", about=about, images=1_234_567, size_bytes=6 * GB, last_used=1.8e9
    )
    yield cache_text.cache_text(CacheList(folder=FILE, limit_bytes=20 * GB, entries=[entry]))
    yield cache_text.cache_text(CacheList(folder=FILE, limit_bytes=20 * GB, entries=[]))
    yield cache_text.cleared_words(3, 6 * GB, [entry])


def of_doctor() -> Iterator[str]:
    finding = Finding(severity=Severity.NOTE, topic="gpu", text="word " * 60, advice="more " * 60)
    yield doctor_text.doctor_text(
        Diagnosis(
            hardware=make_hardware(cpu_model="Some CPU " * 15),
            versions={"keras": "3"},
            environment={},
            findings=[finding],
        )
    )


def of_data() -> Iterator[str]:
    image = FoundImage(path=FILE, label=LONG, split="train")
    other = FoundImage(path=FILE.replace("photo.", "other."), label="dog", split="test")
    yield data_text.data_summary(
        DataFindings(
            root="/photos",
            images=40,
            classes=[ClassSize(name=LONG, train=3), ClassSize(name="dog", train=30, test=7)],
            understood=["images of 64 x 64 pixels: " + "they are enlarged " * 8],
            tiny_classes=["dog"],
            unreadable=[BadImage(path=FILE, reason="the file is empty")],
            same=[ImageGroup(images=[image, other])],
            alike=[ImageGroup(images=[image, other], by_features=True)] * 30,
            only_nearly_equal=True,
            doubts=[LabelDoubt(image=image, suggested="dog", probability=0.1, suggested_probability=0.8)],
            likely_wrong=1,
            labels_note="Wrong labels were looked for with MobileNet",
        )
    )


def of_classes() -> Iterator[str]:
    figures = ClassFigures(name=LONG, images=12_345, predicted=8, precision=1.0, recall=0.8, f1=0.889)
    yield "\n".join(classification_text.class_lines([figures]))
    for classes in (2, 8, 30):
        yield "\n".join(classification_text.confusion_lines(np.full((classes, classes), 9_999), [LONG] * classes))


def of_predictions() -> Iterator[str]:
    counts = ClassCounts(name=LONG, images=1_234, right=999, predicted=1_100)
    figures = make_evaluation(
        LONG,
        images=123_456,
        views=16,
        classes=[counts],
        unreadable=[],
        mean_average_precision=0.8,
        f1=0.7,
        own_images=1_200,
    )
    yield prediction_text.evaluation_text(figures)
    yield prediction_text.file_words(FILE, 9_000, 3, {f"kind {number}": 9 for number in range(50)})
    yield "\n".join(prediction_text.prediction_lines([FILE], [[("cat", 0.9)]]))


def of_ladder(report: ProbeReport) -> Iterator[str]:
    rungs = [
        RungRecord(
            rung=Rung(segments=segments),
            largest_feasible_batch=1_234,
            recommended_batch=1_024,
            images_per_second=12_345.0,
            bytes_per_image=1.2e9,
            price=0.118,
        )
        for segments in (0, 16)
    ]
    yield probe_text.probe_text(report.model_copy(update={"rungs": rungs}))


def of_export() -> Iterator[str]:
    parity = Parity(images=88, same=86, largest_difference=0.012, accuracy_before=0.705, accuracy_after=0.693)
    export = make_export(
        FILE,
        int8=True,
        size_bytes=3_540_000,
        model_bytes=13_300_000,
        were_trained_on=True,
        parity=parity,
    )
    yield "\n".join(export_text.export_lines(export, Path(FILE)))


def of_progress() -> Iterator[str]:
    metrics = {"loss": 0.5, "accuracy": 0.9, "val_loss": 0.6, "val_accuracy": 0.8}
    progress = Progress(
        time=0.0,
        phase=Phase.TRAIN,
        epoch=99,
        step=12_345,
        steps=123_456,
        micro_batch_size=128,
        images_per_second=12_345.0,
        metrics=metrics,
        stage="refit",
    )
    yield progress_text.shortened(progress_text.describe(progress, 100), columns()).text


@pytest.fixture
def reports(report: ProbeReport, sweep: SweepReport, run: ResultRecord) -> Reports:
    return {
        "cache_text": of_cache,
        "classification_text": of_classes,
        "data_text": of_data,
        "doctor_text": of_doctor,
        "estimate_text": of_estimate,
        "export_text": of_export,
        "ladder_text": lambda: of_ladder(report),
        "prediction_text": of_predictions,
        "probe_text": lambda: of_probe(report),
        "profile_text": of_profiles,
        "progress_text": of_progress,
        "run_text": lambda: of_run(run),
        "sweep_text": lambda: of_sweep(sweep),
    }


MODULES = sorted(path.stem for path in Path(autofit.report.__file__).parent.glob("*_text.py"))


@pytest.mark.parametrize("name", [LONG, WIDE], ids=["long", "wide"])
@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("module", MODULES)
def test_every_report_fits_the_terminal(
    module: str, width: int, name: str, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns would be torn apart, a figure cut off, or a new kind of report not be looked at."""
    monkeypatch.setattr(sys.modules[__name__], "LONG", name)
    with in_columns(width):
        said = [printed(one, width) for one in reports[module]()]
    assert said
    for text in said:  # a name that is longer than a line is whole
        assert "…" not in text
        lines = [line for line in text.splitlines() if not re.search(r"/deep/|\.keras|^    a class", line)]
        assert [line for line in lines if cell_len(line.rstrip()) > width] == []


def test_figures_stand_below_each_other_beside_names_in_wide_letters() -> None:
    """Each letter of a Chinese name would push the figures of its class one column to the right."""
    figures = [
        ClassFigures(name=name, images=5, predicted=5, precision=1.0, recall=1.0, f1=0.5) for name in ("猫", "dog")
    ]
    assert {cell_len(line) for line in classification_text.class_lines(figures)} == {78}
    told = prediction_text.prediction_lines(["a.jpg", "b.jpg"], [[("猫", 0.9)], [("dog", 0.9)]])
    assert [cell_len(line.partition("  ")[0]) for line in told] == [8, 9]
    assert [cell_len(line) for line in told] == [16, 16]


def test_a_narrow_table_keeps_what_it_is_for(report: ProbeReport, sweep: SweepReport) -> None:
    """What was left out for want of room would be the answer."""
    with in_columns(60):
        evaluated, listed = next(of_predictions()), [*of_profiles()][1]
        probed = printed(probe_text.probe_table(report), 60)
        swept = printed(sweep_text.sweep_table(sweep), 60)
        estimated_ = [printed(one, 60) for one in of_estimate()]
    assert evaluated.splitlines()[-1].split()[-4:] == ["1,234", "999", "0.810", "1,100"]
    assert listed.splitlines()[1].split()[0] == "0123456789abcdef"
    for words in ("256", "verified", "2.41 GB", "out of memory", "124"):
        assert words in probed
    for words in ("146", "Recommended", "Largest"):
        assert words in swept
    for text in estimated_:
        assert "a100-80gb" in text
        assert "t most" in text
        assert "85.90 GB" in text
        assert "8,388" in text


def test_the_width_of_text_has_limits_and_ends_with_its_command() -> None:
    """A terminal of 300 columns would get lines that nobody reads, one of 20 tables without names."""
    with in_columns(300):
        assert columns() == 80
    with in_columns(20):
        assert columns() == 60
    assert columns() == 80
