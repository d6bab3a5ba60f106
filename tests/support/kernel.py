"""A Jupyter kernel and the cells that run in it, with what each shows, as a notebook would have it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.support.waiting import wait_until

CELL_SECONDS = 240


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands below a cell after it has run."""

    outputs: list[Any]

    def text(self, kind: str = "text/plain") -> str:
        """All displayed data of a kind, and what was printed."""
        data = [str(output.get("data", {}).get(kind, "")) for output in self.outputs]
        return "\n".join([*data, *(str(output.get("text", "")) for output in self.outputs)])

    @property
    def html(self) -> str:
        """All displayed HTML."""
        return self.text("text/html")

    @property
    def error(self) -> list[str]:
        """The lines of the error that a front end shows; none without one."""
        tracebacks = [output["traceback"] for output in self.outputs if output["output_type"] == "error"]
        return [line for traceback in tracebacks for line in "\n".join(traceback).splitlines()]


class Kernel:
    """A running kernel."""

    def __init__(self, client: NotebookClient) -> None:
        self._client = client

    def run(self, source: str) -> Shown:
        """Run a cell to its end."""
        cells = self._client.nb.cells
        cells.append(nbformat.v4.new_code_cell(source))
        cell = self._client.execute_cell(cells[-1], len(cells) - 1)
        return Shown(list(cell.outputs))

    def run_until(self, source: str, reached: Callable[[], bool]) -> Shown:
        """Run a cell and press the stop button as soon as a point is reached."""

        def press() -> None:
            wait_until(reached, "the cell never came so far")
            os.killpg(os.getpgid(self._client.km.provisioner.process.pid), signal.SIGINT)

        pressing = threading.Thread(target=press)
        pressing.start()
        try:
            return self.run(source)
        finally:
            pressing.join()


@contextmanager
def running_kernel(folder: Path) -> Iterator[Kernel]:
    """A kernel of this Python whose working folder is `folder`, ended with the block."""
    client = NotebookClient(
        nbformat.v4.new_notebook(),
        timeout=CELL_SECONDS,
        allow_errors=True,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    with client.setup_kernel():
        yield Kernel(client)
