"""The request, the data and the machine of a run: a part of its page."""

from __future__ import annotations

from autofit.report.markup import Html, escaped, table
from autofit.report.tables import day, shortened_text
from autofit.report.words import count_of
from autofit.runs.result_record import ResultRecord
from autofit.runs.run_record import RunRecord

SHOWN_CLASSES, LONGEST_NAME = 12, 60
TRAINS = {"head": "the head trains, the backbone is frozen", "all": "all layers train"}


def what_was_run(run: RunRecord, result: ResultRecord) -> Html:
    """The data, the classes, the network, the training, the machine and the software, as a table."""
    rows = [*_data(run), *_network(run), *((name, words) for name, words in result.environment.items())]
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


def _network(run: RunRecord) -> list[tuple[str, str]]:
    options = run.options
    height, width = options.image_size
    name = options.backbone or options.model or "your own model"
    weights = f", weights {options.weights}" if options.backbone else ""
    plan = run.plan
    batch = f"{plan.first_batch_size:,}"
    if plan.last_batch_size != plan.first_batch_size:
        batch += f" to {plan.last_batch_size:,}"
    solved = plan.head == "solve"
    rate = f"learning rate {options.learning_rate:g}{', falling to zero at the end' if plan.rate_falls else ''}"
    how = "solved to its optimum" if solved else f"{options.optimizer}, {rate}"
    training = f"{TRAINS[options.trainable]}; {how}"
    if not solved:
        training += f"; batch size {batch}"
    if solved and options.trainable == "all" and plan.fine_tune is not None:
        training = "the head is solved to its optimum, then all layers train"
    elif plan.fine_tune is not None:
        training += ", then fine-tuned"
    return [
        ("network", f"{name} at {height} x {width} pixels{weights}"),
        ("training", training),
        *_precision(run),
        *_devices(run),
        ("seed", f"{options.seed}"),
    ]


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
