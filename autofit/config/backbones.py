"""A table of the backbones, so that a model can be checked before anything heavy is imported.

The table holds every classification network of `keras.applications` in Keras 3.13 to 3.15;
`tests/config/test_backbones.py` compares it with Keras itself. It must never import keras: options are checked with it
in the parent process, and an error must come at once.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, PositiveInt

from autofit.config.hub_presets import default_size_pixels, is_preset
from autofit.config.precisions import Precision
from autofit.errors import UserError
from autofit.storage.records import Record

DEFAULT_BACKBONE = "MobileNetV2"

Preprocessing = Literal["caffe", "tf", "torch", "none"]
"""How a backbone's input is made from RGB images of 0 to 255, in the words of
`keras.applications.imagenet_utils.preprocess_input`: "caffe" is BGR less the ImageNet mean, "tf" is [-1, 1], "torch" is
the ImageNet mean and deviation, "none" leaves it to the network itself."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network of `keras.applications`, used without its top.

    No backbone fixes its input size: without the top, Keras accepts any height and width from `min_size` on, also with
    ImageNet weights (and also for NASNet, whose documentation says otherwise).

    Attributes:
        name: as in `keras.applications`.
        default_size: height and width in pixels that its ImageNet weights were trained on.
        preprocessing: how its input is made from raw images.
        weights_file: name of the ImageNet file in Keras's cache; `{size}` stands for one of `weights_sizes`.
        min_size: the smallest height and width in pixels that Keras accepts (`obtain_input_shape`).
        weights_sizes: square sizes with ImageNet weights of their own; empty if one file serves every size.
    """

    name: str
    default_size: int
    preprocessing: Preprocessing
    weights_file: str
    min_size: int = 32
    weights_sizes: tuple[int, ...] = ()

    def weights_file_for(self, image_size: tuple[int, int]) -> str:
        """The name of the ImageNet file that Keras loads for images of `(height, width)`."""
        height, width = image_size
        own = height == width and height in self.weights_sizes
        return self.weights_file.format(size=height if own else 224)

    def check_image_size(self, image_size: tuple[int, int]) -> None:
        """Raise UserError if `(height, width)` is too small for this backbone."""
        if min(image_size) < self.min_size:
            height, width = image_size
            raise UserError(
                f"image size {height}x{width} is too small for {self.name}: "
                f"choose at least {self.min_size}x{self.min_size}, or another backbone"
            )


class ModelSpec(Record):
    """The description that a model is built from; the same spec gives the same initial weights.

    Attributes:
        backbone: a name in `BACKBONES`, or `hub:` and a preset of KerasHub; None if a model function builds the model.
        weights: "imagenet", "preset" (those of a preset), "none", or the absolute path of a file with weights of the
            backbone without its top.
        image_size: (height, width) in pixels.
        trainable: "head" freezes the whole backbone; "all" trains it, and its BatchNormalization only without weights.
        hidden_units: width of a hidden layer in the head; 0 for none.
        dropout: share of the head's inputs to drop in training.
        seed: for the initial weights.
        cut: the place in the network above which everything trains while the rest is frozen, whatever `trainable` says:
            "auto", "input", a share of the layers with kernels, or the name of a layer. None for no cut.
        segments: the number of segments whose activations are recomputed in the backward pass; 0 keeps all activations.
        precision: of the layers; in mixed precision they compute in 16 bits, and variables and output stay float32.
        head_from_zeros: whether the last layer of the head begins with zeros instead of random weights.
    """

    backbone: str | None
    weights: str
    image_size: tuple[PositiveInt, PositiveInt]
    trainable: Literal["head", "all"]
    hidden_units: Annotated[int, Field(ge=0)] = 0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    cut: str | None = None
    segments: Annotated[int, Field(ge=0)] = 0
    precision: Precision = "float32"
    head_from_zeros: bool = False

    @property
    def about(self) -> dict[str, str]:
        """A description of cached features for people: the backbone, the size of its images, and its weights."""
        about = {
            "backbone": self.backbone or "",
            "image_size": "x".join(map(str, self.image_size)),
            "weights": self.weights if self.weights in {"imagenet", "preset", "none"} else Path(self.weights).name,
        }
        about |= {} if self.cut is None else {"cut": self.cut}
        return about if self.precision == "float32" else {**about, "precision": self.precision}


def find(name: str) -> Backbone:
    """Find a backbone by its name, in upper or lower case. For a preset of KerasHub only the default size is known.

    Raises:
        UserError: there is no such backbone; the message names the nearest.
    """
    if is_preset(name):
        return Backbone(name, default_size_pixels(name), "none", "", min_size=1)
    canonical = _CANONICAL.get(name.lower())
    if canonical is None:
        raise UserError(f"backbone {name!r} is not in keras.applications: {_nearest(name)}")
    return BACKBONES[canonical]


def _nearest(name: str) -> str:
    """A hint that names the backbones most similar to an unknown name, or all of them."""
    # Letters and digits only, so that "efficientnet-b0" and "mobilenet_v2" are close to the names that they mean.
    plain = "".join(filter(str.isalnum, name.lower()))
    near = [_CANONICAL[match] for match in difflib.get_close_matches(plain, _CANONICAL, n=3)]
    return f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(BACKBONES)}"


def _classic(name: str, size: int, preprocessing: Preprocessing, stem: str = "", min_size: int = 32) -> Backbone:
    """A backbone whose weights file has a name from the conversion of Theano's kernels."""
    file = f"{stem or name.lower()}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    return Backbone(name, size, preprocessing, file, min_size)


