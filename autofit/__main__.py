"""The entry point of `python -m autofit` and of the console command `autofit`."""

from __future__ import annotations

import sys

from autofit.errors import UserError
from autofit.shadowing import NamesShadows


def main() -> None:
    """Run the command line and exit with its exit code."""
    try:
        with NamesShadows():
            from autofit.cli import run_command_line  # noqa: PLC0415 - a file of the user's may end this import
    except UserError as error:
        print(f"autofit: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    sys.exit(run_command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
