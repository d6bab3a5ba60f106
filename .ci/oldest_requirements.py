"""Prints the oldest releases that pyproject.toml allows, one requirement a line: what `make test-oldest` installs.

`numpy>=2.0` becomes `numpy==2.0.*`, and `psutil>=5.9.5` becomes `psutil==5.9.5.*`, which is 5.9.5.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

# Needed by the tests; the rest of the dev group are tools that run on one Python and need no oldest release.
TEST_TOOLS = {"pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "pandas"}

# matplotlib 3.9 sets no upper bound and uses names that pyparsing 3.3 warns of; in the tests a warning is an error.
BESIDE = ("pyparsing<3.3",)


def main() -> None:
    """Print the requirements."""
    project = tomllib.loads(Path("pyproject.toml").read_text())
    tools = [line for line in project["dependency-groups"]["dev"] if re.split(r"[<>=]", line)[0] in TEST_TOOLS]
    for line in (*project["project"]["dependencies"], *tools):
        name, version = re.split(r">=|,", line)[:2]
        sys.stdout.write(f"{name}=={version}.*\n")
    sys.stdout.writelines(f"{line}\n" for line in BESIDE)


if __name__ == "__main__":
    main()
