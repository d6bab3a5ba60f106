"""Runs of `children/stub_worker.py` on a few images, compared with undisturbed ones: for the tests of faults."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from autofit.errors import AutofitError
from autofit.process.launch import ProcessLauncher
from autofit.protocol.messages import Verdict
from autofit.runs.collect_result import collect_result
from autofit.runs.result_record import ResultRecord
from autofit.runs.run_record import RunRecord
from autofit.storage.run_directory import RunDirectory

IMAGES = 24
UNREADABLE = 7
EXPECTED_ENDS = set(Verdict) - {Verdict.HUNG, Verdict.TIMEOUT, Verdict.USER_ERROR, Verdict.INTERRUPTED, Verdict.FITS}


def draw_images(folder: Path) -> None:
    """Write the images that the stub's loader decodes: 24, one of them unreadable."""
    chance = np.random.default_rng(0)
    for number in range(IMAGES):
        Image.fromarray(chance.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f"{number}.png")
    (folder / f"{UNREADABLE}.png").write_text("no image")


class Stub:
    """Runs of the stub on those images, each compared with an undisturbed run of the same plan."""

    def __init__(self, parent: ModuleType, images: Path, undisturbed: Path) -> None:
        self._parent, self._images, self._undisturbed = parent, images, undisturbed
        self._weights: dict[str, str | None] = {}

    def record(self, plan: dict[str, Any]) -> RunRecord:
        """The request of a run with this plan."""
        record: RunRecord = self._parent.run_record(str(self._images), **plan)
        return record

    def command(self, ends: str = "complete") -> list[str]:
        """The command of a parent whose attempts end as `ends` says."""
        return list(self._parent.worker_command(ends))

    def supervise(
        self, files: RunDirectory, plan: dict[str, Any], ends: str = "complete", launcher: ProcessLauncher | None = None
    ) -> AutofitError | None:
        """Supervise, in this process, a run whose attempts end as `ends` says."""
        error: AutofitError | None = self._parent.supervisor(
            files, ends, record=self.record(plan), launcher=launcher, view=self._parent.PrintedView()
        ).run()
        return error

    def parent(self, files: RunDirectory, plan: dict[str, Any], ends: str) -> subprocess.Popen[str]:
        """Supervise the same in a process of its own."""
        arguments = [str(files.path), ends, str(self._images), json.dumps(plan)]
        program = [sys.executable, str(self._parent.__file__), *arguments]
        return subprocess.Popen(program, stdout=subprocess.PIPE, text=True)

    def assert_lost_nothing(self, files: RunDirectory, plan: dict[str, Any], *, may_fail: bool = False) -> None:
        """Assert that each epoch is a permutation of the readable images, and the weights are the undisturbed run's.

        No worker may have failed by an exception that it could not report, unless it `may_fail`.
        """
        result = result_of(files)
        assert {attempt.verdict for attempt in result.attempts} <= EXPECTED_ENDS
        failed = [one.cause for one in result.attempts if one.cause.startswith("exit code")]
        assert may_fail or failed == []
        assert_permutations(files, epochs_of(plan))
        assert [stage.name for stage in result.stages] == stages_of(plan)
        assert result.weights_sha256 == self._undisturbed_weights(plan) is not None
        assert [path.name for path in files.path.rglob(".*") if path.name != ".lock"] == []

    def _undisturbed_weights(self, plan: dict[str, Any]) -> str | None:
        what = json.dumps(plan | {"threads": 1})
        if what not in self._weights:
            files = RunDirectory(self._undisturbed / str(len(self._weights)))
            files.create()
            assert self.supervise(files, plan) is None
            assert_permutations(files, epochs_of(plan))
            assert len(result_of(files).attempts) == max(1, len(stages_of(plan)))
            self._weights[what] = result_of(files).weights_sha256
        return self._weights[what]


def result_of(files: RunDirectory) -> ResultRecord:
    return collect_result(files, "completed", "", 0.0)


def epochs_of(plan: dict[str, Any]) -> int:
    """The epochs of all stages of a plan."""
    return int(plan["epochs"] + plan.get("fine_tune", {}).get("epochs", 0))


def stages_of(plan: dict[str, Any]) -> list[str]:
    """The stages that a run of this plan records."""
    return ["head", "fine-tune"] if "fine_tune" in plan else ["training"]


def assert_permutations(files: RunDirectory, epochs: int) -> None:
    lines = [json.loads(line) for line in files.audit.read_text().splitlines()]
    readable = [number for number in range(IMAGES) if number != UNREADABLE]
    for epoch in range(epochs):
        of_epoch = [line for line in lines if line["epoch"] == epoch]
        assert sorted(sample for line in of_epoch for sample in line["samples"]) == readable
        assert [sample for line in of_epoch for sample in line["skipped"]] == [UNREADABLE]
        assert [line["step"] for line in of_epoch] == list(range(len(of_epoch)))


def draw_plan(chance: random.Random, *, in_stages: bool = False) -> dict[str, Any]:
    """A ramp of batch sizes and how often to commit, of a few, so that undisturbed runs can be shared.

    In stages, the head is trained for two epochs, and then everything for two more, in other batches.
    """
    first, last = chance.choice([(2, 2), (1, 4), (8, 2), (5, 3), (7, 1)])
    fine_tune = {"epochs": 2, "batch_size": last, "micro_batch_size": last, "learning_rate": 1e-4, "cut": "input"}
    stages: dict[str, Any] = {"epochs": 2, "fine_tune": fine_tune} if in_stages else {}
    return {
        "epochs": 4,
        "first_batch_size": first,
        "last_batch_size": last,
        "micro_batch_size": 8,
        "checkpoint_steps": chance.choice([1, 3]),
    } | stages
