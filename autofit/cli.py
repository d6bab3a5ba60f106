"""The command line. Errors become exit codes here and nowhere else.

0 done · 2 bad input or usage · 3 does not fit · 4 failed for a reason that is not memory · 130 interrupted, resumable
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autofit import refuse_windows
from autofit.errors import AutofitError, StorageError, UserError

if TYPE_CHECKING:
    from autofit.finished_run import Result
    from autofit.probing.records import ProbeReport
    from autofit.report.progress import ProgressView

INTERRUPTED = 130

app = typer.Typer(
    name="autofit",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Train image classifiers without ever losing the run to memory.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[str | None, typer.Option("--json", metavar="FILE|-", help="Write the result as JSON; - is stdout.")]
BackboneName = Annotated[str | None, typer.Option("--backbone", help="Any network of keras.applications.")]
ModelName = Annotated[str | None, typer.Option("--model", metavar="MODULE:FUNCTION", help="Your own network.")]
Weights = Annotated[str, typer.Option("--weights", metavar="imagenet|none|FILE", help="The backbone's first weights.")]
ImageSize = Annotated[str | None, typer.Option("--image-size", metavar="N|HxW", help="Pixels; the backbone's own.")]
Trainable = Annotated[str | None, typer.Option("--trainable", metavar="head|all", help="What trains.")]
HiddenUnits = Annotated[int, typer.Option("--hidden-units", help="Width of a hidden layer in the head; 0: none.")]
Dropout = Annotated[float, typer.Option("--dropout", help="Share of the head's inputs dropped in training.")]
Optimizer = Annotated[str, typer.Option("--optimizer", help="A Keras optimizer by name.")]
MemoryLimit = Annotated[
    str | None, typer.Option("--memory-limit", metavar="SIZE", help="Such as 3GB; else what the machine has.")
]
Isolation = Annotated[str, typer.Option("--isolation", metavar="process|inline", help="Where training runs.")]
RunDir = Annotated[Path, typer.Argument(metavar="DIR", help="A run directory.")]


@app.callback()
def everywhere(
    context: typer.Context,
    *,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback with an error; anywhere in a command.")
    ] = False,
) -> None:
    """Train image classifiers without ever losing the run to memory."""
    del debug  # taken out by run_command_line, which must know of it also where parsing fails
    if context.invoked_subcommand is None:
        print(context.get_help())  # noqa: T201


@app.command()
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
    augment: Annotated[str, typer.Option("--augment", hidden=True)] = "none",
    feature_cache: Annotated[str, typer.Option("--feature-cache", hidden=True)] = "auto",
    precision: Annotated[str, typer.Option("--precision", hidden=True)] = "float32",
    memory_limit: MemoryLimit = None,
    seed: Annotated[int, typer.Option("--seed", help="For the split, the order, the weights and dropout.")] = 0,
    checkpoint_every: Annotated[
        str, typer.Option("--checkpoint-every", metavar="60s|N", help="Seconds, or a number of steps.")
    ] = "60s",
    max_minutes: Annotated[
        float | None, typer.Option("--max-minutes", help="Save and stop after so long; resumable.")
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", help="Where everything is kept; runs/<time>-<backbone>.")
    ] = None,
    mirror_dir: Annotated[Path | None, typer.Option("--mirror-dir", hidden=True)] = None,
    isolation: Isolation = "process",
    audit: Annotated[bool, typer.Option("--audit", help="Write the ledger of all updates.")] = False,
    replay: Annotated[
        Path | None, typer.Option("--replay", metavar="RUN_DIR", help="Follow the micro-batch sizes of another run.")
    ] = None,
    json: Json = None,
) -> None:
    """Train a classifier on a folder of photos."""
    _require_writable(json)
    from autofit import api  # noqa: PLC0415 - `--help` loads none of it

    with _view() as view:
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
            precision=precision,
            memory_limit=memory_limit,
            seed=seed,
            checkpoint_every=checkpoint_every,
            max_minutes=max_minutes,
            run_dir=run_dir,
            mirror_dir=mirror_dir,
            isolation=isolation,
            audit=audit,
            replay=replay,
            view=view,
        )
    _show(result, json)


@app.command()
def resume(run_dir: RunDir, *, json: Json = None) -> None:
    """Go on with a run that was interrupted, killed or failed."""
    _require_writable(json)
    from autofit import api  # noqa: PLC0415

    with _view() as view:
        result = api.resume(run_dir, view=view)
    _show(result, json)


@app.command()
def report(run_dir: RunDir, *, json: Json = None) -> None:
    """Tell what happened in a run, and write its report.html anew."""
    _require_writable(json)
    from autofit import api  # noqa: PLC0415

    _show(api.report(run_dir), json)


@app.command()
def probe(  # noqa: PLR0913 - the options are the interface
    *,
    backbone: BackboneName = None,
    model: ModelName = None,
    weights: Weights = "imagenet",
    image_size: ImageSize = None,
    trainable: Trainable = None,
    hidden_units: HiddenUnits = 0,
    dropout: Dropout = 0.2,
    optimizer: Optimizer = "adam",
    num_classes: Annotated[int, typer.Option("--num-classes", help="Width of the head.")] = 10,
    memory_limit: MemoryLimit = None,
    max_batch: Annotated[int, typer.Option("--max-batch", help="The largest size of interest.")] = 4096,
    isolation: Isolation = "process",
    json: Json = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw memory and speed.")] = None,
    report: Annotated[Path | None, typer.Option("--report", metavar="FILE.html", help="Write a page.")] = None,
) -> None:
    """Find the largest batch that fits, and the fastest."""
    for file in (plot, report, json):
        _require_writable(file)
    from autofit import api  # noqa: PLC0415

    with _view() as view:
        found = api.probe(
            backbone=backbone,
            model=model,
            weights=weights,
            image_size=image_size,
            trainable=trainable,
            hidden_units=hidden_units,
            dropout=dropout,
            optimizer=optimizer,
            num_classes=num_classes,
            memory_limit=memory_limit,
            max_batch=max_batch,
            isolation=isolation,
            view=view,
        )
    _show_probe(found, json, plot, report)
    if found.largest_feasible_batch == 0:
        raise api.does_not_fit(found)


@app.command()
def demo(
    *,
    folder: Annotated[Path, typer.Option("--folder", help="Where the digits and the run go.")] = Path("autofit-demo"),
    json: Json = None,
) -> None:
    """Run out of memory on purpose, offline, and end with a trained model."""
    _require_writable(json)
    from autofit.demo.story import tell  # noqa: PLC0415

    with _view() as view:
        result = tell(folder, view)
    _show(result, json)


def run_command_line(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; errors are one line on stderr."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leaves as Ctrl-C does
    debug = "--debug" in arguments
    rest = [argument for argument in arguments if argument != "--debug"]
    try:
        refuse_windows()
        _run_command(rest)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last door
        if debug:
            traceback.print_exception(error)
        code, text = _code_and_text(error)
        print(f"autofit: {' '.join(text.split())}", file=sys.stderr)  # noqa: T201
        return code
    return 0


def _run_command(arguments: Sequence[str]) -> None:
    if app(args=list(arguments), prog_name="autofit", standalone_mode=False) == INTERRUPTED:
        raise KeyboardInterrupt  # which some Typers return as an exit code, and others raise as Abort


def _code_and_text(error: BaseException) -> tuple[int, str]:
    """The exit code and the words for an error: ours, Ctrl-C, the parser's, or a defect."""
    if isinstance(error, AutofitError):
        return error.exit_code, str(error)
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return INTERRUPTED, "stopped"
    if hasattr(error, "format_message"):
        return UserError.exit_code, f"{error.format_message()} (autofit --help)"
    defect = f"{type(error).__name__}: {error} (a defect of autofit: the same command with --debug shows where)"
    return AutofitError.exit_code, defect


