"""Refuses features that are no numbers, before they are cached, and names the cause. Without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from autofit.cache.feature_rows import Features, Numbers
from autofit.config.precisions import Precision
from autofit.errors import UserError
from autofit.printable import printable
from autofit.worker.model.finite_weights import first_not_finite, of_weights


class Network(Protocol):
    """What may tell why features are no numbers, as a `BuiltModel` has it.

    Attributes:
        features: has the weights that make the features, as `variables`; None if there are none.
        precision: the precision in which the layers were asked to compute.
        cut: the layer whose output the features are, stored as float16; None for features of the whole backbone.
    """

    @property
    def features(self) -> Any: ...  # noqa: D102 - see above
    @property
    def precision(self) -> Precision: ...  # noqa: D102
    @property
    def cut(self) -> str | None: ...  # noqa: D102


def require_finite(features: Features, rows: Numbers, network: Network, path_of: Callable[[int], str]) -> None:
    """Check that features are numbers: else the loss would be none, and the learning rate seem to be the cause.

    Args:
        features: of some images, one row each.
        rows: the numbers of these images' rows, int64 (n,).
        network: has made the features.
        path_of: gives the path of a row's image, for the message.

    Raises:
        UserError: they are not; the message names the cause and what to do.
    """
    with np.errstate(all="ignore"):
        total = features.sum(dtype=np.float32)
    if np.isfinite(total):  # no sum of what is not finite is
        return
    finite = np.isfinite(features).reshape(len(features), -1).all(axis=1)
    if not finite.all():
        has_nan = bool(np.isnan(features).any())
        raise UserError(_cause(network, printable(path_of(int(rows[np.argmin(finite)]))), has_nan=has_nan))


def _cause(network: Network, image: str, *, has_nan: bool) -> str:
    if weight := first_not_finite(network.features.variables if network.features is not None else ()):
        return of_weights(weight, "so are its features")
    if network.cut is not None and not has_nan:
        return (
            f"the layer that is fine-tuned from gives values beyond those of float16 for {image}: give another "
            "fine_tune_from"
        )
    gives = f"the network gives values that are no numbers for {image}"
    if network.precision == "mixed_float16":
        return f"{gives}, as some are too large for float16: give precision='float32'"
    return f"{gives}, though its weights are numbers: give other weights, or a model that can compute that image"
