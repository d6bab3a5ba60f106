"""The text of a probe, word for word."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from autofit.probing.records import MemoryModelRecord, ProbeReport, TimeSpent
from autofit.protocol.messages import Trial, Verdict
from autofit.report.probe_text import found_words, noted_trial, probe_facts, probe_table, probe_text
from tests.support.records import make_probe_report, make_workload


def test_a_probe_as_plain_text(report: ProbeReport) -> None:
    """A log would miss a trial or the reason for the recommendation."""
    expected = """\
MobileNetV2 at 160 x 192, head trainable, imagenet weights

 batch  verdict                  memory of 3.00 GB      images/s
    32  fits, recommended        ##..........  0.46 GB  ############    146
    64  fits                     ###.........  0.80 GB  ############    149
   256  fits                     ##########..  2.41 GB  ##########..    124
   256  fits, verified, largest  ##########..  2.41 GB  ##########..    121
   384  out of memory

Largest that fits: 256
Recommended:       32, the smallest within 5 % of the best (149 images/s at 64)
Limited by:        --memory-limit, 3.00 GB; 2.50 GB of it left for tensors
Memory:            0.12 GB + 10.6 MB an image, off by 2.1 % at most
Time:              41 s, 5 trials"""
    assert probe_text(report) == expected
    assert expected.isascii()


@pytest.mark.parametrize(
    ("backbone", "title"),
    [("my.networks:small", "my.networks:small at 160 x 160"), ("<function>", "your own model at 160 x 160")],
)
def test_a_network_of_the_users_is_not_said_to_have_random_weights(
    report: ProbeReport, backbone: str, title: str
) -> None:
    """A pretrained network with frozen layers would be "all layers trainable, random weights", and have no name."""
    workload = make_workload(backbone=backbone, weights="none", trainable="all")
    assert probe_text(report.model_copy(update={"workload": workload})).startswith(f"{title}\n")
    of_head = workload.model_copy(update={"trainable": "head"})
    assert probe_text(report.model_copy(update={"workload": of_head})).startswith(f"{title}, head trainable\n")


def _printed(report: ProbeReport) -> list[str]:
    """The table's lines in a terminal of 80 columns."""
    stream = io.StringIO()
    Console(file=stream, width=80).print(probe_table(report))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_a_probe_table_fits_eighty_columns(report: ProbeReport) -> None:
    """In an ordinary terminal the figures would be cut off."""
    lines = _printed(report)
    assert "     32  fits, recommended        ██░░░░░░░░░░  0.46 GB  ████████████    146" in lines
    assert "    384  out of memory" in lines
    assert "…" not in "".join(lines)
    assert max(map(len, lines)) <= 80


def test_the_longest_verdict_leaves_room_for_the_figures(report: ProbeReport) -> None:
    """A probe that found its answer at once would have its last column cut off."""
    only = report.trials[0].model_copy(update={"batch_size": 16_384, "fresh": True, "images_per_second": 12_345.0})
    answer = {"trials": [only], "largest_feasible_batch": 16_384, "recommended_batch": 16_384}
    found = report.model_copy(update=answer | {"memory_limit_bytes": 120_000_000_000})
    lines = _printed(found)
    assert any(line.endswith(" 12,345") and "fits, verified, largest, recommended" in line for line in lines)
    assert max(map(len, [*lines, *probe_text(found).splitlines()])) <= 80


def test_a_probe_in_which_nothing_fits_says_what_to_do(report: ProbeReport) -> None:
    """A batch of 0 would be recommended."""
    nothing = report.model_copy(update={"largest_feasible_batch": 0, "recommended_batch": 0, "trials": []})
    text = probe_text(nothing)
    assert "not even one image fits: take a smaller image size (image_size), a smaller backbone" in " ".join(
        text.split()
    )
    assert "Recommended" not in text


def test_what_a_saved_profile_told_is_not_called_a_trial(known: ProbeReport) -> None:
    """A figure from a saved profile would be taken for one measured now."""
    assert probe_text(known).endswith("Time:              6.2 s, 1 trial, 4 known from a saved profile")
    notes = [noted_trial(trial, known) for trial in known.trials]
    assert notes == [
        "fits, saved",
        "fits, saved, recommended",
        "fits, saved",
        "out of memory, saved",
        "fits, verified, largest",
    ]


def test_one_row_is_the_largest_and_one_is_recommended(report: ProbeReport) -> None:
    """A size that was measured and then verified would be marked twice, or its verification would look like a slip."""
    same = report.model_copy(update={"recommended_batch": 256})
    notes = [noted_trial(trial, same) for trial in report.trials if trial.batch_size == 256]
    assert notes == ["fits, recommended", "fits, verified, largest"]
    once = same.model_copy(update={"trials": [t for t in report.trials if not t.fresh]})
    assert "fits, largest, recommended" in [noted_trial(trial, once) for trial in once.trials]


