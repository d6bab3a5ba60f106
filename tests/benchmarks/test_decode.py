"""What `benchmarks/decode.py` prints: images/s a core, and which decoder was disturbed. No TensorFlow."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

figures: Any = import_module("decode_table")
decoders: Any = import_module("peers.decode_photos")


def _round(decoder: str = "Pillow", **values: Any) -> Any:
    usual = {"images": 1000, "seconds": 10.0, "cpu_seconds": 10.0, "cores": 1, "scale": 1}
    return figures.Round(decoder=decoder, **(usual | values))


def test_the_table_compares_medians_with_pillow() -> None:
    """One disturbed round does not move the figure that is published, and is still seen."""
    rounds = [
        *[_round(seconds=seconds) for seconds in (10.0, 40.0, 12.5)],
        *[_round("autofit", seconds=5.0, cpu_seconds=4.0, scale=4) for _ in range(3)],
    ]
    lines = figures.table(rounds).splitlines()
    assert [line.count("|") for line in lines] == [len(figures.HEADER) + 1] * 4
    assert lines[2] == "| Pillow | 1 | whole | 80.0 (25.0 to 100.0) | 1.00 | 100.0 | 1.00 |"
    assert lines[3] == "| autofit | 1 | 1/4 | 200.0 (200.0 to 200.0) | 2.50 | 250.0 | 2.50 |"


def test_all_cores_are_divided_by_how_many_there_are() -> None:
    """Two cores at work would look like one that is twice as fast."""
    both = _round(seconds=5.0, cpu_seconds=10.0, cores=2)
    assert both.images_per_second == both.images_per_cpu_second == 100.0
    assert both.share_of_its_cores == 1.0


def test_a_decoder_that_shared_its_cores_is_named() -> None:
    """A figure from a busy machine would be published as any other."""
    rounds = [_round(), _round("autofit", cpu_seconds=9.0), _round("autofit"), _round("tf.io", cpu_seconds=9.9)]
    assert figures.disturbed(rounds) == ["autofit"]


def test_the_scale_leaves_enough_pixels(tmp_path: Path) -> None:
    """A decoder would be measured at a scale that it does not use, or that leaves too little to resize."""
    for size, least, scale in [((640, 480), 448, 1), ((640, 480), 224, 2), ((4000, 3000), 448, 4), ((90, 60), 224, 1)]:
        path = tmp_path / f"{size[0]}.jpg"
        Image.new("RGB", size).save(path)
        assert decoders.scale_for(str(path), least) == scale
        with Image.open(path) as image:
            drafted = image.draft("RGB", (least, least))
        assert drafted is None or image.size[0] == -(-size[0] // scale)  # libjpeg's own choice


def test_the_decoders_without_tensorflow_decode(tmp_path: Path) -> None:
    """A decoder that skips its work would be the fastest."""
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.full((480, 640, 3), 90, np.uint8)).save(path)
    for name in ("pillow", "libjpeg", "autofit-function", "autofit-loader"):
        make, _ = decoders.DECODERS[name]
        decode = make(64, str(path))
        images, seconds, cpu_seconds = decoders.decode_for(decode, iter([[str(path)] * 3] * 10_000), 0.05)
        assert images >= 3
        assert images % 3 == 0
        assert seconds >= 0.05
        assert cpu_seconds > 0
