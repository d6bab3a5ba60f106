"""Solves the head: logistic regression with an L2 penalty, to its optimum, as one Dense layer. No TensorFlow.

With one label a row it is multinomial (a softmax); with any number of labels (`head_losses.py`) there is a logistic
regression for each label (a sigmoid).

With constant features the head is a convex problem. It is solved by L-BFGS on standardised features, in coordinates in
which it is well conditioned: along the eigenvectors of the features' covariance, each scaled by its curvature. If there
are fewer rows than features, the optimal kernel lies in the span of the rows, because of its penalty, and only that
subspace is searched. The solution is folded back, so that kernel and bias apply to features that are not standardised.

With several BLAS threads, products of small matrices spend most of their time waiting, on a busy machine a hundred
times as long as they compute. So BLAS has one thread here. Several blocks of rows are computed in parallel instead, and
summed in their order, so that the result does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from autofit.worker.features.head_losses import loss_of
from autofit.worker.features.head_memory import DOUBLE_VALUES, HELD_BYTES, corrections
from autofit.worker.features.head_rows import (
    Floats,
    LabelledRows,
    Numbers,
    RowSource,
    check_labels,
    labelled_rows,
    standardisation,
    with_class_weights,
)

MOST_EIGENVECTORS = 2048
"""The most eigenvectors that are computed. The time grows with the cube of their number, to two seconds for so many on
two cores."""
ROWS_PER_EIGENVECTOR = 4
"""With more rows for each feature than this, the covariance is computed from a part of them: it only scales the search.
"""
MOST_PROJECTED = 8
"""With at most so many rows for each feature, the rows are transformed into the coordinates once. With more, it costs
less to transform the kernel in each pass. With 1,438 rows of 1,280 features it saves half of the time of a pass."""
SMALLEST_EIGENVALUE = 1e-11
"""Eigenvalues below this share of the largest count as zero, within float64's precision."""

MOST_ITERATIONS = 1000
OPTIMUM, COMPARISON = 1e-5, 3e-4
"""The tolerance of the search: the largest component of the gradient of the mean loss, in the well-conditioned
coordinates. `OPTIMUM` is for the final head, `COMPARISON` for heads that are only compared: their losses on other rows
are right to 1 %, after a third of the passes. A tenth of `OPTIMUM` changed the accuracy on none of nine data sets by
0.02 points, and took up to three times as many passes where the classes are separable (docs/benchmarks.md); float32
allows no smaller tolerance."""
OPTIMUM_OF_MANY = 1e-4
"""The tolerance for the final head if rows do not fit into memory, so that each pass reads them again: with half of the
passes, the mean loss on other rows changed by at most 1.1e-5 (docs/decisions/0066)."""
CONVERGED = {0, 2}
"""SciPy's status of a search that has met the tolerance, and of one that finds nothing lower, for rounding errors."""
LEAST_ITERATIONS = 50
"""How many iterations the search for the final head makes in any case, even when the time is over."""


def held_rows(width: int) -> int:
    """The number of rows of this width, in float32, that stay in memory."""
    return max(1, HELD_BYTES // (np.dtype(np.float32).itemsize * max(1, width)))


one_blas_thread = threadpool_limits.wrap(limits=1, user_api="blas")
"""Decorates a function that solves: BLAS uses one thread in this process until the function returns."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A Dense layer, with a softmax or sigmoids, on the backbone's features, which need not be standardised.

    Attributes:
        kernel: float32 (d, k).
        bias: float32 (k,).
    """

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, rows: LabelledRows) -> Floats:
        """The logits of the rows, float64 (n, k); the rows are read in blocks."""
        blocks = [logits for _, logits in self.logits_by_block(rows)]
        return np.concatenate(blocks) if blocks else np.empty((0, len(self.bias)))

    def logits_by_block(self, rows: LabelledRows) -> Iterator[tuple[slice, Floats]]:
        """The rows of each block, and their logits, float64 (block, k). All logits at once might take gigabytes."""
        kernel, bias = self.kernel.astype(np.float64), self.bias.astype(np.float64)
        for block in rows.block_rows():
            yield block, rows.read(block) @ kernel + bias

    def of_labels(self, labels: slice) -> Head:
        """The head for some of the labels."""
        return Head(self.kernel[:, labels], self.bias[labels])


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """A solved head; the search for another strength of the penalty can begin with it.

    Attributes:
        head: the head.
        coordinates: float64 (r + 1, present classes): the kernel in the problem's own coordinates, and the bias.
        passes: the number of passes over the rows.
        converged: whether the optimum was reached, within the tolerance or rounding errors.
    """

    head: Head
    coordinates: Floats
    passes: int
    converged: bool


