"""The text of saved profiles, word for word."""

from __future__ import annotations

from typing import Any

from autofit.profiles.records import (
    SCHEMA,
    HardwareFacts,
    MachineProfile,
    Origin,
    ProfileEntry,
    ProfileList,
    ProfileSummary,
    SavedExtraction,
    SavedWorkload,
)
from autofit.report.profile_text import imported_words, measured_words, profile_text, profiles_text

MEASURED_AT = 1_795_478_400.0  # 24 November 2026


def entry(largest: int = 200, recommended: int = 32, measured_at: float = MEASURED_AT, **workload: Any) -> ProfileEntry:
    facts: dict[str, Any] = {
        "backbone": "MobileNetV2",
        "image_size": (160, 192),
        "num_classes": 5,
        "trainable": "head",
        "weights": "imagenet",
        "hidden_units": 0,
        "dropout": 0.2,
        "optimizer": "adam",
        "precision": "float32",
    }
    return ProfileEntry(
        workload=SavedWorkload(**facts | workload),
        memory_limit_bytes=3 * 10**9,
        limit_is_given=True,
        max_batch=2**24,
        largest_feasible_batch=largest,
        recommended_batch=recommended,
        non_allocator_bytes=0,
        memory_model=None,
        trials=[],
        measured_at=measured_at,
        autofit_version="0.1.0",
    )


def extraction(**changes: Any) -> SavedExtraction:
    facts: dict[str, Any] = {
        "backbone": "MobileNetV2",
        "image_size": (160, 160),
        "precision": "float32",
        "micro_batch_size": 32,
        "images_per_second": 229.6,
        "measured_at": MEASURED_AT,
        "autofit_version": "0.1.0",
    }
    return SavedExtraction(**facts | changes)


def profile(*entries: ProfileEntry, **hardware: Any) -> MachineProfile:
    facts: dict[str, Any] = {
        "device": "cpu",
        "device_name": "Some CPU",
        "device_memory_bytes": None,
        "compute_capability": None,
        "driver_version": None,
        "cpu_model": "Some CPU",
        "cores": 2,
        "host_memory_bytes": 13 * 10**9,
        "host_limit_bytes": 12_700_000_000,
        "tensorflow_version": "2.20.0",
        "keras_version": "3.13.2",
        "python_version": "3.13.1",
    }
    known = HardwareFacts(**facts | hardware)
    return MachineProfile(schema_=SCHEMA, fingerprint=known.fingerprint(), hardware=known, entries=list(entries))


def test_a_machine_in_full() -> None:
    """One would not know what was found, under which limit, or whether it is this machine at all."""
    shown = profile(entry(0, 0, backbone="ResNet50", trainable="all"), entry(measured_at=MEASURED_AT + 86400))
    assert (
        profile_text(shown, Origin.OWN)
        == f"""\
Machine {shown.fingerprint} (yours)
CPU:       Some CPU
Host:      2 cores, 12.70 GB of memory
Software:  TensorFlow 2.20.0, Keras 3.13.2, Python 3.13.1

network            size       trains     limit  largest  recommended  measured
MobileNetV2        160x192    head        3 GB      200           32  2026-11-25
ResNet50           160x192    all         3 GB     none            -  2026-11-24"""
    )


def test_extractions_stand_below_the_probes() -> None:
    """One would not know where the next extraction starts, or take it for a probe."""
    one = extraction(image_size=(96, 128), micro_batch_size=1, images_per_second=2.5, measured_at=MEASURED_AT - 1)
    shown = profile(entry()).model_copy(update={"extractions": [one, extraction()]})
    text = profile_text(shown, Origin.OWN)
    assert text.endswith(
        """MobileNetV2        160x192    head        3 GB      200           32  2026-11-24

extraction: MobileNetV2 at 160: 32 images at once, 230 images/s
extraction: MobileNetV2 at 96x128: 1 image at once, 2.5 images/s"""
    )
    alone = profile_text(shown.model_copy(update={"entries": []}), Origin.OWN)
    assert "\n\nNo probe is saved for it yet.\n\nextraction: MobileNetV2 at 160: " in alone


def test_a_gpu_is_named_with_what_decides() -> None:
    """Two GPUs of one name and other memory would look alike."""
    shown = profile(
        device="gpu",
        device_name="Tesla T4",
        device_memory_bytes=15_640_000_000,
        compute_capability="7.5",
        driver_version="550.54",
        keras_version=None,
    )
    text = profile_text(shown, Origin.SHIPPED)
    assert "(comes with autofit)\nGPU:       Tesla T4, 15.64 GB, compute capability 7.5, driver 550.54\nCPU: " in text
    assert "TensorFlow 2.20.0, Python 3.13.1" in text
    assert text.endswith("\n\nNo probe is saved for it yet.")


def summary(**changes: Any) -> ProfileSummary:
    facts: dict[str, Any] = {
        "fingerprint": "0123456789abcdef",
        "device_name": "Tesla T4",
        "entries": 3,
        "newest": MEASURED_AT,
        "origin": Origin.OWN,
    }
    return ProfileSummary(**facts | changes)


def test_the_list_in_full() -> None:
    """A user could not distinguish own profiles from shipped ones, or a profile with entries would look empty."""
    shipped = summary(device_name="Some(R) Fine(TM) CPU", entries=0, extractions=2, newest=None, origin=Origin.SHIPPED)
    listing = ProfileList(folder="/home/ada/profiles", profiles=[summary(), shipped])
    assert (
        profiles_text(listing)
        == """\
machine           device                probes  extractions  newest      from
0123456789abcdef  Tesla T4                   3            0  2026-11-24  yours
0123456789abcdef  Some Fine CPU              0            2              autofit

Your profiles are in /home/ada/profiles"""
    )


def test_an_empty_list_says_how_to_get_one() -> None:
    """An empty answer would look like a defect."""
    text = profiles_text(ProfileList(folder="/home/ada/profiles", profiles=[]))
    assert text == "There are no profiles yet: autofit probe makes the first.\nYour profiles are in /home/ada/profiles"


def test_untrusted_text_is_shortened_and_escaped() -> None:
    """A name in an imported profile could clear the screen, or push the figures out of sight."""
    evil = "\x1b[2J\u202e" + "x" * 190
    shown = profile(entry(largest=2**24, recommended=2**24, backbone=evil, image_size=(9999, 16384)), cpu_model=evil)
    strange = extraction(backbone=evil, precision=evil, micro_batch_size=2**24, images_per_second=1e9)
    shown = shown.model_copy(update={"extractions": [strange]})
    listing = ProfileList(folder="/p", profiles=[summary(device_name=evil, entries=1000)])
    for text in (profile_text(shown, Origin.OWN), profiles_text(listing)):
        assert all(line.isprintable() for line in text.split("\n"))
        assert max(map(len, text.split("\n"))) <= 80


def test_so_much_was_measured() -> None:
    """An export of extractions alone would say that it holds no probes, and look like a failure."""
    said = [measured_words(probes, extractions) for probes, extractions in ((0, 0), (2, 0), (0, 1), (1, 2))]
    assert said == ["0 probes", "2 probes", "1 extraction", "1 probe and 2 extractions"]


def test_an_import_in_words() -> None:
    """An import that added nothing would look like one that did."""
    assert imported_words("0123456789abcdef", 2, 0) == "2 probes of the machine 0123456789abcdef added."
    assert imported_words("0123456789abcdef", 0, 1) == (
        "0 probes of the machine 0123456789abcdef added; 1 other already known or not usable here."
    )
    assert imported_words("0123456789abcdef", 0, 0, 2) == "2 extractions of the machine 0123456789abcdef added."
