"""The table of backbones, also compared with Keras itself, and the spec of a model."""

import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from autofit.config.backbones import BACKBONES, ModelSpec, find
from autofit.errors import UserError


def test_the_table_needs_no_heavy_import() -> None:
    """`autofit --help` and a typo in a name would wait seconds for TensorFlow."""
    code = "import sys, autofit.config.backbones; print({'keras', 'tensorflow', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("given", "expected"), [("MobileNetV2", "MobileNetV2"), ("resnet50", "ResNet50"), ("NASNETLARGE", "NASNetLarge")]
)
def test_find_accepts_any_case(given: str, expected: str) -> None:
    """A name in another case would be refused, or kept as typed and fail in Keras later."""
    assert find(given).name == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("ResNet5O", "ResNet50"),
        ("efficientnet-b0", "EfficientNetB0"),
        ("mobilenet_v2", "MobileNetV2"),
        ("vgg", "VGG16"),
    ],
)
def test_find_names_the_nearest(given: str, expected: str) -> None:
    """A user with a typing mistake would not learn the name of the backbone."""
    with pytest.raises(UserError, match=expected) as caught:
        find(given)

    assert repr(given) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_find_lists_all_if_no_name_is_near() -> None:
    """A user who guesses a name would not learn which backbones exist."""
    with pytest.raises(UserError, match=r"choose one of ConvNeXtTiny.*Xception"):
        find("zzzz")


@pytest.mark.parametrize(
    ("name", "size", "fits"),
    [
        ("MobileNetV2", (32, 500), True),
        ("MobileNetV2", (31, 500), False),
        ("Xception", (71, 71), True),
        ("Xception", (71, 70), False),
        ("InceptionV3", (75, 75), True),
        ("InceptionResNetV2", (74, 75), False),
    ],
)
def test_image_sizes_are_bounded_as_in_keras(name: str, size: tuple[int, int], *, fits: bool) -> None:
    """Images that are too small would be refused only in the worker, after everything was started."""
    if fits:
        find(name).check_image_size(size)
    else:
        with pytest.raises(UserError, match=f"{size[0]}x{size[1]} is too small for {name}"):
            find(name).check_image_size(size)


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("MobileNet", (160, 160), "mobilenet_1_0_160_tf_no_top.h5"),
        ("MobileNet", (96, 96), "mobilenet_1_0_224_tf_no_top.h5"),
        ("MobileNetV2", (96, 96), "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_96_no_top.h5"),
        ("MobileNetV2", (160, 192), "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"),
        ("ResNet101V2", (64, 64), "resnet101v2_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        ("NASNetMobile", (331, 331), "nasnet_mobile_no_top.h5"),
    ],
)
def test_the_weights_file_is_the_one_that_keras_loads(name: str, size: tuple[int, int], expected: str) -> None:
    """A user without a network would be told to copy a file that Keras then does not look for."""
    assert find(name).weights_file_for(size) == expected


@pytest.mark.parametrize(
    "wrong", [{"dropout": 1.0}, {"dropout": -0.1}, {"hidden_units": -1}, {"image_size": (0, 32)}, {"seed": 2**32}]
)
def test_a_spec_refuses_values_that_no_model_can_have(wrong: dict[str, object]) -> None:
    """A nonsense value would reach Keras and fail there, with a message about something else."""
    right = {"backbone": "VGG16", "weights": "none", "image_size": (32, 32), "trainable": "head"}
    ModelSpec.model_validate(right)

    with pytest.raises(ValidationError):
        ModelSpec.model_validate(right | wrong)


@pytest.mark.slow
def test_the_table_has_the_networks_of_keras() -> None:
    """A network of `keras.applications` would be missing, or the table would offer one that Keras no longer has."""
    from keras import applications

    assert set(BACKBONES) == {name for name in dir(applications) if name[0].isupper()}


@pytest.mark.slow
def test_default_sizes_and_preprocessing_are_those_of_keras() -> None:
    """Images would reach a backbone at a size or in a range that its weights were not trained on."""
    from keras import applications

    samples = {"caffe": [-103.939, -116.779, -123.68], "tf": [-1.0, -1.0, -1.0], "none": [0.0, 0.0, 0.0]}
    samples["torch"] = [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]
    for backbone in BACKBONES.values():
        module = sys.modules[getattr(applications, backbone.name).__module__]
        black = module.preprocess_input(np.zeros((1, 1, 1, 3), "float32"))
        np.testing.assert_allclose(black[0, 0, 0], samples[backbone.preprocessing], rtol=1e-5, err_msg=backbone.name)
