"""Every reader of files that may be a stranger's, with a valid file of each and the modules that it goes through."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from hypothesis import strategies as st
from safetensors.numpy import save

from autofit.api import predictions_csv
from autofit.cache.entry import Entry, EntryWriter
from autofit.config import hub_presets
from autofit.dataset import duplicates, joined_lists, label_sets, table, table_files
from autofit.dataset.asked import Asked
from autofit.dataset.index import ImageIndex
from autofit.mirror import copying
from autofit.probing.estimate import MeasuredLine
from autofit.process.tail import Tail
from autofit.profiles import reading
from autofit.protocol.job import Event, Job, Outcome
from autofit.protocol.messages import MemorySample, Progress
from autofit.runs import collect_result, model_worker, stage_speed
from autofit.runs.result_record import AttemptRecord, ResultRecord
from autofit.runs.run_record import read_run
from autofit.storage import checkpoint_files, holder_file, model_file, probabilities, user_key
from autofit.storage.records import Record
from autofit.storage.run_directory import RunDirectory
from autofit.worker.features import features_record
from autofit.worker.training import audit_log
from tests.support.hostile import forged_json, forged_lines, forged_table, torn
from tests.support.keras_files import CONFIG, hdf5, keras_file
from tests.support.paths import load_child
from tests.support.records import make_probe_report, make_workload

Forge = Callable[[bytes], st.SearchStrategy[bytes]]

MADE_UP = "reader"


@dataclass(frozen=True)
class Reader:
    """What reads one kind of file.

    Attributes:
        name: of the file.
        valid: makes the content of a good one in a folder, with what belongs beside it.
        read: reads it; what comes back is looked at.
        forge: makes hostile ones of the good one.
    """

    name: str
    valid: Callable[[Path], bytes]
    read: Callable[[Path], object]
    forge: Forge = forged_json


SAMPLES = b'index,path,label,split\n0,"x.jpg","a","train"\n1,"y.jpg","b","validation"\n'
GROUPS = SAMPLES.replace(b"split\n", b"split,group\n").replace(b'"\n', b'",7\n')
AUDIT = b'{"attempt":1,"epoch":0,"step":0,"micro_batch_size":2,"samples":[0,1],"skipped":[]}\n' * 2
METADATA = b"""{"file_name": "a.jpg", "label": "x", "split": "train", "patient": 1, "boxes": [[1, 2]]}
{"file_name": "b.jpg", "label": "y", "split": "test", "patient": 2, "boxes": []}
"""
PROFILE = min((Path(__file__).parents[2] / "profiles").glob("*.json"))


def record(name: str, made: Record, read: Callable[[Path], object] | None = None) -> Reader:
    """The reader of a record's own file."""
    return Reader(name, lambda _: made.to_json().encode(), read or type(made).load)


def of_run(name: str, read: Callable[[Path], object], forge: Forge = forged_json) -> Reader:
    """The reader of a file that a run of the stub has written; `name` may have stars."""
    return Reader(name, lambda folder: max((folder / "run").glob(name)).read_bytes(), read, forge)


# Files of the checkpoints: their manifest is made to match, as a stranger would ---------------------------------------


