"""Which modules open files and make values of them: through the few functions that are safe, or for a given reason."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import autofit

ROOT = Path(autofit.__file__).parent

OPENING = frozenset({"open", "read_text", "read_bytes", "memmap", "fromfile", "loadtxt", "genfromtxt", "fdopen"})
"""Calls that open a file whatever it is: a pipe that hangs, a device without end, a link out of the folder."""

OPENED = {
    "api/code_identity.py": "the user's own module, which is imported as well",
    "api/predictions_csv.py": "writes what the user names, be it a pipe",
    "cache/entry.py": "an entry's folder, without following links; maps a file that is open and regular",
    "cache/identity.py": "images: each is a regular file, and not waited for",
    "cache/known_images.py": "writes a file in a folder that this process has just made",
    "demo/data.py": "files of the package",
    "doctor/gather.py": "/proc",
    "input/drive_patience.py": "/proc",
    "input/image_files.py": "Pillow, on a stream that is open",
    "input/predecode.py": "a file without a name, from the parent",
    "machine/cgroups.py": "/proc and /sys",
    "machine/hardware.py": "/proc",
    "machine/host_others.py": "/proc",
    "machine/tensorflow_build.py": "a file of the installed TensorFlow",
    "mirror/copying.py": "empties a regular file, without following links",
    "process/launch.py": "files of an attempt that begins, in a folder that this process has just made",
    "process/monitor.py": "files of an attempt that runs, in a folder that this process has just made",
    "report/steady_stream.py": "/dev/null",
    "runs/attempt_notes.py": "writes an event of an attempt, in a folder that this process has just made",
    "storage/checkpoint_files.py": "creates, and fails where there is something",
    "storage/holder_file.py": "/proc; its own lock, without following links, and not waited for",
    "storage/leases.py": "its own lease, without following links, and not waited for",
    "storage/locks.py": "its own lock, without following links",
    "storage/model_file.py": "parts of an archive that is open",
    "storage/safe_files.py": "the functions that are safe",
    "storage/scratch.py": "a folder, without following links",
    "storage/user_key.py": "creates, and fails where there is something",
    "worker/__main__.py": "a file without a name, from the living parent",
    "worker/jobs/export.py": "what the parent has listed in a folder of its own",
    "worker/jobs/predict.py": "what the parent has listed in a folder of its own",
    "worker/model/sent_model.py": "a model that this process has just saved in a folder of its own",
    "worker/runtime/allocator_stall.py": "/proc",
    "worker/runtime/control_pipe.py": "a pipe from the parent",
    "worker/runtime/heartbeat.py": "files of an attempt that begins, in a folder that the parent has just made",
}
"""Who opens files in another way than by `storage/safe_files.py`, and why that is safe."""

PARSING = frozenset(
    {
        *("loads", "model_validate_json", "reader", "DictReader", "unpack", "frombuffer", "memmap", "ZipFile", "File"),
        *("load", "load_or_none", "load_model", "load_weights", "literal_eval", "fromstring", "safe_open"),
        *("parsed", "raw_decode", "read_key", "require_plain_model", "model_configuration", "read_rows"),
        "read_probabilities",
    }
)
"""Calls that make values of the bytes of a file."""

FUZZED = frozenset(
    {
        *("api/existing_run.py", "api/predictions_csv.py", "api/result.py", "cache/entry.py", "cache/entry_format.py"),
        *("cache/store.py", "config/hub_presets.py", "dataset/duplicates.py", "dataset/index.py"),
        *(
            "dataset/json_table.py",
            "dataset/label_sets.py",
            "dataset/listing.py",
            "dataset/own_list.py",
            "dataset/table.py",
            "dataset/table_form.py",
            "mirror/copying.py",
            "process/monitor.py",
            "process/tail.py",
        ),
        *("profiles/lines.py", "profiles/reading.py", "runs/collect_result.py", "runs/memory_history.py"),
        *("runs/model_worker.py", "runs/result_record.py", "runs/run_record.py", "runs/stage_speed.py"),
        *("storage/checkpoint_files.py", "storage/hdf5_file.py", "storage/holder_file.py", "storage/json_bounds.py"),
        *("storage/model_file.py", "storage/probabilities.py", "storage/records.py", "storage/user_key.py"),
        *("worker/features/features_record.py", "worker/training/audit_log.py"),
    }
)
"""In `tests/support/readers.py`, or read by `tests/faults/test_hostile_readers.py` when it opens a forged run."""

PARSED = {
    "api/changed_photos.py": "a result, by its own reader",
    "api/extracting_by_ray.py": "what a node of this call has just sent",
    "api/estimating.py": "a store, by its own reader",
    "api/extractions.py": "a store, by its own reader",
    "api/measure.py": "a store, by its own reader",
    "api/new_run.py": "a run, by its own reader",
    "api/own_objects.py": "a model's configuration, by its own reader",
    "api/result_figures.py": "probabilities, by their own reader",
    "api/signature.py": "the user's key, by its own reader",
    "cache/identity.py": "hashes that this process has computed",
    "cache/known_images.py": "what the parent has just written, without objects",
    "cache/moved_shard.py": "what a node of this call has just sent, with its hash",
    "cli/output.py": "what this process is about to print",
    "cli/profiles.py": "a store, by its own reader",
    "dataset/label_doubts.py": "what a worker of this call has just written, without objects",
    "dataset/picture_files.py": "an image: tests/faults/test_images.py",
    "input/augment.py": "random numbers",
    "input/decode.py": "an image: tests/faults/test_images.py",
    "input/distortion.py": "random numbers",
    "input/image_files.py": "an image: tests/faults/test_images.py",
    "input/predecode.py": "a file without a name, from the parent",
    "input/predecode_process.py": "an argument from the parent",
    "machine/keras_settings.py": "the user's own settings of Keras, within bounds",
    "runs/grouped_validation.py": "probabilities, by their own reader",
    "runs/export.py": "what a worker of this call has just written, without objects",
    "runs/prediction.py": "what a worker of this call has just written, without objects",
    "worker/__main__.py": "from the living parent",
    "worker/jobs/dispatch.py": "from the living parent",
    "worker/model/classifier_weights.py": "weights that storage/model_file.py has let through",
    "worker/model/exported.py": "what this process has just written",
    "worker/model/imagenet_rescaling.py": "weights that storage/model_file.py has let through",
    "worker/model/saved_model.py": "a model that storage/model_file.py has let through, in safe mode",
    "worker/model/sent_model.py": "from the living parent",
    "worker/model/weights.py": "weights that storage/model_file.py has let through",
    "worker/runtime/control_pipe.py": "from the living parent",
    "worker/runtime/memory.py": "a tensor",
}
"""Who makes values of bytes and is not in the fuzz's table, and why."""


