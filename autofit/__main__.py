"""The entry point of `python -m autofit` and of the console command `autofit`."""

from __future__ import annotations

import sys

from autofit.cli import run_command_line


def main() -> None:
    """Run the command line and exit with its exit code."""
    sys.exit(run_command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