def _manifest_of(name: str, data: bytes) -> checkpoint_files.Manifest:
    entry = checkpoint_files.FileEntry(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    return checkpoint_files.Manifest.model_construct(schema_="autofit/checkpoint/1", generation=1, files={name: entry})


def _read_state(path: Path) -> object:
    data = path.read_bytes()
    state = checkpoint_files.read_state(path.parent, _manifest_of(path.name, data))
    return collect_result.Committed.model_validate(state)


def _read_arrays(path: Path) -> object:
    arrays = checkpoint_files.read_arrays(path.parent, _manifest_of(path.name, path.read_bytes()), path.name)
    assert sum(array.nbytes for array in arrays.values()) <= path.stat().st_size
    return arrays


def _read_manifest(path: Path) -> object:
    return checkpoint_files.read_manifest(path.parent, 7)


def _of_mirror(path: Path) -> object:
    size_bytes = copying.audit_log_bytes_of(path.parent)
    assert size_bytes >= 0
    return size_bytes


# Lines, tables, arrays ------------------------------------------------------------------------------------------------


def _progress(path: Path) -> object:
    tailed = Tail(path).records(Progress)
    assert len(tailed) <= 1 + path.read_bytes().count(b"\n")
    return collect_result.records_in(path.read_bytes(), Progress)


def _events(path: Path) -> object:
    return collect_result.records_in(path.read_bytes(), Event)


def _audit(path: Path) -> object:
    return audit_log.read_micro_batch_sizes(path.parent)


def _samples(path: Path) -> object:
    return ImageIndex.read_csv(path, "/photos", ["a", "b"])


def _listed(path: Path) -> object:
    found = table_files.from_file(path, Asked())
    return list(found.rows)


def _joined(folder: Path) -> bytes:
    for name in (joined_lists.LABELS, joined_lists.SPLITS):
        (folder / name).write_text("1 1\n2 0\n")
    return b"1 a.jpg\n2 b.jpg\n"


def _rows(path: Path) -> object:
    table.columns_of(path)
    return list(table.read_rows(path, ("path", "label")))


def _probabilities(path: Path) -> object:
    found = probabilities.read_probabilities(path, 4, 3)
    assert found is None or found.shape == (4, 3)
    return found


def _npy(folder: Path) -> bytes:
    path = folder / "made.npy"
    probabilities.write_probabilities(path, np.full((4, 3), 1 / 3, np.float32))
    return path.read_bytes()


def _set_of_names(path: Path) -> object:
    return label_sets.names_of_set(path.read_bytes().decode("utf-8", "surrogateescape"))


def _cells(path: Path) -> object:
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    return label_sets.sort_into_sets({path.name: (text,), "b.jpg": ("x",)})


def _csv_part(path: Path) -> object:
    """Go on with a part of predictions."""
    target = path.with_name(path.name.removesuffix(predictions_csv.STATE_SUFFIX))
    part = target.with_name(target.name + predictions_csv.PART_SUFFIX)
    part.write_bytes(b"path,label,probability\n" + b"a,b,0.5\n" * 10)
    with predictions_csv.CsvFile(target) as file:
        done = file.go_on("key")
        assert not done or part.stat().st_size <= 103
    return done


def _csv_state(_: Path) -> bytes:
    state = predictions_csv.CsvState(key="key", size_bytes=31, images=1, unreadable=0, by_class={"b": 1})
    return state.to_json().encode()


# The cache ------------------------------------------------------------------------------------------------------------


def _entry_file(name: str) -> Reader:
    def valid(folder: Path) -> bytes:
        known = load_child("row_writer")
        with EntryWriter(folder / MADE_UP, known.record(width=3)) as writer:
            known.append(writer, range(5))
        return (folder / MADE_UP / name).read_bytes()

    def read(path: Path) -> object:
        known: ModuleType = load_child("row_writer")
        folder = path.parent / MADE_UP
        (folder / name).write_bytes(path.read_bytes())
        with closing(Entry(folder)) as entry:
            rows = entry.find(known.images(range(5)))
            assert rows.max() < len(entry)
            return rows

    return Reader(name, valid, read, forged_json if name.endswith("json") else torn)


def _preset(path: Path) -> object:
    size = hub_presets.default_size_pixels(f"{hub_presets.PREFIX}{path.parent}")
    assert size > 0
    return size


def _model(folder: Path) -> bytes:
    return keras_file(folder / "made.keras").read_bytes()


def _configured(path: Path) -> object:
    """Read a model with this configuration."""
    made = keras_file(path.with_name("configured.keras"), path.read_bytes())
    model_file.require_plain_model(made)
    return model_file.model_configuration(made)


def _user_key(path: Path) -> object:
    path.chmod(0o600)
    key = user_key.read_key(path)
    assert key is None or len(key) == user_key.KEY_BYTES
    return key


def _equal_images(path: Path) -> object:
    groups = duplicates.noted_equal_images(path, 10)
    assert all(0 <= number < 10 for group in groups for number in group)
    return groups


def _features(path: Path) -> object:
    return features_record.load_features_record(path, "key")


def _output_kind(path: Path) -> object:
    return model_worker.output_kind(path.with_name("model.keras"))


def readers() -> Iterable[Reader]:
    """All of them."""
    yield of_run("run.json", lambda path: read_run(RunDirectory(path.parent)))
    yield of_run("result.json", ResultRecord.load)
    yield of_run("attempts/*/job.json", Job.load)
    yield of_run("attempts/*/outcome.json", Outcome.load)
    yield of_run("attempts/*/attempt.json", AttemptRecord.load)
    yield of_run("attempts/*/progress.jsonl", _progress, forged_lines)
    yield of_run("attempts/*/events.jsonl", _events, forged_lines)
    yield of_run("checkpoints/*/manifest.json", _read_manifest)
    yield of_run("checkpoints/*/state.json", _read_state)
    yield of_run("checkpoints/*/state.json", _of_mirror)
    yield Reader("model.safetensors", lambda _: save({"a": np.ones((2, 3), np.float32)}), _read_arrays, torn)
    yield record("memory.json", MemorySample())
    yield record("probe.json", make_probe_report(8), stage_speed.saved_probe)
    yield record("line.json", MeasuredLine(workload=make_workload(), limit_bytes=9, trials=[], wall_seconds=1))
    yield record("holder.json", holder_file.this_process())
    yield record("equal-images.json", duplicates.EqualImages(groups=[[0, 1]]), _equal_images)
    yield record("features.json", features_record.FeaturesRecord(key="key", own="x", entries=["x"]), _features)
    yield Reader("labels.json", lambda _: b'{"outputs": "logits", "labels": ["a"]}', _output_kind)
    yield Reader("profile.json", lambda _: PROFILE.read_bytes(), reading.read_profile)
    yield Reader("out.csv.part.json", _csv_state, _csv_part)
    yield Reader("image_converter.json", lambda _: b'{"config": {"image_size": [224, 224]}}', _preset)
    yield Reader("config.json", lambda _: json.dumps(CONFIG).encode(), _configured)
    yield Reader("set.json", lambda _: b'["a", "b"]', _set_of_names)
    yield Reader("cell.txt", lambda _: b"['x', 'y']", _cells, torn)
    yield Reader("audit.jsonl", lambda _: AUDIT, _audit, forged_lines)
    yield Reader("samples.csv", lambda _: SAMPLES, _samples, forged_table)
    yield Reader("groups.csv", lambda _: GROUPS, _samples, forged_table)
    yield Reader("labels.csv", lambda _: b"path,label,split\na.jpg,x,train\nb.jpg,y,test\n", _listed, forged_table)
    yield Reader("list.txt", lambda _: b"a.jpg x\nb.jpg y\n", _listed, forged_table)
    yield Reader("images.txt", _joined, _listed, forged_table)
    yield Reader("metadata.jsonl", lambda _: METADATA, _listed, forged_lines)
    yield Reader("table.json", lambda _: b"[" + METADATA.strip().replace(b"\n", b",") + b"]", _listed)
    yield Reader("labels.json", lambda _: b'{"a.jpg": "x", "b.jpg": "y"}', _listed)
    yield Reader("rows.csv", lambda _: b"path,label\na.jpg,x\nb.jpg,y\n", _rows, forged_table)
    yield Reader("validation.npy", _npy, _probabilities, torn)
    yield Reader("model.keras", _model, model_file.require_plain_model, torn)
    yield Reader("model.weights.h5", lambda _: hdf5(), model_file.require_plain_model, torn)
    yield Reader(".key", lambda _: bytes(range(32)), _user_key, torn)
    yield from (_entry_file(name) for name in ("entry.json", "index.bin", "rows.bin"))
