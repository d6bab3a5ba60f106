"""The text of a sweep, word for word."""

from __future__ import annotations

import io

from rich.console import Console

from autofit.probing.records import SweepReport
from autofit.report.sweep_text import sweep_table, sweep_text


def test_a_sweep_as_plain_text(sweep: SweepReport) -> None:
    """A log would miss a network, or why it has no figures."""
    expected = """\
Sweep, the fastest first; head trainable, imagenet weights

network      size       images/s         recommended  largest  an image   time
MobileNetV2  160 x 192  ########    146           32      256   10.6 MB   41 s
ResNet50     224        #.......    4.9            8       64   10.6 MB  2 min
ResNet50     1024       does not fit                                      41 s
NASNetLarge  512        does not fit                                      41 s
VGG16        16         failed

Fastest:           MobileNetV2 at 160 x 192, 146 images/s with 32 images at once
Limited by:        --memory-limit, 3.00 GB
Does not fit:      ResNet50 at 1024: not even one image; at 224 it fits
Does not fit:      NASNetLarge at 512: not even one image: take a smaller image
                   size (image_size), a smaller backbone or a higher
                   memory_limit
Failed:            VGG16 at 16: images of 32 x 32 or more, not 16 x 16
Time:              3 min 24 s, 5 probes"""
    assert sweep_text(sweep) == expected
    assert expected.isascii()


def _printed(sweep: SweepReport) -> list[str]:
    """The table's lines in a terminal of 80 columns."""
    stream = io.StringIO()
    Console(file=stream, width=80).print(sweep_table(sweep))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_a_sweep_table_fits_eighty_columns(sweep: SweepReport) -> None:
    """In an ordinary terminal the figures would be cut off, however long the networks' names."""
    renamed = sweep.probes[1].workload.model_copy(update={"backbone": "InceptionResNetV2"})
    slow = sweep.probes[1].model_copy(update={"workload": renamed, "recommended_batch": 10_000})
    assert " MobileNetV2  160 x 192  ████████    146           32      256   10.6 MB   41 s" in _printed(sweep)
    lines = _printed(sweep.model_copy(update={"probes": [sweep.probes[0], slow, *sweep.probes[2:]]}))
    assert "…" not in "".join(lines)
    assert max(map(len, lines)) <= 80
    assert any(line.endswith(" 10,000       64   10.6 MB  2 min") for line in lines)


def test_what_trains_is_a_column_only_where_it_differs(sweep: SweepReport) -> None:
    """Two rows of one network would look the same, or every row would say the same."""
    whole = sweep.probes[1].workload.model_copy(update={"trainable": "all"})
    mixed = sweep.model_copy(
        update={"probes": [sweep.probes[0], sweep.probes[1].model_copy(update={"workload": whole})]}
    )
    assert "  trains  " in sweep_text(mixed)
    assert "ResNet50     224        all " in sweep_text(mixed)
    assert sweep_text(mixed).startswith("Sweep, the fastest first; imagenet weights\n")
    assert "trains  " not in sweep_text(sweep)


def test_a_sweep_in_which_all_failed_is_still_told(sweep: SweepReport) -> None:
    """Many failures would end in one more, about the report."""
    text = sweep_text(sweep.model_copy(update={"probes": []}))
    assert "VGG16    16    failed\n" in text
    assert "Fastest" not in text
    assert _printed(sweep.model_copy(update={"probes": []}))


def test_others_on_the_gpu_are_named_once(sweep: SweepReport) -> None:
    """A process that held the GPU all along would be named for each probe, or for none."""
    shared = [p.model_copy(update={"other_gpu_processes": ["x (pid 7)"]}) for p in sweep.probes]
    assert sweep_text(sweep.model_copy(update={"probes": shared})).count("x (pid 7)") == 1


def test_free_memory_that_changed_is_a_range(sweep: SweepReport) -> None:
    """A sweep over hours would claim one limit for all its probes."""
    less = sweep.probes[1].model_copy(update={"memory_limit_bytes": 2_500_000_000})
    text = sweep_text(sweep.model_copy(update={"probes": [sweep.probes[0], less]}))
    assert "Limited by:        --memory-limit, 2.50 GB to 3.00 GB\n" in text


def test_a_name_cannot_command_the_terminal(sweep: SweepReport) -> None:
    """A model's name or an error's text would clear the screen."""
    hostile = sweep.failures[0].model_copy(update={"cause": "bad\x1b[2J\nFastest: x"})
    assert "bad\\x1b[2J\\nFastest: x" in sweep_text(sweep.model_copy(update={"failures": [hostile]}))
