"""The entry point of `python -m autofit` and of the console command `autofit`."""

from __future__ import annotations

import sys

from autofit.errors import InterruptedRunError, UserError
from autofit.shadowing import NamesShadows, leave_out_working_folder

TYPE_CHECKING = False  # `typing` itself may be hidden by a file of the user's
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> None:
    """Run the command line and exit with its exit code."""
    leave_out_working_folder()
    try:
        with NamesShadows():
            from autofit.warnings_shown import warnings_shown  # noqa: PLC0415 - a file of the user's may end these
        with NamesShadows(), warnings_shown():
            from autofit.cli import run_command_line  # noqa: PLC0415
    except UserError as error:
        _exit_with(error.exit_code, str(error))
    except KeyboardInterrupt:
        _exit_with(InterruptedRunError.exit_code, "stopped")
    with warnings_shown():
        code = run_command_line(sys.argv[1:])
    _exit(code)


def _exit_with(code: int, text: str) -> NoReturn:
    print(f"autofit: {text}", file=sys.stderr)  # noqa: T201
    sys.exit(code)


def _exit(code: int) -> None:
    """Exit, also where PYTHONINSPECT asks for a prompt that nobody can answer: it would replace the exit code."""
    if sys.flags.inspect and not (sys.stdin and sys.stdin.isatty()):
        import atexit  # noqa: PLC0415
        import os  # noqa: PLC0415

        atexit._run_exitfuncs()  # noqa: SLF001 - what an exit does
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