def _view() -> ProgressView:
    from autofit.report.progress import progress_view  # noqa: PLC0415

    return progress_view(sys.stderr)


def _require_writable(file: str | Path | None) -> None:
    """What takes minutes to make must have a place to go to before it is begun."""
    if file is None or file == "-":
        return
    path = Path(file).absolute()
    if not path.parent.is_dir():
        raise UserError(f"{file} cannot be written, its folder does not exist: make {path.parent} first")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UserError(f"{file} cannot be written: give a file that can")


def _write(text: str, file: str | Path) -> None:
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{file} cannot be written ({error.strerror}): give another file") from error


def _say(text: str) -> None:
    from autofit.report.progress import write  # noqa: PLC0415

    write(sys.stdout, text + "\n")


def _write_json(text: str, target: str | None) -> None:
    if target == "-":
        import json  # noqa: PLC0415 - its name is an option's above

        _say(json.dumps(json.loads(text), indent=2))  # in ASCII, which every stream can hold
    elif target is not None:
        _write(text + "\n", target)


def _show(result: Result, json: str | None) -> None:
    _write_json(result.to_json(), json)
    if json != "-":
        _say(result.summary())


def _show_probe(found: ProbeReport, json: str | None, plot: Path | None, page: Path | None) -> None:
    _write_json(found.to_json().rstrip(), json)
    if plot is not None:
        from autofit.report.plots import probe_plot  # noqa: PLC0415

        probe_plot(found, plot)
    if page is not None:
        from autofit.report.page import probe_page  # noqa: PLC0415

        _write(probe_page(found), page)
    if json == "-":
        return
    from autofit.report.text import probe_lines, probe_table, probe_text  # noqa: PLC0415

    if not sys.stdout.isatty():
        _say(probe_text(found))
        return
    from rich.console import Console  # noqa: PLC0415

    console = Console()
    console.print(probe_table(found))
    for name, value in probe_lines(found):
        console.print(f"{name + ':':<18} {value}", highlight=False, markup=False)
