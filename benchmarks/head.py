"""The head solved, beside scikit-learn's logistic regressions, on the same features.

    python benchmarks/head.py --set food.npz:308 --set fashion.npz:1000 --json head.json

Each set is a file of `head_features.py` and how many of its images train, a fifth of these for validation; all others
test. Five random splits of each class. Seconds are those of one thread of BLAS for all, by the clock and by the
processor, without the extraction of the features, which is the same for all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markdown_table import markdown_table
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from autofit.worker.features.head_fit import fit_head
from autofit.worker.features.head_rows import labelled_rows

Numbers = NDArray[np.int64]
Predict = Callable[[Any], Any]
"""From features (n, d) to probabilities (n, k)."""

VALIDATION_SHARE = 0.2
LEAST_PROBABILITY = 1e-7
"""As Keras's loss has it."""
HEADER = ["set", "contender", "test accuracy, %", "against LogisticRegressionCV", "test loss", "seconds", "CPU seconds"]
REFERENCE = "LogisticRegressionCV, standardised"


@dataclass(frozen=True, slots=True)
class Data:
    """One split of one set: features (n, views, d), labels (n,), and which rows are for what."""

    features: NDArray[np.float32]
    labels: Numbers
    training: Numbers
    validation: Numbers
    test: Numbers

    @property
    def classes(self) -> int:
        """How many there are."""
        return int(self.labels.max()) + 1

    @property
    def known(self) -> Numbers:
        """Training and validation."""
        return np.concatenate([self.training, self.validation])


@dataclass(frozen=True, slots=True)
class Score:
    """What one contender did on one split."""

    set: str
    split: int
    contender: str
    accuracy: float
    loss: float
    seconds: float
    cpu_seconds: float


def share_of_each_class(labels: Numbers, share: float, seed: int) -> tuple[Numbers, Numbers]:
    """Divide the rows at random: a share of each class, two rows at least, and the rest."""
    random = np.random.default_rng(seed)
    shuffled = [random.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    chosen = np.sort(np.concatenate([rows[: max(2, round(share * len(rows)))] for rows in shuffled]))
    return chosen, np.setdiff1d(np.arange(len(labels)), chosen)


def load(path: Path, images: int, split: int) -> Data:
    """One split of a file's images."""
    with np.load(path) as file:
        features, labels = file["features"], file["labels"]
    known, test = share_of_each_class(labels, images / len(labels), split)
    training, validation = share_of_each_class(labels[known], 1 - VALIDATION_SHARE, split + 100)
    return Data(features, labels, known[training], known[validation], test)


def solved(data: Data, *, views: int) -> Predict:
    """The head of autofit: its strength chosen, refitted on training and validation."""

    def rows(numbers: Numbers) -> Any:
        own = data.features[numbers, :views]
        photos = np.repeat(numbers, views)
        weights = np.full(len(photos), 1 / views)
        return labelled_rows(own.reshape(len(photos), -1), data.labels[photos], sample_weights=weights, groups=photos)

    head = fit_head(rows(data.training), rows(data.validation), data.classes).head

    def predict(features: Any) -> Any:
        logits = features @ head.kernel + head.bias
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)

    return predict


def fitted(model: Any, data: Data) -> Predict:
    """A model of scikit-learn on training and validation, which it divides by itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of iterations, and of parameters that are to change
        model.fit(data.features[data.known, 0], data.labels[data.known])
    return model.predict_proba


def contenders() -> dict[str, Callable[[Data], Predict]]:
    """Each by its name in the table."""
    from sklearn.linear_model import LogisticRegression, LogisticRegressionCV  # noqa: PLC0415  # needed here only
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415  # likewise
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415  # likewise

    def searched() -> Any:
        return LogisticRegressionCV(Cs=10, cv=5, max_iter=1000)

    return {
        "autofit": lambda data: solved(data, views=1),
        "autofit, mirror images as views": lambda data: solved(data, views=2),
        REFERENCE: lambda data: fitted(make_pipeline(StandardScaler(), searched()), data),
        "LogisticRegressionCV": lambda data: fitted(searched(), data),
        "LogisticRegression, standardised": lambda data: fitted(
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)), data
        ),
    }


def measured(name: str, split: int, contender: str, train: Callable[[Data], Predict], data: Data) -> Score:
    """Train it and test it."""
    with threadpool_limits(1):
        clock, processor = time.perf_counter(), time.process_time()
        predict = train(data)
        seconds, cpu_seconds = time.perf_counter() - clock, time.process_time() - processor
        probabilities = predict(data.features[data.test, 0])
    labels = data.labels[data.test]
    chosen = np.clip(probabilities[np.arange(len(labels)), labels], LEAST_PROBABILITY, 1)
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    return Score(name, split, contender, accuracy, float(-np.log(chosen).mean()), seconds, cpu_seconds)


def table(scores: Iterable[Score]) -> str:
    """Means over the splits, with standard errors; of differences where it is one."""
    by_row: dict[tuple[str, str], list[Score]] = {}
    for score in scores:
        by_row.setdefault((score.set, score.contender), []).append(score)
    return markdown_table(HEADER, [_cells(row, by_row.get((row[0].set, REFERENCE), [])) for row in by_row.values()])


def _cells(row: list[Score], reference: list[Score]) -> list[str]:
    other = {score.split: score.accuracy for score in reference}
    gains = [100 * (score.accuracy - other[score.split]) for score in row if score.split in other]
    is_reference = row[0].contender == REFERENCE
    return [
        row[0].set,
        row[0].contender,
        _mean([100 * score.accuracy for score in row], "{:.1f} ± {:.1f}"),
        "" if is_reference or not gains else _mean(gains, "{:+.1f} ± {:.1f}"),
        f"{statistics.mean(score.loss for score in row):.3f}",
        f"{statistics.mean(score.seconds for score in row):.2f}",
        f"{statistics.mean(score.cpu_seconds for score in row):.2f}",
    ]


def _mean(values: list[float], form: str) -> str:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return form.format(statistics.mean(values), error)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", required=True, metavar="FILE:IMAGES", help="how many images train")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="contenders by their names")
    parser.add_argument("--json", type=Path, help="raw figures go here")
    given = parser.parse_args()
    scores: list[Score] = []
    chosen = {name: train for name, train in contenders().items() if not given.only or name in given.only}
    for path, _, images in (each.rpartition(":") for each in given.set):
        name = f"{Path(path).stem}, {images} images"
        for split in range(given.splits):
            data = load(Path(path), int(images), split)
            scores += [measured(name, split, contender, train, data) for contender, train in chosen.items()]
        if given.json:
            given.json.write_text(json.dumps([asdict(score) for score in scores], indent=1))
        print(table(score for score in scores if score.set == name), flush=True)


if __name__ == "__main__":
    main()
