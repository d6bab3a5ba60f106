"""Where a worker gets its network, and what a probe of it measures. Pure."""

from __future__ import annotations

from autofit.config.backbones import ModelSpec
from autofit.config.option_checks import GIVEN_FUNCTION
from autofit.config.options import Options
from autofit.probing.records import Workload
from autofit.protocol.job import ModelSource


def model_source(options: Options, num_classes: int) -> ModelSource:
    """Where a worker gets the network."""
    given = options.model == GIVEN_FUNCTION
    return ModelSource(
        spec=ModelSpec(
            backbone=options.backbone,
            weights=options.weights,
            image_size=options.image_size,
            trainable=options.trainable,
            hidden_units=options.hidden_units,
            dropout=options.dropout,
            seed=options.seed,
        ),
        reference=None if given else options.model,
        sent=given,
        num_classes=num_classes,
        optimizer=options.optimizer,
        learning_rate=options.learning_rate,
        multi_label=options.multi_label,
    )


def workload(options: Options, num_classes: int) -> Workload:
    """What a probe of this request measures."""
    return Workload(
        backbone=options.backbone or options.model or "",
        image_size=options.image_size,
        num_classes=num_classes,
        trainable=options.trainable,
        weights=options.weights,
        hidden_units=options.hidden_units,
        dropout=options.dropout,
        optimizer=options.optimizer,
    )
