"""The request, the data and the machine of a run: a part of its page."""

from __future__ import annotations

from autofit.config.learning_rates import DEFAULT_LEARNING_RATE
from autofit.config.options import Options, has_own_objective, head_options
from autofit.config.training_options import DEFAULT_OPTIMIZER
from autofit.protocol.messages import StageRecord
from autofit.report.markup import Html, escaped, table
from autofit.report.probe_text import network_name
from autofit.report.stage_words import how_solved
from autofit.report.tables import day, shortened_text
from autofit.report.words import count_of
from autofit.runs.result_record import ResultRecord
from autofit.runs.run_record import RunRecord

SHOWN_CLASSES, LONGEST_NAME = 12, 60
TRAINS = {"head": "the head trains, the backbone is frozen", "all": "all layers train"}
OWN_HEAD_TRAINS = "the head trains, the layers below it are frozen"


def what_was_run(run: RunRecord, result: ResultRecord) -> Html:
    """The data, the classes, the network, the training, the machine and the software, as a table."""
    rows = [*_data(run), *_network(run, result), *((name, words) for name, words in result.environment.items())]
    return table((), [[escaped(name.replace("_", " ").capitalize()), escaped(words)] for name, words in rows])


def _data(run: RunRecord) -> list[tuple[str, str]]:
    data = run.data
    images = [f"{data.train_count:,} to train on", f"{data.validation_count:,} to validate"]
    images += [f"{data.test_count:,} to test"] if data.test_count else []
    images += [f"{count_of(data.skipped_files, 'other file')} skipped"] if data.skipped_files else []
    names = [shortened_text(name, LONGEST_NAME) for name in data.class_names[:SHOWN_CLASSES]]
    more = len(data.class_names) - len(names)
    classes = ", ".join(names) + (f" and {more:,} more" if more else "")
    return [
        ("data", data.root),
        ("images", ", ".join(images)),
        ("classes", f"{len(data.class_names):,}: {classes}"),
        ("started", day(run.started)),
    ]


def _network(run: RunRecord, result: ResultRecord) -> list[tuple[str, str]]:
    options = run.options
    height, width = options.image_size
    name = network_name(options.backbone or options.model or "")
    weights = f", weights {options.weights}" if options.backbone else ""
    return [
        ("network", f"{name} at {height} x {width} pixels{weights}"),
        ("training", _training(run, result)),
        *_precision(run),
        *_devices(run),
        ("seed", f"{options.seed}"),
    ]


def _training(run: RunRecord, result: ResultRecord) -> str:
    """What trains and how, as it came to be: a time budget or the memory may have left out what was planned."""
    options, is_tuned = run.options, _is_fine_tuned(run, result)
    if options.backbone is None and options.trainable == "all":
        compiled = ", or as it is compiled" if _may_be_compiled(options) else ""
        return f"the layers that the model lets train; {_by_epochs(run, options, compiled)}"
    trains = TRAINS["head"] if options.backbone else OWN_HEAD_TRAINS
    if run.plan.head != "solve":
        trains = TRAINS["all"] if options.trainable == "all" else trains
        return f"{trains}; {_by_epochs(run, options)}{', then fine-tuned' if is_tuned else ''}"
    head = next((stage for stage in result.stages if stage.name == "head"), None)
    if options.trainable == "all" and is_tuned:
        is_solved = head is None or head.method == "solved"
        return f"the head {f'is {_solved(head)}' if is_solved else 'trains by epochs'}, then all layers train"
    how = _solved(head) if head is None or head.method == "solved" else _by_epochs(run, head_options(options))
    return f"{trains}; {how}{', then fine-tuned' if is_tuned else ''}"


def _solved(head: StageRecord | None) -> str:
    return "solved to its optimum" if head is None else how_solved(head)


def _by_epochs(run: RunRecord, options: Options, compiled: str = "") -> str:
    """The optimizer and its learning rate, what may be in their place, and the batch size."""
    plan = run.plan
    batch = f"{plan.first_batch_size:,}"
    if plan.last_batch_size != plan.first_batch_size:
        batch += f" to {plan.last_batch_size:,}"
    falls = ", falling to zero at the end" if plan.rate_falls else ""
    return f"{options.optimizer}, learning rate {options.learning_rate:g}{falls}{compiled}; batch size {batch}"


def _may_be_compiled(options: Options) -> bool:
    """Whether the user's model may be compiled: that is refused beside options about what it is compiled with."""
    is_usual = (options.optimizer, options.learning_rate) == (DEFAULT_OPTIMIZER, DEFAULT_LEARNING_RATE)
    return is_usual and not options.multi_label and not has_own_objective(options)


def _is_fine_tuned(run: RunRecord, result: ResultRecord) -> bool:
    """Whether layers of the backbone train after the head: in a finished run, whether they have."""
    if run.plan.fine_tune is None:
        return False
    is_known = result.status == "completed" and bool(result.stages)
    return not is_known or any(stage.name == "fine-tune" and stage.epochs for stage in result.stages)


def _devices(run: RunRecord) -> list[tuple[str, str]]:
    """A row about the devices, unless there is only one."""
    asked = run.options.devices
    return (
        []
        if asked == 1
        else [("devices", f"{asked}, each with a part of every batch where layers below the head train")]
    )


def _precision(run: RunRecord) -> list[tuple[str, str]]:
    """Rows about the precision, if it is not the default or was chosen by `auto`."""
    choice, tuned = run.plan.precision_choice, run.plan.fine_tune and run.plan.fine_tune.precision_choice
    if choice is not None:
        own = [("precision of fine-tuning", f"{tuned.precision}: {tuned.why}")] if tuned else []
        return [("precision", f"{choice.precision}: {choice.why}"), *own]
    return [] if run.options.precision == "float32" else [("precision", run.options.precision)]
