"""Where a worker gets its network, and the workload that a probe of it measures. Pure."""

from __future__ import annotations

import hashlib
import json

from autofit.config.backbones import ModelSpec
from autofit.config.option_checks import GIVEN_FUNCTION
from autofit.config.options import Options
from autofit.config.precisions import Precision
from autofit.config.rungs import KEPT, ON_REQUEST, Rung
from autofit.probing.records import Workload
from autofit.protocol.job import ModelSource
from autofit.protocol.messages import StageName
from autofit.runs.run_record import WEIGHTS_FILE, RunRecord


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
            segments=rung_of(options).segments,
            precision=precision_of(options),
        ),
        reference=None if given else options.model,
        sent=given,
        num_classes=num_classes,
        optimizer=options.optimizer,
        learning_rate=options.learning_rate,
        multi_label=options.multi_label,
        optimizer_config=options.optimizer_config,
        loss=options.loss,
        metrics=options.metrics,
    )


def source_of_run(record: RunRecord, stage: StageName) -> ModelSource:
    """Where a worker of a stage gets the network of a run, which has to be from the weights that the run began with."""
    source = model_source(record.options_of(stage), len(record.data.class_names))
    return source.model_copy(update={"weights_sha256": record.code.get(WEIGHTS_FILE, "")})


def workload(options: Options, num_classes: int) -> Workload:
    """The workload that a probe of this request measures."""
    return Workload(
        backbone=options.backbone or options.model or "",
        image_size=options.image_size,
        num_classes=num_classes,
        trainable=options.trainable,
        weights=options.weights,
        hidden_units=options.hidden_units,
        dropout=options.dropout,
        optimizer=_optimizer_text(options),
        segments=rung_of(options).segments,
        precision=precision_of(options),
    )


def rung_of(options: Options) -> Rung:
    """The rung that a request begins with; with `auto` a probe, or an out-of-memory in training, may choose another."""
    return ON_REQUEST if options.recompute == "on" else KEPT


def precision_of(options: Options) -> Precision:
    """The precision that a request begins with; with `auto` a comparison may choose another."""
    return "float32" if options.precision == "auto" else options.precision


def on_rung(source: ModelSource, rung: Rung) -> ModelSource:
    """The same network, trained on a rung."""
    return source.model_copy(update={"spec": source.spec.model_copy(update={"segments": rung.segments})})


def workload_on_rung(measured: Workload, rung: Rung) -> Workload:
    """The same workload on a rung."""
    return measured.model_copy(update={"segments": rung.segments})


def _optimizer_text(options: Options) -> str:
    """The optimizer in a text that differs if the memory may: its name, and a hash of settings other than the rate.

    With other settings an optimizer may keep other variables.
    """
    if options.optimizer_config is None:
        return options.optimizer
    settings = {name: value for name, value in options.optimizer_config["config"].items() if name != "learning_rate"}
    if not settings:
        return options.optimizer
    return f"{options.optimizer}-{hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]}"
