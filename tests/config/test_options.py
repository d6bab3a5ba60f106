"""The validation of a request: each form of an option, its value afterwards, and the one line of a refusal."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from autofit.config.backbones import ModelSpec
from autofit.config.option import Option
from autofit.config.option_checks import GIVEN_FUNCTION
from autofit.config.option_table import BY_NAME, OPTIONS
from autofit.config.options import Options, changed_options, check_for_training, make_options, needing_epochs
from autofit.config.request_difference import difference
from autofit.config.run_options import MAX_SEED
from autofit.errors import UserError
from autofit.runs.model_source import model_source
from tests.support.ids import steady

DEFAULTS = {
    "optimizer_config": None,
    "recompute": "auto",
    "precision": "float32",
    "loss": None,
    "metrics": (),
    "monitor": "auto",
    "profile": True,
    "devices": 1,
    "backbone": "MobileNetV2",
    "model": None,
    "weights": "imagenet",
    "image_size": (224, 224),
    "trainable": "head",
    "hidden_units": 0,
    "dropout": 0.2,
    "epochs": None,
    "batch_size": None,
    "micro_batch_size": None,
    "batch_schedule": None,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "class_weight": "none",
    "early_stopping": None,
    "validation": 0.2,
    "memory_limit_bytes": None,
    "seed": 0,
    "checkpoint_seconds": 60.0,
    "checkpoint_steps": None,
    "max_minutes": None,
    "time_budget_seconds": None,
    "multi_label": False,
    "isolation": "process",
    "audit": False,
    "replay": None,
    "mirror_dir": None,
    "max_bad_images": 0.1,
    "feature_cache": "auto",
    "cache_by": "stat",
    "augment": "auto",
    "flip": True,
    "feature_views": 4,
    "pixel_cache": "auto",
    "deterministic": False,
    "recipe": "auto",
    "fine_tune_epochs": 0,
    "fine_tune_from": "auto",
}


def network(input_shape: tuple[int, int, int], num_classes: int) -> None:
    """A model function; no test calls it."""


def refusal(**given: Any) -> str:
    """The one line of the error for a request."""
    with pytest.raises(UserError) as refused:
        make_options(**given)
    message = str(refused.value)
    assert message.splitlines() == [message]
    return message


def test_a_request_without_options_has_the_documented_defaults() -> None:
    """A default would differ from the documented one."""
    assert make_options().model_dump() == DEFAULTS


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"backbone": "resnet50"}, {"backbone": "ResNet50", "image_size": (224, 224)}),
        ({"backbone": "InceptionV3"}, {"image_size": (299, 299)}),
        ({"weights": None}, {"weights": "none", "trainable": "all"}),
        ({"weights": "NONE", "trainable": "Head"}, {"weights": "none", "trainable": "head"}),
        ({"weights": "ImageNet", "trainable": "all"}, {"weights": "imagenet", "trainable": "all"}),
        ({"image_size": 160}, {"image_size": (160, 160)}),
        ({"image_size": "160"}, {"image_size": (160, 160)}),
        ({"image_size": "160x224"}, {"image_size": (160, 224)}),
        ({"image_size": " 160X224 "}, {"image_size": (160, 224)}),
        ({"image_size": (160, 224)}, {"image_size": (160, 224)}),
        ({"image_size": [160]}, {"image_size": (160, 160)}),
        ({"image_size": np.int64(160)}, {"image_size": (160, 160)}),
        ({"hidden_units": np.uint8(64), "epochs": np.int32(3)}, {"hidden_units": 64, "epochs": 3}),
        ({"dropout": 0}, {"dropout": 0.0}),
        ({"dropout": np.float32(0.5)}, {"dropout": 0.5}),
        ({"batch_size": "AUTO", "micro_batch_size": None}, {"batch_size": None, "micro_batch_size": None}),
        ({"batch_size": "64", "micro_batch_size": np.int16(8)}, {"batch_size": 64, "micro_batch_size": 8}),
        ({"batch_schedule": "32:16"}, {"batch_schedule": (32, 16)}),
        ({"batch_schedule": (np.int64(16), 32)}, {"batch_schedule": (16, 32)}),
        ({"optimizer": "AdamW", "learning_rate": 1}, {"optimizer": "adamw", "learning_rate": 1.0}),
        ({"class_weight": "balanced"}, {"class_weight": "balanced"}),
        ({"class_weight": None}, {"class_weight": "none"}),
        ({"early_stopping": 3}, {"early_stopping": 3}),
        ({"validation": 0}, {"validation": 0.0}),
        ({"validation": "0.25"}, {"validation": 0.25}),
        ({"validation": Path("/data/val")}, {"validation": "/data/val"}),
        ({"memory_limit": "3GB"}, {"memory_limit_bytes": 3 * 10**9}),
        ({"memory_limit": 2**30}, {"memory_limit_bytes": 2**30}),
        ({"seed": 2**32 - 1}, {"seed": 2**32 - 1}),
        ({"checkpoint_every": "2m"}, {"checkpoint_seconds": 120.0, "checkpoint_steps": None}),
        ({"checkpoint_every": "0.5s"}, {"checkpoint_seconds": 0.5}),
        ({"checkpoint_every": "50"}, {"checkpoint_seconds": None, "checkpoint_steps": 50}),
        ({"checkpoint_every": 50.0}, {"checkpoint_steps": 50}),
        ({"checkpoint_every": np.int64(7)}, {"checkpoint_steps": 7}),
        ({"max_minutes": 0.5}, {"max_minutes": 0.5}),
        ({"time_budget": "5m"}, {"time_budget_seconds": 300.0, "fine_tune_epochs": "auto"}),
        ({"time_budget": "1.5h", "fine_tune_epochs": 0}, {"time_budget_seconds": 5400.0, "fine_tune_epochs": 0}),
        ({"time_budget": "90s", "epochs": 3}, {"time_budget_seconds": 90.0, "fine_tune_epochs": 0}),
        ({"time_budget": 100 / 3, "epochs": 3}, {"time_budget_seconds": 33.333333333, "fine_tune_epochs": 0}),
        ({"time_budget": 20, "trainable": "all"}, {"time_budget_seconds": 20.0, "fine_tune_epochs": 0}),
        ({"time_budget": "5m", "recipe": "classic"}, {"fine_tune_epochs": 0}),
        ({"time_budget": "5m", "batch_size": 16}, {"fine_tune_epochs": "auto"}),
        ({"time_budget": "5m", "micro_batch_size": 16}, {"fine_tune_epochs": "auto"}),
        ({"time_budget": "5m", "augment": "light"}, {"fine_tune_epochs": "auto"}),
        ({"time_budget": "5m", "learning_rate": 0.01}, {"fine_tune_epochs": "auto"}),
        ({"time_budget": "5m", "optimizer": "sgd"}, {"fine_tune_epochs": "auto"}),
        ({"time_budget": "5m", "early_stopping": 2, "hidden_units": 8}, {"fine_tune_epochs": "auto"}),
        ({"time_budget": "5m", "loss": "poisson", "metrics": ["mae"]}, {"fine_tune_epochs": "auto"}),
        ({"fine_tune_epochs": "Auto"}, {"time_budget_seconds": None, "fine_tune_epochs": "auto"}),
        ({"fine_tune_epochs": "4", "time_budget": "30"}, {"time_budget_seconds": 30.0, "fine_tune_epochs": 4}),
        ({"max_bad_images": 0}, {"max_bad_images": 0.0}),
        ({"max_bad_images": "1"}, {"max_bad_images": 1.0}),
        ({"isolation": "inline", "audit": True}, {"isolation": "inline", "audit": True}),
        ({"devices": " ALL"}, {"devices": "all"}),
        ({"devices": "2"}, {"devices": 2}),
        ({"model": network}, {"backbone": None, "model": GIVEN_FUNCTION, "weights": "none", "trainable": "all"}),
        ({"model": network, "fine_tune_epochs": 3}, {"trainable": "head", "fine_tune_epochs": 3, "weights": "none"}),
        ({"model": network, "fine_tune_epochs": 0}, {"trainable": "all", "fine_tune_epochs": 0}),
        ({"model": network, "trainable": "head"}, {"trainable": "head", "fine_tune_epochs": 0}),
        ({"model": network, "trainable": "head", "time_budget": 60}, {"trainable": "head", "fine_tune_epochs": "auto"}),
        ({"model": network, "time_budget": 60}, {"trainable": "all", "fine_tune_epochs": 0}),
        ({"model": "json:loads", "image_size": 32}, {"model": "json:loads", "image_size": (32, 32)}),
        ({"augment": None}, {"augment": "none"}),
        ({"feature_cache": "On"}, {"feature_cache": "on"}),
        ({"feature_cache": None}, {"feature_cache": "off"}),
        ({"cache_by": "content"}, {"cache_by": "content"}),
    ],
    ids=steady,
)
def test_each_form_of_an_option_becomes_one_value(given: dict[str, Any], expected: dict[str, Any]) -> None:
    """A form of an option that the documentation or NumPy suggests would be refused, or mean something else."""
    found = make_options(**given).model_dump()
    assert {name: found[name] for name in expected} == expected
    assert all(type(value) in {int, float, str, bool, tuple, type(None)} for value in found.values())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"backbone": "ResNet5"}, "backbone 'ResNet5' is not in keras.applications: did you mean ResNet50"),
        ({"backbone": 50}, "backbone must be a name such as 'MobileNetV2', not 50"),
        ({"optimizer": "adan"}, "optimizer 'adan' is not known: did you mean adam?"),
        ({"trainable": "none"}, "trainable 'none' is not known: give one of head, all"),
        ({"feature_cache": True}, "feature_cache True is not known: give one of auto, on, off"),
        ({"cache_by": "name"}, "cache_by 'name' is not known: give one of stat, content"),
        (
            {"image_size": 16},
            "image size 16x16 is too small for MobileNetV2: choose at least 32x32, or another backbone",
        ),
        ({"image_size": "big"}, "image_size 'big' cannot be read: give a number such as 224, or HEIGHTxWIDTH"),
        ({"image_size": (1, 2, 3)}, "image_size must be one number or (height, width), not (1, 2, 3)"),
        ({"image_size": 65536}, "image_size must be from 1 to 65535, not 65536"),
        ({"epochs": 0}, "epochs must be from 1 to 2147483647, not 0"),
        ({"epochs": 1.5}, "epochs must be a whole number, not 1.5"),
        ({"dropout": 1}, "dropout must be at least 0 and under 1, not 1"),
        ({"learning_rate": float("nan")}, "learning_rate must be over 0 and finite, not nan"),
        ({"batch_size": "many"}, "batch_size must be 'auto' or a whole number, not 'many'"),
        (
            {"batch_size": 32, "batch_schedule": "32:16"},
            "batch_size 32 and batch_schedule '32:16' exclude each other: give one",
        ),
        ({"batch_schedule": 32}, "batch_schedule 32 is not two sizes of at least 1: give A:B, for example 32:16"),
        (
            {"validation": None},
            "validation must be a share such as 0.2, a folder, a table or a pair (images, labels), not None",
        ),
        (
            {"validation": [[0] * 9, [1]]},
            "validation must be a share such as 0.2, a folder, a table or a pair (images, labels), not a list of 2",
        ),
        (
            {"memory_limit": "lots"},
            "memory_limit: the size 'lots' is not understood: give for example 3GB, 800MiB or 3000000000",
        ),
        (
            {"checkpoint_every": "soon"},
            "checkpoint_every 'soon' cannot be read: give a time such as 60s, or a number of steps",
        ),
        ({"audit": "no"}, "audit must be True or False, not 'no'"),
        ({"weights": "here.h5"}, "weights 'here.h5': there is no such file; give a file, 'imagenet' or 'none'"),
        ({"model": "nowhere_at_all:f"}, "model 'nowhere_at_all:f': there is no module 'nowhere_at_all' here or"),
        ({"model": "network.py"}, "model 'network.py' cannot be read: give a function, or module:function"),
        ({"model": "__main__:f"}, "model '__main__:f' does not exist in another process: give the function itself"),
        ({"model": network, "backbone": "VGG16"}, "backbone 'VGG16' and model are both given: give one of the two"),
        ({"model": network, "dropout": 0.5}, "dropout=0.5 is about a backbone's head: set it in the model function"),
        ({"devices": 0}, "devices must be 'all' or a whole number from 1 to 64, not 0"),
        ({"devices": "some"}, "devices must be 'all' or a whole number from 1 to 64, not 'some'"),
        ({"devices": 1.5}, "devices must be 'all' or a whole number"),
        ({"devices": True}, "devices must be 'all' or a whole number"),
        ({"devices": None}, "devices must be 'all' or a whole number"),
        ({"devices": 2, "isolation": "inline"}, "devices 2 with isolation 'inline': leave one of the two out"),
        ({"fine_tune_from": 1.5}, "fine_tune_from must be at least 0 and under 1"),
        ({"model": "a" * 300 + ":build"}, "model 'aaa"),
        ({"devices": "5" * 5000}, "devices must be 'all' or a whole number"),
        ({"fine_tune_from": "1.5"}, "fine_tune_from must be at least 0 and under 1"),
    ],
    ids=steady,
)
def test_a_refusal_names_the_option_and_the_value_and_says_what_to_do(given: dict[str, Any], message: str) -> None:
    """The user would have to guess which of thirty options is meant, or what would be accepted."""
    assert refusal(**given).startswith(message)


@pytest.mark.parametrize("nothing", [0, 0.0, "0", "0.00"])
def test_a_cut_below_which_nothing_is_frozen_is_that_at_the_input(nothing: object) -> None:
    """Its stage would be probed as one that trains on activations: the probe ended in a TypeError of TensorFlow's."""
    assert make_options(fine_tune_epochs=1, fine_tune_from=nothing).fine_tune_from == "input"