def test_only_the_answer_is_verified(report: ProbeReport) -> None:
    """The first size of every process would be called verified, and the word would mean nothing."""
    first = report.trials[1].model_copy(update={"fresh": True})
    assert noted_trial(first, report.model_copy(update={"trials": [first]})) == "fits, recommended"


@pytest.mark.parametrize(
    ("error", "expected"),
    [(0.0, "an image\n"), (0.0001, "an image, off by under 0.1 %\n"), (0.006, "an image, off by 0.6 % at most\n")],
)
def test_an_error_is_shown_where_it_says_something(report: ProbeReport, error: float, expected: str) -> None:
    """A line through two sizes, which meets both, would be praised as exact."""
    model = MemoryModelRecord(base_bytes=9.4e8, bytes_per_image=5.71e6, max_relative_error=error)
    text = probe_text(report.model_copy(update={"memory_model": model}))
    assert f"Memory:            0.94 GB + 5.71 MB {expected}" in text


def test_a_line_that_misses_the_trials_is_not_praised(report: ProbeReport) -> None:
    """Memory that is not linear in the batch would be described by a line that is "within 656 %" of it."""
    steps = MemoryModelRecord(base_bytes=-4e8, bytes_per_image=1.06e7, max_relative_error=6.56)
    text = probe_text(report.model_copy(update={"memory_model": steps}))
    assert "Memory:            not linear in the batch here, so there is no figure for an\n" in text
    assert "at most" not in text
    assert "10.6 MB" not in text
    below = steps.model_copy(update={"max_relative_error": 0.3})
    text = probe_text(report.model_copy(update={"memory_model": below}))
    assert "Memory:            10.6 MB an image, less 0.40 GB, off by 30.0 % at most\n" in text


def test_a_probe_without_a_line_says_that_it_has_none(report: ProbeReport) -> None:
    """On a GPU a line that misses the trials is not even in the record; its place in the text would just be empty."""
    assert "Memory:            not linear in the batch here" in probe_text(
        report.model_copy(update={"memory_model": None})
    )


def test_headroom_and_the_bare_process_are_told_where_they_were_measured(report: ProbeReport) -> None:
    """One would wonder why the largest size is not at the limit, and what takes memory before the first image."""
    model = MemoryModelRecord(base_bytes=9.4e8, bytes_per_image=5.71e6, max_relative_error=0.006)
    measured = {"memory_model": model, "headroom_bytes": 48e6, "non_allocator_bytes": 480_000_000}
    text = probe_text(report.model_copy(update=measured))
    assert "\nHeadroom:          48 MB kept free below the limit, from the measured spread\n" in text
    assert "\nOther memory:      0.48 GB, measured outside tensors and image buffers\n" in text
    assert not {"Headroom", "Other memory"} & {line.split(":")[0] for line in probe_facts(report)}


def on_gpu(report: ProbeReport, **changes: object) -> ProbeReport:
    """The same of a GPU with 80 GB."""
    fields = {"hardware": {"device": "gpu"}, "memory_limit_bytes": 80 * 10**9, "headroom_bytes": 4e9}
    return report.model_copy(update=fields | changes)


def test_headroom_on_a_gpu_is_told_as_the_share_that_it_is(report: ProbeReport) -> None:
    """It would be called a measured spread, which the workspaces of first steps made 55 of 83 GB."""
    text = " ".join(probe_text(on_gpu(report)).split())
    assert "Headroom: 4.00 GB that the recommended size leaves free: 5% of the limit, 0.30 GB at least Time" in text
    text = " ".join(probe_text(on_gpu(report, headroom_bytes=5e9)).split())
    assert "0.30 GB at least, and 1.00 GB that other processes took meanwhile Time" in text


def test_the_recommendation_on_a_gpu_is_within_three_percent_or_keeps_the_headroom(report: ProbeReport) -> None:
    """The words would be those of a CPU; or a slower size be called as fast as the best."""
    within = [t.model_copy(update={"images_per_second": 148.0 if t.batch_size == 32 else 120}) for t in report.trials]
    assert "32, the fastest (148 images/s)" in probe_text(on_gpu(report, trials=within))
    within[2] = within[2].model_copy(update={"images_per_second": 150.0})
    assert "32, the smallest within 3 % of the best (150 images/s at 64)" in probe_text(on_gpu(report, trials=within))
    within[2] = within[2].model_copy(update={"images_per_second": 200.0})
    text = " ".join(probe_text(on_gpu(report, trials=within)).split())
    assert "32, as fast as any that keeps the headroom (200 images/s at 64)" in text