@one_blas_thread
def solve_head(
    features: RowSource,
    labels: Numbers,
    num_classes: int,
    *,
    l2: float,
    class_weights: Mapping[int, float] | None = None,
    sample_weights: Floats | None = None,
) -> Head:
    """Solve the head for one strength of its penalty.

    It minimises the sum over the rows of weight times cross-entropy, plus `l2 / 2` times the sum of squares of the
    kernel on standardised features; the bias is not penalised. So `1 / l2` is the parameter C of scikit-learn.

    Args:
        features: (n, d), in memory or memory-mapped, of any float type.
        labels: int64 (n,), from 0 to `num_classes` - 1. A class without a row of a weight above 0 is never predicted.
        num_classes: k.
        l2: the strength of the penalty, above 0.
        class_weights: the weights of the classes' losses; 1 for a class that is not named.
        sample_weights: the weights of the rows' losses, float64 (n,).

    Raises:
        ValueError: a label, a weight or `l2` is out of its range, or a feature is not finite.
    """
    rows = with_class_weights(labelled_rows(features, labels, sample_weights=sample_weights), class_weights)
    return HeadProblem(rows, num_classes).solve(l2).head


class HeadProblem:
    """The rows that a head is solved on, prepared once for any number of strengths; used under `one_blas_thread`.

    Args:
        rows: the rows.
        num_classes: k.
        threads: how many blocks of rows are computed in parallel; the result does not depend on it.
        held_bytes: standardised rows up to this size stay in memory; `HELD_BYTES` by default.

    Raises:
        ValueError: a label is out of its range, no row has a weight, or a feature is not finite.
    """

    def __init__(
        self, rows: LabelledRows, num_classes: int, *, threads: int = 1, held_bytes: int | None = None
    ) -> None:
        check_labels(rows, num_classes)
        rows = rows.counting()
        if not len(rows):
            raise ValueError("no row has a weight above 0")
        self._rows, self._num_classes, self._threads = rows, num_classes, threads
        self._loss_of_rows = loss_of(rows, num_classes)
        self._total_weight = float(rows.weights.sum())
        self._block_rows = rows.block_rows()
        values = len(rows) * rows.width
        self._dtype: type[np.float32 | np.float64] = np.float64 if values <= DOUBLE_VALUES else np.float32
        self._standardise = standardisation(rows)
        self._held: list[NDArray[Any]] | None = None
        if values * np.dtype(self._dtype).itemsize <= (HELD_BYTES if held_bytes is None else held_bytes):
            self._held = [self._to_hold(block) for block in self._block_rows]
        self._basis, self._eigenvalues, self._projected = self._coordinates()

    def _features(self, block: int) -> NDArray[Any]:
        """A block of rows: standardised, or, if rows are held in these, in the problem's coordinates.

        Rows that are read again in each pass are standardised in float32, which takes half of the time.
        """
        if self._held is not None:
            return self._held[block]
        return self._standardise(self._rows.read(self._block_rows[block], self._dtype))

    def _to_hold(self, block: slice) -> NDArray[Any]:
        return self._standardise(self._rows.read(block)).astype(self._dtype, copy=False)

    def _coordinates(self) -> tuple[Floats | None, Floats, bool]:
        """Choose the coordinates.

        Returns:
            The basis (d, r), or None for the features themselves; the weighted sum of squares along each of its vectors
            (r,); and whether the rows are held in that basis.
        """
        rows, width, held = self._rows, self._rows.width, self._held
        if held is not None and len(rows) <= min(width, MOST_EIGENVECTORS):
            basis, eigenvalues = _row_space(np.concatenate(held).astype(np.float64), rows.weights)
        elif width <= MOST_EIGENVECTORS:
            basis, eigenvalues = self._column_space()
        else:
            return None, np.full(width, self._total_weight), False
        if held is None or len(rows) > MOST_PROJECTED * width:
            return basis, eigenvalues, False
        self._held = [(block @ basis).astype(self._dtype) for block in held]
        return basis, eigenvalues, True

    def _column_space(self) -> tuple[Floats, Floats]:
        """All eigenvectors (d, d) and eigenvalues (d,) of the covariance of the rows, or of a part of them."""
        step = max(1, len(self._rows) // (ROWS_PER_EIGENVECTOR * self._rows.width))
        part = self._rows.of(np.arange(0, len(self._rows), step))
        covariance = np.zeros((self._rows.width, self._rows.width))
        for block in part.block_rows():
            features = self._standardise(part.read(block))
            covariance += features.T @ (features * part.weights[block, None])
        eigenvalues, basis = np.linalg.eigh(covariance)
        return basis, np.maximum(eigenvalues, 0.0) * (self._total_weight / float(part.weights.sum()))

    def solve(
        self,
        l2: float,
        start: Solution | None = None,
        *,
        tolerance: float = OPTIMUM,
        goes_on: Callable[[], bool] = lambda: True,
        least_iterations: int = LEAST_ITERATIONS,
    ) -> Solution:
        """Find the optimum for a strength, starting from the solution for another one, or from zeros.

        Args:
            l2: the strength, as in `solve_head`.
            start: the solution of this problem for a similar strength.
            tolerance: `OPTIMUM`, `OPTIMUM_OF_MANY` or `COMPARISON`.
            goes_on: called after each iteration; False ends the search where it is. It may raise.
            least_iterations: so many iterations are made whatever `goes_on` returns.

        Raises:
            ValueError: `l2` is not above 0.
        """
        if not (np.isfinite(l2) and l2 > 0):
            raise ValueError(f"l2 is {l2}: it must be a number above 0")
        of_rows = self._loss_of_rows
        shape = (len(self._eigenvalues) + 1, len(of_rows.present))
        begin = np.zeros(shape) if start is None else start.coordinates
        if of_rows.is_solved:
            return Solution(self._folded(begin), begin, 0, converged=True)
        weights = np.append(self._eigenvalues, self._total_weight)[:, None]
        penalty = np.append(np.full(len(self._eigenvalues), l2), 0.0)[:, None]
        scale = 1.0 / np.sqrt((weights * of_rows.curvature + penalty) / self._total_weight)
        iterations = count(1)

        def after_iteration(_: Floats) -> None:
            is_over = not goes_on()
            if next(iterations) >= least_iterations and is_over:
                raise StopIteration

        limits = {"maxiter": MOST_ITERATIONS, "maxfun": 2 * MOST_ITERATIONS, "maxcor": corrections(begin.size)}
        with ThreadPoolExecutor(self._threads) as pool:
            found = minimize(
                self._objective(l2, scale, pool),
                (begin / scale).ravel(),
                method="L-BFGS-B",
                jac=True,
                callback=after_iteration,
                options={**limits, "gtol": tolerance, "ftol": tolerance**2 / 10},
            )
        coordinates = found.x.reshape(shape) * scale
        coordinates[-1] = of_rows.settled(coordinates[-1])
        return Solution(self._folded(coordinates), coordinates, int(found.nfev), converged=found.status in CONVERGED)

    def near(self, head: Head) -> Solution:
        """A start for the search from the head of a similar problem, with which it needs few iterations."""
        present, scale = self._loss_of_rows.present, self._standardise.scale
        raw = head.kernel[:, present].astype(np.float64)
        own = np.divide(raw, scale[:, None], out=np.zeros_like(raw), where=scale[:, None] > 0)
        kernel = own if self._basis is None else self._basis.T @ own
        bias = head.bias[present] + self._standardise.mean @ (own * scale[:, None])
        return Solution(head, np.vstack([kernel, bias]), 0, converged=False)

    def _objective(
        self, l2: float, scale: Floats, pool: ThreadPoolExecutor
    ) -> Callable[[Floats], tuple[float, Floats]]:
        """A function of scaled coordinates: the loss with the penalty, per unit of weight, and its gradient."""

        def loss_and_gradient(flat: Floats) -> tuple[float, Floats]:
            coordinates = flat.reshape(len(scale), -1) * scale
            kernel = coordinates[:-1]
            loss, gradient = self._loss(kernel, coordinates[-1], pool)
            loss += l2 / 2 * float(np.vdot(kernel, kernel))
            gradient[:-1] += l2 * kernel
            return loss / self._total_weight, (gradient * scale / self._total_weight).ravel()

        return loss_and_gradient

    def _loss(self, kernel: Floats, bias: Floats, pool: ThreadPoolExecutor) -> tuple[float, Floats]:
        """The weighted sum of losses and its gradient (r + 1, k), in the problem's coordinates."""
        turn = None if self._projected else self._basis
        on_rows = (kernel if turn is None else turn @ kernel).astype(self._dtype)
        blocks = range(len(self._block_rows))
        run = pool.map if len(blocks) > 1 else map
        loss, gradient, bias_gradient = 0.0, np.zeros(on_rows.shape), np.zeros_like(bias)
        for block_loss, block_gradient, errors in run(lambda block: self._block_loss(block, on_rows, bias), blocks):
            loss += block_loss
            gradient += block_gradient
            bias_gradient += errors
        return loss, np.vstack([gradient if turn is None else turn.T @ gradient, bias_gradient])

    def _block_loss(self, block: int, kernel: NDArray[Any], bias: Floats) -> tuple[float, NDArray[Any], Floats]:
        """A block's sum of losses, and its gradients with respect to the kernel on the rows and to the bias."""
        rows, features = self._block_rows[block], self._features(block)
        loss, errors = self._loss_of_rows.of(features @ kernel + bias, rows)
        return loss, features.T @ errors.astype(self._dtype), errors.sum(axis=0)

    def _folded(self, coordinates: Floats) -> Head:
        """The head for all classes, on features that are not standardised."""
        kernel, bias = coordinates[:-1], coordinates[-1]
        standardised = kernel if self._basis is None else self._basis @ kernel
        own = standardised * self._standardise.scale[:, None]
        whole = np.zeros((self._rows.width, self._num_classes))
        whole_bias, present = self._loss_of_rows.constant_bias.copy(), self._loss_of_rows.present
        whole[:, present] = own
        whole_bias[present] = bias - self._standardise.mean @ own
        return Head(whole.astype(np.float32), whole_bias.astype(np.float32))


def _row_space(features: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Orthonormal vectors (d, r) that span the rows, and the weighted sum of squares along each (r,)."""
    own = features * np.sqrt(weights)[:, None]
    eigenvalues, vectors = np.linalg.eigh(own @ own.T)
    kept = eigenvalues > SMALLEST_EIGENVALUE * max(float(eigenvalues[-1]), np.finfo(np.float64).tiny)
    eigenvalues, vectors = eigenvalues[kept], vectors[:, kept]
    return (own.T @ vectors) / np.sqrt(eigenvalues), eigenvalues
