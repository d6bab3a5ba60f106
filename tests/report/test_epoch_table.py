"""The table of epochs in a notebook: the newest in view, the best marked, and no longer after a thousand."""

from __future__ import annotations

import math
import re

from autofit.protocol.messages import EpochEnd
from autofit.report.epoch_table import SHOWN_ROWS, EpochTable


def table_of(losses: list[float], epochs: int = 0) -> EpochTable:
    epoch_table = EpochTable()
    for epoch, loss in enumerate(losses):
        metrics = {"loss": loss / 2, "accuracy": 0.5, "val_loss": loss, "val_accuracy": 0.4}
        epoch_table.add(EpochEnd(epoch=epoch, metrics=metrics), epochs, seconds=10.0 + epoch % 3)
    return epoch_table


def test_it_is_empty_before_the_first_epoch() -> None:
    """A notebook would show the headers of nothing."""
    assert EpochTable().html() == ""
    assert EpochTable().seconds_left == 0


def test_the_newest_rows_and_the_best_are_shown() -> None:
    """Someone would scroll for the epoch that counts."""
    html = table_of([2.0, 0.5, *[1.0 + step / 100 for step in range(30)]], 40).html()
    assert html.count("<tr>") == 1 + 1 + SHOWN_ROWS
    assert '<b class="flag">Epoch 2/40 (best)</b>' in html
    assert "Epoch 32/40" in html
    assert "Epoch 20/40" not in html
    assert "and 23 earlier" in html


def test_the_best_epoch_is_the_one_that_the_run_monitors() -> None:
    """With monitor='val_accuracy' the mark would stand at an epoch whose model is not handed over."""
    epoch_table = EpochTable()
    for epoch, (loss, is_best) in enumerate([(0.5, True), (0.9, True), (0.8, False)]):
        epoch_table.add(EpochEnd(epoch=epoch, metrics={"val_loss": loss}, is_best=is_best), 3, seconds=1.0)
    assert epoch_table.best() == 1


def test_of_many_metrics_those_of_the_validation_are_shown_too() -> None:
    """With five metrics beside the loss, a notebook would show none of the validation."""
    names = ["accuracy", "auc", "f1", "precision", "recall", "loss"]
    epoch_table = EpochTable()
    epoch_table.add(EpochEnd(epoch=0, metrics=dict.fromkeys([*names, *map("val_{}".format, names)], 0.5)), 3, 1.0)
    headers = re.findall(r"<th[^>]*>([^<]*)</th>", epoch_table.html())
    assert headers == ["Epoch", "loss", "accuracy", "auc", "val loss", "val accuracy", "val auc", "Time"]


def test_a_thousand_epochs_are_no_longer_than_a_hundred() -> None:
    """Each update of the display would send more to the browser than the one before."""
    short, long = (len(table_of([1.0 + 1 / (step + 1) for step in range(n)], n).html()) for n in (300, 3000))
    assert long < 1.3 * short < 10_000


def test_the_time_that_is_left_follows_from_the_last_epochs() -> None:
    """The first epoch, which traces, would be taken for all of them."""
    assert table_of([1.0] * 9, 12).seconds_left == 3 * 11.0
    assert table_of([1.0] * 9).seconds_left == 0


def test_the_epochs_of_a_head_say_nothing_about_those_of_fine_tuning() -> None:
    """After an epoch of a minute, the nine that follow would be said to take a second."""
    epoch_table = EpochTable()
    for epoch in range(8):
        epoch_table.add(EpochEnd(epoch=epoch, metrics={"loss": 1.0}, stage="head"), 8, seconds=0.1)
    epoch_table.add(EpochEnd(epoch=8, metrics={"loss": 1.0}, stage="fine-tune", first_epoch=8), 18, seconds=60.0)
    assert epoch_table.seconds_left == 9 * 60.0


def test_values_that_are_no_numbers_are_no_points() -> None:
    """A curve through NaN is drawn by no browser."""
    html = table_of([math.nan, 1.0, math.inf, 0.5]).html()
    assert "nan" not in html.split("<svg")[1]
    assert "inf" not in html.split("<svg")[1]
    assert table_of([math.nan]).best() is None