NOT_COUNTS = [0, -1, 2**31, 1.0, True, "x", float("nan"), float("inf"), np.float64(3), np.array([3]), [3.0], {}]


@pytest.mark.parametrize("name", ["epochs", "early_stopping", "batch_size", "micro_batch_size", "image_size"])
@pytest.mark.parametrize("value", NOT_COUNTS, ids=repr)
def test_a_value_that_is_no_count_is_refused(name: str, value: Any) -> None:
    """A nonsense count would be accepted and fail minutes later, in the worker."""
    assert name in refusal(**{name: value}).replace("image size", "image_size")


@pytest.mark.parametrize("value", [-1, 2**32, 0.0, False, "0", None])
def test_a_seed_that_no_model_can_be_built_with_is_refused(value: Any) -> None:
    """The request would be accepted and fail when the model's spec is made."""
    assert refusal(seed=value).startswith("seed must be")


def test_the_largest_seed_is_valid_in_the_models_spec() -> None:
    """The bounds of the option and of the model's spec would differ."""
    spec = model_source(make_options(seed=MAX_SEED), num_classes=2).spec
    assert ModelSpec.model_validate(spec.model_dump()).seed == MAX_SEED
    with pytest.raises(ValueError, match="seed"):
        ModelSpec.model_validate(spec.model_dump() | {"seed": MAX_SEED + 1})