def _mobilenet_v3(variant: str) -> Backbone:
    file = f"weights_mobilenet_v3_{variant.lower()}_224_1.0_float_no_top_v2.h5"
    return Backbone(f"MobileNetV3{variant}", 224, "none", file)


# `default_size` in keras/src/applications/efficientnet.py and efficientnet_v2.py.
_EFFICIENTNET: Final = {"B0": 224, "B1": 240, "B2": 260, "B3": 300, "B4": 380, "B5": 456, "B6": 528, "B7": 600}
_EFFICIENTNET_V2: Final = {"B0": 224, "B1": 240, "B2": 260, "B3": 300, "S": 384, "M": 480, "L": 480}

_MOBILENET_SIZES: Final = (128, 160, 192, 224)

_TABLE: Final = (
    *(
        Backbone(f"ConvNeXt{v}", 224, "none", f"convnext_{v.lower()}_notop.h5")
        for v in ("Tiny", "Small", "Base", "Large", "XLarge")
    ),
    *(_classic(f"DenseNet{depth}", 224, "torch") for depth in (121, 169, 201)),
    *(Backbone(f"EfficientNet{v}", n, "none", f"efficientnet{v.lower()}_notop.h5") for v, n in _EFFICIENTNET.items()),
    *(
        Backbone(f"EfficientNetV2{v}", size, "none", f"efficientnetv2-{v.lower()}_notop.h5")
        for v, size in _EFFICIENTNET_V2.items()
    ),
    _classic("InceptionResNetV2", 299, "tf", "inception_resnet_v2", 75),
    _classic("InceptionV3", 299, "tf", "inception_v3", 75),
    Backbone("MobileNet", 224, "tf", "mobilenet_1_0_{size}_tf_no_top.h5", weights_sizes=_MOBILENET_SIZES),
    Backbone(
        "MobileNetV2",
        224,
        "tf",
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_{size}_no_top.h5",
        weights_sizes=(96, *_MOBILENET_SIZES),
    ),
    _mobilenet_v3("Large"),
    _mobilenet_v3("Small"),
    Backbone("NASNetLarge", 331, "tf", "nasnet_large_no_top.h5"),
    Backbone("NASNetMobile", 224, "tf", "nasnet_mobile_no_top.h5"),
    *(_classic(f"ResNet{depth}", 224, "caffe") for depth in (50, 101, 152)),
    *(_classic(f"ResNet{depth}V2", 224, "tf") for depth in (50, 101, 152)),
    _classic("VGG16", 224, "caffe"),
    _classic("VGG19", 224, "caffe"),
    _classic("Xception", 299, "tf", min_size=71),
)

BACKBONES: Final[dict[str, Backbone]] = {backbone.name: backbone for backbone in _TABLE}
_CANONICAL: Final = {name.lower(): name for name in BACKBONES}
