"""`python -m autofit`, and the console command of the same name."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    if sys.platform == "win32":
        print("autofit: runs on Linux (and, best effort, macOS); on Windows use WSL 2", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    from autofit.cli import run_command_line  # noqa: PLC0415 - not on Windows, where it could not be imported

    sys.exit(run_command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