@pytest.mark.parametrize("name", ["dropout", "learning_rate", "max_minutes", "validation", "max_bad_images"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), -0.1, True, [], 10**400], ids=steady)
def test_a_value_that_is_no_usable_number_is_refused(name: str, value: Any) -> None:
    """A NaN would compare false with every bound and reach the optimizer."""
    assert refusal(**{name: value}).startswith(name)


@pytest.mark.parametrize(
    ("name", "value"),
    [("learning_rate", 0), ("max_minutes", 0), ("dropout", "some"), ("validation", 1), ("max_bad_images", 1.01)],
)
def test_a_number_on_the_wrong_side_of_its_bound_is_refused(name: str, value: Any) -> None:
    """A bound would include a value that it must exclude: no learning, no time, no training images."""
    assert refusal(**{name: value}).startswith(name)


@pytest.mark.parametrize("value", ["32", "32:", "32:16:8", "0:8", "8:-1", "a:b", (32,), (1, 2, 3), (1.5, 2), (True, 2)])
def test_a_ramp_that_is_not_two_sizes_is_refused(value: Any) -> None:
    """Half of a ramp, or a fraction of an image, would be trained with."""
    assert refusal(batch_schedule=value).startswith("batch_schedule")


@pytest.mark.parametrize("value", ["0s", "0", 0, -1, 0.5, 1.5, "1.5", "1h", "s", "", None, "nan", "inf", "9" * 400])
def test_a_value_that_is_no_checkpoint_interval_is_refused(value: Any) -> None:
    """Half a step would be rounded to zero steps, and the run would never save."""
    assert refusal(checkpoint_every=value).startswith("checkpoint_every")