def test_the_time_is_told_in_its_parts(report: ProbeReport) -> None:
    """A probe of 43 s would not say that it was waiting for processes and tuning, and that no trial was too long."""
    spent = TimeSpent(
        process_starts_seconds=15.2, first_steps_seconds=14.1, steady_steps_seconds=9.0, other_seconds=4.7
    )
    lines = probe_text(report.model_copy(update={"time_spent": spent})).splitlines()
    assert lines[-2:] == [
        "Of that:           15 s starting 1 process, 14 s first steps (tracing, tuning),",
        "                   9.0 s steady steps, 4.7 s other",
    ]


def test_a_limit_that_is_all_for_tensors_is_told_once(report: ProbeReport) -> None:
    """A GPU's limit would be shown twice, as if a part of it were not available."""
    whole = report.model_copy(update={"allocator_limit_bytes": report.memory_limit_bytes})
    assert "--memory-limit, 3.00 GB\n" in probe_text(whole)
    unknown = report.model_copy(update={"allocator_limit_bytes": 0})
    assert "--memory-limit, 3.00 GB\n" in probe_text(unknown)


def test_others_on_the_gpu_are_named(report: ProbeReport) -> None:
    """One would not know whom to ask for the memory that is missing; a process's name could command the terminal."""
    shared = report.model_copy(update={"other_gpu_processes": ["python3 (pid 4711, 2.1 GB)", "x\x1b[2J (pid 9)"]})
    assert "Also on the GPU:   python3 (pid 4711, 2.1 GB), x\\x1b[2J (pid 9)\n" in probe_text(shared)


def test_an_answer_that_the_limit_did_not_make_says_so(report: ProbeReport) -> None:
    """The largest size of interest would be taken for all that the memory holds."""
    bounded = report.model_copy(update={"max_batch": 256})
    assert "Largest that fits: 256, and no larger size was asked for\n" in probe_text(bounded)


def test_a_few_images_a_second_keep_a_decimal(report: ProbeReport) -> None:
    """On a CPU 5.3 and 4.7 images/s would both be 5."""
    slow = report.trials[1].model_copy(update={"images_per_second": 5.34})
    text = probe_text(report.model_copy(update={"trials": [slow]}))
    assert "############    5.3\n" in text
    assert "32, the fastest (5.3 images/s)" in text


def test_a_size_whose_memory_is_not_known_has_no_bar(report: ProbeReport) -> None:
    """A size of unknown memory would be shown as free of cost."""
    unknown = Trial(batch_size=8, verdict=Verdict.FITS, non_allocator_bytes=300_000_000, images_per_second=50.0)
    rows = probe_text(report.model_copy(update={"trials": [unknown]})).splitlines()
    assert [line.split() for line in rows if line.startswith("     8")] == [["8", "fits", "############", "50"]]


def test_a_limit_that_was_only_found_says_what_share_it_is(report: ProbeReport) -> None:
    """A person would look for the missing tenth of the machine's memory."""
    found = report.model_copy(update={"limited_by": "host memory", "hardware": {"device": "cpu"}})
    assert "host memory, 3.00 GB (90% of what is free)" in probe_text(found).replace("\n" + " " * 19, " ")
    assert "of what is free" not in probe_text(report)


def test_gaps_in_the_allocator_are_told(report: ProbeReport) -> None:
    """ResNet50 needs a fifth more than its tensors: the line would look wrong beside their sum."""
    assert report.memory_model is not None
    model = report.memory_model.model_copy(update={"fragmentation": 1.09})
    text = probe_text(report.model_copy(update={"memory_model": model})).replace("\n" + " " * 19, " ")
    assert "tensors with 9 % for the gaps between them" in text


@pytest.mark.parametrize(
    ("largest", "recommended", "most", "words"),
    [
        (64, 16, 32, "64 images at once fit easily, 16 are as fast as any"),
        (8, 8, 8, "8 images at once fit easily and are as fast as any"),
        (8, 1, 8, "8 images at once fit easily, 1 is as fast as any"),
        (8, 4, 32, "up to 8 images at once fit, 4 are as fast as any"),
        (8, 8, 32, "up to 8 images at once fit, 8 are as fast as any"),
        (1, 1, 32, "only 1 image at once fits"),
        (1, 1, 1, "1 image at once fits easily"),
    ],
)
def test_what_a_training_is_told_of_its_probe(largest: int, recommended: int, most: int, words: str) -> None:
    """`8 images at once fit easily, 8 are as fast as any` reads like a mistake, and one image has no plural."""
    assert found_words(make_probe_report(recommended, largest), most) == f"probe: {words} (1 s)"
