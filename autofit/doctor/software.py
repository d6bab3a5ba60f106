"""Findings about installed versions: missing, too old, or known to be unsafe. Pure."""

from __future__ import annotations

import re

from autofit.doctor.records import Facts, Finding, Severity

LEAST_PYTHON = (3, 11)

LEAST = {"TensorFlow": (2, 20), "Keras": (3, 13), "Pillow": (11, 3)}

SAFE_PILLOW = (13, 0)
"""Older versions have a buffer overflow in the JPEG decoder, critical: CVE-2026-112403 and CVE-2026-112398.

https://pillow.readthedocs.io/en/stable/releasenotes/13.0.0.html
"""

SAFE_KERAS = (3, 14, 1)
"""In older versions a crafted model file can read other HDF5 files: CVE-2026-12480, fixed in 3.14.1 (and 3.12.2)."""


def release(version: str) -> tuple[int, ...]:
    """The numbers a version begins with: `2.20.0rc1` as `(2, 20, 0)`."""
    return tuple(int(number) for number in re.match(r"[0-9.]*", version.strip())[0].split(".") if number)  # type: ignore[index]


def python(facts: Facts) -> list[Finding]:
    """A Python version that is too old."""
    version = facts.hardware.python_version
    if release(version) >= LEAST_PYTHON:
        return []
    text = f"Python {version} is not supported: autofit needs 3.11 or newer"
    advice = "create an environment with a newer Python"
    return [Finding(severity=Severity.PROBLEM, topic="software", text=text, advice=advice)]


def tensorflow(facts: Facts) -> list[Finding]:
    """TensorFlow, missing or too old."""
    return _too_old("TensorFlow", facts.hardware.tensorflow_version)


def keras(facts: Facts) -> list[Finding]:
    """Keras, missing, too old, or with a known vulnerability in reading model files."""
    version = facts.hardware.keras_version
    found = _too_old("Keras", version)
    if found or version is None or release(version) >= SAFE_KERAS:
        return found
    return [
        Finding(
            severity=Severity.NOTE,
            topic="software",
            text=f"Keras {version}: a crafted model file can read other files when it is loaded (CVE-2026-12480)",
            advice="load no model files from untrusted sources, or upgrade; autofit loads none",
            command="pip install --upgrade keras",
        )
    ]


def pillow(facts: Facts) -> list[Finding]:
    """Pillow, missing, too old, or with the overflow in its JPEG decoder."""
    version = facts.versions.get("pillow")
    found = _too_old("Pillow", version)
    if found or version is None or release(version) >= SAFE_PILLOW:
        return found
    return [
        Finding(
            severity=Severity.WARNING,
            topic="software",
            text=f"Pillow {version}: crafted JPEGs overflow its decoder (critical, CVE-2026-112403); 13.0 fixes it",
            advice="upgrade before you train on images from untrusted sources; autofit runs with this version too",
            command="pip install --upgrade pillow",
        )
    ]


def _too_old(name: str, version: str | None) -> list[Finding]:
    least = LEAST[name]
    if version is not None and release(version) >= least:
        return []
    needed = ".".join(map(str, least))
    return [
        Finding(
            severity=Severity.PROBLEM,
            topic="software",
            text=f"{name} is not installed" if version is None else f"{name} {version} is too old",
            advice=f"autofit needs {needed} or newer",
            command=f"pip install --upgrade {name.lower()}",
        )
    ]


def two_nvml_packages(facts: Facts) -> list[Finding]:
    """Two packages of one module: `pynvml` warns when imported, and before 12.0 overwrote the file of nvidia-ml-py."""
    if not {"pynvml", "nvidia-ml-py"} <= facts.versions.keys():
        return []
    return [
        Finding(
            severity=Severity.NOTE,
            topic="software",
            text=f"the package pynvml {facts.versions['pynvml']} is deprecated; nvidia-ml-py has a module of its name",
            advice="remove it, and reinstall nvidia-ml-py, whose file may have been removed with it",
            command="pip uninstall -y pynvml && pip install --force-reinstall nvidia-ml-py",
        )
    ]


def other_autofit(facts: Facts) -> list[Finding]:
    """PyAutoFit beside this package: PyPI's `autofit` is another project, and its modules are called `autofit` too.

    The package that is installed last overwrites `autofit/__init__.py` of the other. https://pypi.org/project/autofit/
    """
    if "autofit" not in facts.versions:
        return []
    return [
        Finding(
            severity=Severity.PROBLEM,
            topic="software",
            text=f"the package autofit {facts.versions['autofit']} is PyAutoFit, another project of this module name",
            advice="keep one of them in an environment; for this one, remove both, and install this one again",
            command="pip uninstall -y autofit autofit-keras",
        )
    ]
