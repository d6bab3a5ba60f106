"""The commands around a run: train, resume, report, demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autofit.cli.flags import (
    BackboneName,
    Dropout,
    HiddenUnits,
    ImageSize,
    Isolation,
    Json,
    MemoryLimit,
    ModelName,
    Optimizer,
    RunDir,
    Trainable,
    Weights,
)
from autofit.cli.output import progress, require_writable, say, write_json

if TYPE_CHECKING:
    from autofit.api.result import Result


def train(  # noqa: PLR0913 - the options are the interface
    data: Annotated[str, typer.Argument(metavar="DATA", help="A folder with one subfolder a class, or a CSV file.")],
    *,
    backbone: BackboneName = None,
    model: ModelName = None,
    weights: Weights = "imagenet",
    image_size: ImageSize = None,
    trainable: Trainable = None,
    hidden_units: HiddenUnits = 0,
    dropout: Dropout = 0.2,
    epochs: Annotated[int, typer.Option("--epochs", help="Passes over the training images.")] = 10,
    fine_tune_epochs: Annotated[int, typer.Option("--fine-tune-epochs", hidden=True)] = 0,
    batch_size: Annotated[str, typer.Option("--batch-size", metavar="auto|N", help="Samples per update.")] = "auto",
    micro_batch_size: Annotated[
        str, typer.Option("--micro-batch-size", metavar="auto|N", help="Samples on the device at once.")
    ] = "auto",
    batch_schedule: Annotated[
        str | None, typer.Option("--batch-schedule", metavar="A:B", help="Ramp the batch size over the epochs.")
    ] = None,
    optimizer: Optimizer = "adam",
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="The optimizer's learning rate.")] = 1e-3,
    class_weight: Annotated[
        str, typer.Option("--class-weight", metavar="none|balanced", help="Make all classes count alike.")
    ] = "none",
    early_stopping: Annotated[
        int | None, typer.Option("--early-stopping", metavar="N", help="End after N epochs without a better one.")
    ] = None,
    validation: Annotated[
        str, typer.Option("--validation", metavar="SHARE|DIR", help="A share of the images, or a folder.")
    ] = "0.2",
    augment: Annotated[
        str,
        typer.Option("--augment", metavar="none|light", help="Mirror images and mild crops, other ones each epoch."),
    ] = "none",
    feature_cache: Annotated[
        str,
        typer.Option(
            "--feature-cache", metavar="auto|on|off", help="Run a frozen backbone once an image, and keep it."
        ),
    ] = "auto",
    feature_views: Annotated[
        int, typer.Option("--feature-views", help="With --feature-cache on and --augment: fixed views of an image.")
    ] = 4,
    pixel_cache: Annotated[
        str, typer.Option("--pixel-cache", metavar="auto|off", help="Decode an image once, and keep its pixels.")
    ] = "auto",
    cache_by: Annotated[
        str, typer.Option("--cache-by", metavar="stat|content", help="How an image is known again in the cache.")
    ] = "stat",
    precision: Annotated[str, typer.Option("--precision", hidden=True)] = "float32",
    memory_limit: MemoryLimit = None,
    seed: Annotated[int, typer.Option("--seed", help="For the split, the order, the weights and dropout.")] = 0,
    checkpoint_every: Annotated[
        str, typer.Option("--checkpoint-every", metavar="60s|N", help="Seconds, or a number of steps.")
    ] = "60s",
    max_minutes: Annotated[
        float | None, typer.Option("--max-minutes", help="Save and stop after so long; resumable.")
    ] = None,
    max_bad_images: Annotated[
        float, typer.Option("--max-bad-images", metavar="SHARE", help="End if more of the images cannot be read.")
    ] = 0.1,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", help="Where everything is kept; runs/<time>-<backbone>.")
    ] = None,
    mirror_dir: Annotated[
        Path | None, typer.Option("--mirror-dir", help="A folder on a mounted drive: a copy to resume from.")
    ] = None,
    isolation: Isolation = "process",
    audit: Annotated[bool, typer.Option("--audit", help="Write the ledger of all updates.")] = False,
    replay: Annotated[
        Path | None, typer.Option("--replay", metavar="RUN_DIR", help="Follow the micro-batch sizes of another run.")
    ] = None,
    json: Json = None,
) -> None:
    """Train a classifier on a folder of photos."""
    require_writable(json)
    from autofit import api  # noqa: PLC0415 - `--help` loads none of it

    with progress() as view:
        result = api.run(
            data,
            backbone=backbone,
            model=model,
            weights=weights,
            image_size=image_size,
            trainable=trainable,
            hidden_units=hidden_units,
            dropout=dropout,
            epochs=epochs,
            fine_tune_epochs=fine_tune_epochs,
            batch_size=batch_size,
            micro_batch_size=micro_batch_size,
            batch_schedule=batch_schedule,
            optimizer=optimizer,
            learning_rate=learning_rate,
            class_weight=class_weight,
            early_stopping=early_stopping,
            validation=validation,
            augment=augment,
            feature_cache=feature_cache,
            feature_views=feature_views,
            pixel_cache=pixel_cache,
            cache_by=cache_by,
            precision=precision,
            memory_limit=memory_limit,
            seed=seed,
            checkpoint_every=checkpoint_every,
            max_minutes=max_minutes,
            max_bad_images=max_bad_images,
            run_dir=run_dir,
            mirror_dir=mirror_dir,
            isolation=isolation,
            audit=audit,
            replay=replay,
            view=view,
        )
    _show(result, json)


def resume(
    run_dir: RunDir,
    *,
    model: Annotated[
        str | None, typer.Option("--model", metavar="MODULE:FUNCTION", help="Again, if the run was started elsewhere.")
    ] = None,
    max_bad_images: Annotated[
        float | None, typer.Option("--max-bad-images", metavar="SHARE", help="From now on; as it was, by default.")
    ] = None,
    json: Json = None,
) -> None:
    """Go on with a run that was interrupted, killed or failed."""
    require_writable(json)
    from autofit import api  # noqa: PLC0415

    with progress() as view:
        result = api.resume(run_dir, model=model, max_bad_images=max_bad_images, view=view)
    _show(result, json)


def report(run_dir: RunDir, *, json: Json = None) -> None:
    """Tell what happened in a run, and write its report.html anew."""
    require_writable(json)
    from autofit import api  # noqa: PLC0415

    _show(api.report(run_dir), json)


def demo(
    *,
    folder: Annotated[Path, typer.Option("--folder", help="Where the digits and the run go.")] = Path("autofit-demo"),
    json: Json = None,
) -> None:
    """Run out of memory on purpose, offline, and end with a trained model."""
    require_writable(json)
    from autofit.demo.story import tell  # noqa: PLC0415

    with progress() as view:
        result = tell(folder, view)
    _show(result, json)


def _show(result: Result, json: str | None) -> None:
    write_json(result.to_json(), json)
    if json != "-":
        say(result.summary())
