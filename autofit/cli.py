"""The command line. Errors become exit codes here and nowhere else.

0 done · 2 bad input or usage · 3 does not fit · 4 failed for a reason that is not memory · 130 interrupted, resumable
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from autofit.errors import AutofitError, UserError

if TYPE_CHECKING:
    from autofit.finished_run import Result
    from autofit.probe.records import ProbeReport

INTERRUPTED = 130

app = typer.Typer(
    name="autofit",
    no_args_is_help=True,
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
    *, debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False
) -> None:
    """Train image classifiers without ever losing the run to memory."""
    del debug  # read by run_command_line, which must know it also where parsing fails


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
    batch_size: Annotated[
        str, typer.Option("--batch-size", metavar="auto|N", help="Samples per update.")
    ] = "auto",
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
    given = dict(locals())
    given.pop("json")
    _require_folder_of(json)
    from autofit import api  # noqa: PLC0415 - `--help` loads none of it

    with _view() as view:
        result = api.run(given.pop("data"), **given, view=view)
    _show(result, json)


@app.command()
def resume(run_dir: RunDir, *, json: Json = None) -> None:
    """Go on with a run that was interrupted, killed or failed."""
    from autofit import api  # noqa: PLC0415

    with _view() as view:
        result = api.resume(run_dir, view=view)
    _show(result, json)


@app.command()
def report(run_dir: RunDir, *, json: Json = None) -> None:
    """Tell what happened in a run, and write its report.html anew."""
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
    given = dict(locals())
    for name in ("json", "plot", "report"):
        given.pop(name)
    for file in (plot, report, json):
        _require_folder_of(file)
    from autofit import api  # noqa: PLC0415

    with _view() as view:
        found = api.probe(**given, view=view)
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
    from autofit.demo.story import tell  # noqa: PLC0415

    with _view() as view:
        result = tell(folder, view)
    _show(result, json)


def run_command_line(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; errors are one line on stderr."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        return int(app(args=list(arguments), prog_name="autofit", standalone_mode=False) or 0)
    except AutofitError as error:
        return _fail(error, error.exit_code, arguments)
    except (KeyboardInterrupt, typer.Abort) as error:
        return _fail(error, INTERRUPTED, arguments)
    except Exception as error:  # noqa: BLE001 - the last door: a usage error of the parser, or a defect of ours
        if hasattr(error, "format_message"):
            return _fail(UserError(f"{error.format_message()} (autofit --help)"), UserError.exit_code, arguments)
        return _fail(error, AutofitError.exit_code, arguments)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM leaves as Ctrl-C does."""
    del number, frame
    raise KeyboardInterrupt


def _fail(error: BaseException, code: int, arguments: Sequence[str]) -> int:
    if "--debug" in arguments:
        traceback.print_exception(error)
    text = str(error)
    if isinstance(error, KeyboardInterrupt):
        text = "stopped"
    elif not isinstance(error, AutofitError):
        text = f"{type(error).__name__}: {text} (this is a defect of autofit; autofit --debug ... shows where)"
    print(f"autofit: {' '.join(text.split())}", file=sys.stderr)  # noqa: T201
    return code


def _view() -> Any:
    from autofit.report.progress import progress_view  # noqa: PLC0415

    return progress_view(sys.stderr)


def _require_folder_of(file: str | Path | None) -> None:
    """What takes minutes to make must have a place to go to before it is begun."""
    if file not in (None, "-") and not Path(file).absolute().parent.is_dir():
        raise UserError(f"{file} cannot be written: its folder does not exist")


def _write_json(text: str, target: str | None) -> None:
    if target == "-":
        print(text)  # noqa: T201
    elif target is not None:
        Path(target).write_text(text + "\n", encoding="utf-8")


def _show(result: Result, json: str | None) -> None:
    _write_json(result.to_json(), json)
    if json != "-":
        print(result.summary())  # noqa: T201


def _show_probe(found: ProbeReport, json: str | None, plot: Path | None, page: Path | None) -> None:
    _write_json(found.to_json().rstrip(), json)
    if plot is not None:
        from autofit.report.plots import probe_plot  # noqa: PLC0415

        probe_plot(found, plot)
    if page is not None:
        from autofit.report.page import probe_page  # noqa: PLC0415

        page.write_text(probe_page(found), encoding="utf-8")
    if json == "-":
        return
    from autofit.report.text import probe_lines, probe_table, probe_text  # noqa: PLC0415

    if not sys.stdout.isatty():
        print(probe_text(found))  # noqa: T201
        return
    from rich.console import Console  # noqa: PLC0415

    console = Console()
    console.print(probe_table(found))
    for name, value in probe_lines(found):
        console.print(f"{name + ':':<18} {value}", highlight=False, markup=False)