@pytest.mark.parametrize("value", ["", "0", "-3GB", "3XB", "3 GB of it", 0, -1, True, 1.5])
def test_a_memory_limit_that_is_no_size_is_refused(value: Any) -> None:
    """The run would start with another limit than the user meant."""
    assert refusal(memory_limit=value).startswith("memory_limit")


@pytest.mark.parametrize("given", [{"hidden_units": 64}, {"dropout": 0.0}, {"weights": "my.h5"}], ids=steady)
def test_an_option_without_effect_on_a_model_function_is_refused(given: dict[str, Any]) -> None:
    """An option about the backbone would be ignored without a message."""
    assert "model function" in refusal(model=network, **given)


def test_a_mirror_is_stored_by_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is resumed from another folder would start another mirror there."""
    monkeypatch.chdir(tmp_path)
    assert make_options(mirror_dir="drive/m").mirror_dir == str(tmp_path / "drive" / "m")
    assert make_options().mirror_dir is None
    assert refusal(mirror_dir=7).startswith("mirror_dir 7 cannot be used as a path")


@pytest.mark.parametrize("given", [np.array([0.5, 2.0]), [0.5, 2.0], np.array([])], ids=["array", "list", "empty"])
def test_class_weights_without_classes_are_refused(given: Any) -> None:
    """What scikit-learn's `compute_class_weight` gives would end in an error of NumPy's about truth values."""
    assert refusal(class_weight=given).startswith("class_weight must be a word or weights by class, such as {0: 1.0, ")


@pytest.mark.parametrize("name", ["augment", "feature_cache", "pixel_cache"])
def test_an_array_is_no_word(name: str) -> None:
    """It would end in an error of NumPy's about truth values; False means none."""
    assert refusal(**{name: np.array([1, 2])}).startswith(f"{name} array([1, 2]) is not known")
    assert make_options(**{name: False}) == make_options(**{name: None})


