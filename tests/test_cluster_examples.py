"""The examples for clusters: a job that Kubernetes takes, scripts that a shell can read, flags that the command has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from autofit.config.shard_choice import chosen_shard
from tests.support.processes import autofit_command

EXAMPLES = Path(__file__).parents[1] / "examples"
JOB = EXAMPLES / "kubernetes_extract.yaml"


def validated(path: Path) -> subprocess.CompletedProcess[str]:
    """What a validator with the schemas of Kubernetes says of a manifest; nothing but what they name is allowed."""
    command = [sys.executable, "-m", "kubernetes_validate", "--strict", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_job_is_one_that_kubernetes_takes(tmp_path: Path) -> None:
    """`kubectl apply` would refuse it, or ignore a field that is misspelt."""
    done = validated(JOB)
    assert done.returncode == 0, done.stdout + done.stderr
    misspelt = tmp_path / "job.yaml"
    misspelt.write_text(JOB.read_text().replace("completionMode", "completionsMode"))
    assert validated(misspelt).returncode != 0


def test_each_pod_of_the_job_has_a_part_of_its_own() -> None:
    """Pods would do the same part, and none the last."""
    spec = yaml.safe_load(JOB.read_text())["spec"]
    assert spec["completionMode"] == "Indexed"
    arguments = spec["template"]["spec"]["containers"][0]["args"]
    shard = arguments[arguments.index("--shard") + 1]
    parts = [chosen_shard(shard, {"JOB_COMPLETION_INDEX": str(index)}) for index in range(spec["completions"])]
    assert parts == [(part, spec["completions"]) for part in range(1, spec["completions"] + 1)]


def refused(command: list[str], photos: Path, more: dict[str, str]) -> str:
    """What a command says of a folder without classes, after it has understood its flags."""
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "AUTOFIT_CACHE": str(photos), **more}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=photos, env=environment)
    assert done.returncode
    return done.stderr


@pytest.mark.slow
def test_the_commands_of_the_examples_are_understood(tmp_path: Path) -> None:
    """A flag that was renamed would be found on the cluster, or a mistake in the script."""
    arguments = yaml.safe_load(JOB.read_text())["spec"]["template"]["spec"]["containers"][0]["args"]
    given = [str(tmp_path) if part == "/photos" else part for part in arguments[1:]]
    assert "has no subfolders" in refused(autofit_command(*given), tmp_path, {"JOB_COMPLETION_INDEX": "0"})
    script = ["/bin/bash", str(EXAMPLES / "slurm_extract.sh")]
    folders = {"PHOTOS": str(tmp_path), "CACHE": str(tmp_path / "cache")}
    assert "has no subfolders" in refused(script, tmp_path, folders)
    assert "a folder on a shared drive" in refused(script, tmp_path, {"PHOTOS": str(tmp_path)})
