"""Findings about the environment of the process: variables, the platform, folders and disks. Pure."""

from __future__ import annotations

from autofit.config.byte_size import format_size
from autofit.doctor.records import Facts, Finding, Folder, Severity
from autofit.printable import printable
from autofit.protocol.tf_choices import ONEDNN_VARIABLE, kernels_asked
from autofit.shadowing import PACKAGES, named

LITTLE_DISK_BYTES = 2 * 10**9

MOST_SHADOWS = 8

ONEDNN_MEANS = {
    "onednn": "where memory runs out, oneDNN ends the process instead of raising an error, so that an "
    "out-of-memory costs a restart",
    "eigen": "oneDNN stays off also where memory cannot run out, and many processors compute faster with it",
}


def legacy_keras(facts: Facts) -> list[Finding]:
    """A variable that asks for Keras 2, which the worker refuses."""
    value = facts.environment.get("TF_USE_LEGACY_KERAS", "")
    if value.lower() not in {"1", "true"}:
        return []
    return [
        Finding(
            severity=Severity.PROBLEM,
            topic="environment",
            text=f"TF_USE_LEGACY_KERAS={value} asks for Keras 2, and autofit needs Keras 3: it will refuse to train",
            advice="unset it",
            command="unset TF_USE_LEGACY_KERAS",
        )
    ]


def keras_backend(facts: Facts) -> list[Finding]:
    """A Keras backend other than TensorFlow: a notebook's own Keras will use it."""
    if not facts.other_backend:
        return []
    return [
        Finding(
            severity=Severity.NOTE,
            topic="environment",
            text=f"{facts.other_backend}: autofit trains with tensorflow all the same, but keras.models.load_model "
            f"in your own program will use that",
            advice="set it to tensorflow before keras is imported there",
            command="export KERAS_BACKEND=tensorflow",
        )
    ]


def onednn(facts: Facts) -> list[Finding]:
    """The variable for oneDNN, which on a CPU overrides the kernels that a run would choose (docs/decisions/0023)."""
    asked = kernels_asked(facts.environment)
    if facts.hardware.device != "cpu" or asked is None:
        return []
    return [
        Finding(
            severity=Severity.NOTE,
            topic="environment",
            text=f"{ONEDNN_VARIABLE}={facts.environment[ONEDNN_VARIABLE]}: {ONEDNN_MEANS[asked]}",
            advice="unset it, and autofit uses oneDNN on a CPU only where memory cannot run out",
            command=f"unset {ONEDNN_VARIABLE}",
        )
    ]


def platform(facts: Facts) -> list[Finding]:
    """Apple's macOS, on which autofit is not tested."""
    if facts.platform != "darwin":
        return []
    text = "on macOS support is best effort: autofit is tested on Linux"
    return [Finding(severity=Severity.NOTE, topic="platform", text=text)]


def profiles_folder(facts: Facts) -> list[Finding]:
    """A folder in `AUTOFIT_PROFILES` that cannot be written."""
    if facts.profiles is None or facts.profiles_writable:
        return []
    return [
        Finding(
            severity=Severity.WARNING,
            topic="environment",
            text=f"AUTOFIT_PROFILES={facts.profiles} cannot be written: the measurements of a probe will not be saved",
            advice="name a writable folder, or unset it",
            command="unset AUTOFIT_PROFILES",
        )
    ]


def little_disk(facts: Facts) -> list[Finding]:
    """Folders with little room for checkpoints."""
    return [_disk(folder) for folder in facts.folders if (folder.free_bytes or 0) < LITTLE_DISK_BYTES]


def _disk(folder: Folder) -> Finding:
    free = folder.free_bytes
    state = "cannot be used" if free is None else f"has only {format_size(free)} free"
    advice = (
        "free space there, or set TMPDIR to another folder"
        if folder.role == "temporary"
        else ("free space there, or write runs elsewhere with --run-dir")
    )
    return Finding(
        severity=Severity.WARNING, topic="disk", text=f"the {folder.role} folder {folder.path} {state}", advice=advice
    )


def hidden_modules(facts: Facts) -> list[Finding]:
    """Files with the name of a package or of a module of the standard library, which are imported in its place."""
    return [
        Finding(
            severity=Severity.WARNING if module in PACKAGES else Severity.NOTE,
            topic="environment",
            text=f"{printable(path)} has the name of {named(module)}, and programs in that folder get it instead",
            advice="rename it, or start them from another folder",
        )
        for module, path in facts.shadows[:MOST_SHADOWS]
    ]