@pytest.mark.parametrize("name", ["loss", "metrics"])
def test_a_function_is_refused_where_keras_is_not_imported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would end in a KeyError: a function that names TensorFlow alone need not have imported Keras."""
    monkeypatch.delitem(sys.modules, "keras", raising=False)

    def own(*_: Any) -> float:
        return 0.0

    assert refusal(**{name: own}).startswith(f"{name}: own cannot be kept with the run: decorate it with @keras.saving")


@pytest.mark.parametrize("name", ["mirror_dir", "validation", "weights", "replay"])
def test_an_empty_path_is_not_the_present_folder(name: str) -> None:
    """A shell's variable that is not set would have the run mirrored into, or validated on, whatever lies there."""
    assert refusal(**{name: ""}) == f"{name} is empty: give a path, or leave it out"


def test_a_weights_file_is_stored_by_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker, which starts in another folder, would not find it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.weights.h5").touch()
    assert make_options(weights="mine.weights.h5").weights == str(tmp_path / "mine.weights.h5")
    (tmp_path / "mine.bin").touch()
    assert refusal(weights="mine.bin").startswith("weights 'mine.bin' is not a file that Keras reads")


def test_a_link_to_weights_keeps_the_suffix_that_keras_needs(tmp_path: Path) -> None:
    """Weights in a download cache, which links to a file named by a hash without a suffix, would be refused."""
    blob, link = tmp_path / "0a1b2c", tmp_path / "vgg.weights.h5"
    blob.touch()
    link.symlink_to(blob)
    assert make_options(weights=link).weights == str(link)


@pytest.mark.parametrize("name", ["weights", "replay"])
@pytest.mark.parametrize(
    "value", ["~nobody-has-this-name/x", "x" * 5000, "a\0b", "\udcff", 3], ids=["home", "long", "nul", "latin", "int"]
)
def test_a_value_that_is_no_path_is_refused_in_one_line(name: str, value: Any) -> None:
    """The operating system's error would be reported as a defect of autofit."""
    assert refusal(**{name: value}).startswith(name)


def test_a_run_without_an_audit_log_cannot_be_replayed(tmp_path: Path) -> None:
    """The training would start and then have no recorded sizes to follow."""
    expected = f"replay '{tmp_path}': there is no audit.jsonl in it; give a run that was made with audit"
    assert refusal(replay=tmp_path) == expected
    (tmp_path / "audit.jsonl").touch()
    assert make_options(replay=tmp_path).replay == str(tmp_path)


