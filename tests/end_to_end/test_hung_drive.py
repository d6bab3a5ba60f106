"""A drive that hangs in the middle of a training, which is interrupted: a real run, a real blocking file."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.paths import CHILDREN, child_environment
from tests.support.processes import autofit_command, kill_with_children

pytestmark = pytest.mark.slow


@pytest.mark.whole  # tests/input has it of the reader alone
def test_a_hung_drive_is_named_and_ctrl_c_ends_the_run_with_its_checkpoint(photos: Path, tmp_path: Path) -> None:
    """The bar would stand still without a word, and the notebook only come back when the drive does."""
    os.mkfifo(tmp_path / "pipe")
    sizes = ["--image-size", "32", "--epochs", "50", "--batch-size", "8", "--micro-batch-size", "8"]
    named = ["--model", "hung_drive_network:network", "--pixel-cache", "off", "--run-dir", tmp_path / "run"]
    command = autofit_command("train", photos, *sizes, *named)
    environment = {**child_environment(), "HUNG_PIPE": str(tmp_path / "pipe")}
    with (tmp_path / "said").open("w+b") as said:
        process = subprocess.Popen(command, cwd=CHILDREN, env=environment, stdout=said, stderr=subprocess.STDOUT)
        try:
            until = time.monotonic() + 120
            while "does not answer, for" not in (shown := " ".join((tmp_path / "said").read_text().split())):
                assert process.poll() is None, shown
                assert time.monotonic() < until, shown
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            asked = time.monotonic()
            assert process.wait(60) == 130
            seconds = time.monotonic() - asked
        finally:
            kill_with_children(process)
    text = " ".join((tmp_path / "said").read_text().split())
    (waited,) = re.findall(r"does not answer, for (\d+) s now", text)
    assert int(waited) < 10
    assert seconds < 10, text
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["status"] == "interrupted"
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) > 0