@cache
def called() -> dict[str, frozenset[str]]:
    """The names of the functions that each module calls."""
    found = {}
    for path in ROOT.rglob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
        names = frozenset(call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls)
        found[path.relative_to(ROOT).as_posix()] = names
    return found


def callers(names: frozenset[str]) -> set[str]:
    """The modules in which one of these functions is called."""
    return {module for module, own in called().items() if own & names}


def test_every_module_that_opens_files_does_so_safely() -> None:
    """A new reader would hang at a pipe, or follow a stranger's link out of the folder."""
    assert callers(OPENING) == OPENED.keys()


def test_every_module_that_parses_is_fuzzed() -> None:
    """A new reader would be the one that a stranger's file brings down."""
    assert callers(PARSING) == FUZZED | PARSED.keys()
    assert not FUZZED & PARSED.keys()


@pytest.mark.parametrize("name", sorted({"eval", "exec", "execfile", "marshal", "yaml", "shelve", "dill", "joblib"}))
def test_nothing_executes_what_it_reads(name: str) -> None:
    """A stranger's file would be code."""
    assert callers(frozenset({name})) == set()


def test_pickles_come_from_the_living_parent_alone() -> None:
    """A function that somebody has put into a run directory would be run."""
    unpickling = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        if "pickle.load" in path.read_text("utf-8") or "allow_pickle=True" in path.read_text("utf-8")
    }
    assert unpickling == {"worker/__main__.py"}


def test_no_file_is_cut_by_a_call_that_a_signal_ends() -> None:
    """An attempt would end where a signal comes while a drive cuts a file: Python repeats only `os.ftruncate`."""
    assert callers(frozenset({"truncate"})) == {"cli/prediction.py"}  # a text in memory