@pytest.mark.parametrize("layout", ["nets.py", "nets/__init__.py", "nets/small.py"])
def test_a_model_may_be_in_the_working_folder(layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The console command, whose import path lacks the working folder, would refuse the user's own file."""
    monkeypatch.chdir(tmp_path)
    assert "there is no module 'nets'" in refusal(model="nets:build")
    (tmp_path / layout).parent.mkdir(exist_ok=True)
    (tmp_path / layout).touch()
    assert make_options(model="nets:build").model == "nets:build"


def test_the_check_of_a_model_does_not_import_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent would import the user's TensorFlow, and hold the memory that the worker needs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "exploding.py").write_text("raise SystemExit('imported')", encoding="ascii")
    assert make_options(model="exploding:build").model == "exploding:build"
    assert "exploding" not in sys.modules


def test_a_module_without_a_spec_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's ValueError about a missing spec would be reported as a defect of autofit."""
    without_spec = ModuleType("by_hand")
    without_spec.__spec__ = None
    monkeypatch.setitem(sys.modules, "by_hand", without_spec)
    assert refusal(model="by_hand:build").startswith("model 'by_hand:build'")


def test_a_frozen_random_backbone_is_refused_for_training_but_not_for_a_probe() -> None:
    """A training that learns nothing would start; or a useful probe of such a workload be refused."""
    frozen = make_options(weights="none", trainable="head")
    with pytest.raises(UserError, match="would train on a random backbone and learn nothing"):
        check_for_training(frozen)
    of_own = make_options(model=network), make_options(model=network, trainable="head")
    for fine in (make_options(), make_options(weights="none"), *of_own):
        check_for_training(fine)


def test_fine_tuning_where_all_layers_train_is_refused_with_what_to_do() -> None:
    """The user would be told to give a backbone instead of the network that is to be fine-tuned."""
    with pytest.raises(UserError, match=r"^fine_tune_epochs 2 follow a frozen backbone: leave trainable out$"):
        check_for_training(make_options(model=network, trainable="all", fine_tune_epochs=2))
    with pytest.raises(UserError, match=r"give a backbone with weights, and leave trainable out$"):
        check_for_training(make_options(weights="none", fine_tune_epochs=2))


@pytest.mark.parametrize("given", [{"trainable": "all"}, {"weights": "none"}, {"model": network}], ids=steady)
def test_a_cache_of_features_that_change_is_refused(given: dict[str, Any]) -> None:
    """A user who asks for the cache would train without it and not know; or with the features of the first epoch."""
    with pytest.raises(
        UserError, match=r"^feature_cache 'on' needs a frozen backbone: give trainable 'head', or leave"
    ):
        check_for_training(make_options(feature_cache="on", **given))
    for feature_cache in ("auto", "off"):
        check_for_training(make_options(feature_cache=feature_cache, **given))
    check_for_training(make_options(feature_cache="on"))


@pytest.mark.parametrize(
    ("there", "here", "difference_text"),
    [
        ({}, {}, None),
        ({}, {"time_budget": 60}, "time_budget None there, 60.0 here"),
        ({}, {"audit": True}, "audit False there, True here"),
        ({"batch_schedule": "32:16"}, {"batch_schedule": "16:32"}, "batch_schedule (32, 16) there, (16, 32) here"),
        ({"mirror_dir": "/mnt/a"}, {"mirror_dir": "/mnt/b"}, None),
        ({"cache_by": "stat"}, {"cache_by": "content"}, None),
        ({}, {"feature_cache": "off"}, "feature_cache 'auto' there, 'off' here"),
    ],
    ids=steady,
)
def test_the_difference_of_two_requests_names_the_users_option(
    there: dict[str, Any], here: dict[str, Any], difference_text: str | None
) -> None:
    """The message would name a field that is no option."""
    assert difference(make_options(**there), make_options(**here)) == difference_text


CONDITIONS: dict[str, Any] = {
    "pixel_cache": "off",
    "cache_by": "content",
    "memory_limit": "3GB",
    "checkpoint_every": 7,
    "max_minutes": 5,
    "max_bad_images": 0.5,
    "mirror_dir": "/mnt/b",
    "isolation": "inline",
    "profile": False,
    "devices": "all",
}
"""All options that do not change what is trained, with other values than their defaults."""

LENGTHS: dict[str, Any] = {"epochs": 12, "fine_tune_epochs": 2, "time_budget": 60}


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_what_may_change_in_another_call_is_decided_of_every_option(option: Option) -> None:
    """A run could not be called again with more memory; or a result come back that is not what was asked for."""
    if option.name in CONDITIONS:
        assert option.on_rerun == "any"
        assert difference(make_options(), make_options(**{option.name: CONDITIONS[option.name]})) is None
    else:
        assert option.on_rerun == {"time_budget": "unfinished", "take_over": "any"}.get(
            option.name, "epochs" if option.name in LENGTHS else "same"
        )


@pytest.mark.parametrize("given", [{"batch_size": 128}, {"optimizer": "sgd"}], ids=str)
def test_a_run_with_the_default_rate_of_before_is_finished_by_the_same_call(given: dict[str, Any]) -> None:
    """A killed run would be lost by an upgrade; or a finished one be taken for that of the rate of today."""
    before, now = make_options(**given, learning_rate=0.001), make_options(**given)
    assert difference(before, now, is_finished=False) is None
    assert difference(before, now) == f"learning_rate 0.001 there, {now.learning_rate} here"
    assert difference(before, make_options(**given, learning_rate=0.5), is_finished=False) is not None
    assert difference(now, before, is_finished=False) is not None


def test_a_time_budget_may_change_until_a_run_is_finished() -> None:
    """A stopped run could not be given more time; or the model of a short time be returned for a long one."""
    short, long = make_options(time_budget=60), make_options(time_budget=300)
    assert difference(short, long, is_finished=False) is None
    assert difference(short, long) == "time_budget 60.0 there, 300.0 here"
    assert difference(make_options(), long, is_finished=False) is not None


def test_options_given_on_resume_replace_those_before() -> None:
    """A flag of `autofit resume` would be accepted and ignored, or reset another option."""
    before = make_options(epochs=8, checkpoint_every="30s", max_minutes=3)
    now = changed_options(before, {"checkpoint_every": 5, "memory_limit": "3GB", "max_minutes": None})
    assert now == make_options(epochs=8, checkpoint_every=5, max_minutes=3, memory_limit="3GB")
    with pytest.raises(UserError, match="max_bad_images must be a number from 0 to 1"):
        changed_options(before, {"max_bad_images": 2})


@pytest.mark.parametrize("value", ["0s", 0, -1, "5 minutes", "5d", True, "", "nan"])
def test_a_time_that_cannot_be_read_is_refused_with_examples(value: Any) -> None:
    """A budget would be taken for another, or for none."""
    expected = f"time_budget {value!r} cannot be read: give a time such as 90s, 5m or 1h, or a number of seconds"
    assert refusal(time_budget=value) == expected


def test_the_refusal_of_a_share_names_the_option_and_its_bounds() -> None:
    """The user would not know which bound is meant, or take 10 for ten percent."""
    assert refusal(max_bad_images=10) == "max_bad_images must be a number from 0 to 1, not 10"


def test_a_request_is_the_same_after_saving_and_loading(tmp_path: Path) -> None:
    """A resumed run would have another request than the one that was started."""
    request = make_options(image_size="160x224", batch_schedule="32:16", validation="0.25", memory_limit="3GB", seed=7)
    request.save(tmp_path / "options.json")
    assert Options.load(tmp_path / "options.json") == request
    assert set(json.loads(request.to_json())) == set(DEFAULTS)


def test_every_option_has_a_usable_default() -> None:
    """`autofit.run(photos)` would not be enough."""
    assert {option.name: option.check(option.name, option.default) for option in OPTIONS}.keys() >= {"epochs", "seed"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("bacth_size", "did you mean batch_size?"),
        ("learning_rates", "did you mean learning_rate?"),
        ("callbacks", "give one of backbone, model, weights, "),
        ("qqqq", "give one of backbone, model, weights, "),
    ],
)
def test_an_option_that_does_not_exist_is_refused_with_the_nearest_one(name: str, hint: str) -> None:
    """A misspelled option would have no effect, and the user would believe in it."""
    assert refusal(**{name: 3}).startswith(f"option {name!r} is not known: {hint}")


def test_the_help_says_when_a_rate_is_that_of_the_head() -> None:
    """Who gives a rate and the `auto` of a budget would not expect a head that is trained by epochs."""
    given: dict[str, Any] = {"learning_rate": 0.01, "fine_tune_epochs": "auto"}
    assert needing_epochs(make_options(**given, time_budget="5m")) == ("learning_rate",)
    assert needing_epochs(make_options(**given | {"fine_tune_epochs": 2}, time_budget="5m")) == ()
    assert "(without `fine_tune_epochs`, or with a budget's `auto`)" in BY_NAME["recipe"].details
