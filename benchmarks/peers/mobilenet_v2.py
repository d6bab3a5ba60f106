"""MobileNetV2 in PyTorch, the same network as `keras.applications.MobileNetV2(include_top=False, pooling="avg")`.

Sandler et al. 2018, table 2 (https://arxiv.org/abs/1801.04381), width 1.0. Random weights.
"""

from __future__ import annotations

from torch import Tensor, nn

FEATURES = 1280
TRAINABLE_PARAMETERS = 2_223_872
PARAMETERS_WITH_MOVING_STATISTICS = 2_257_984
"""Both as Keras counts them (`count_params`); PyTorch's batch counters are no parameters of the network."""

BLOCKS = [
    # expansion, channels, repeats, stride of the first
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
]


def convolution(inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution and batch normalisation, with the figures that Keras uses."""
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=1e-3),
    ]


class InvertedResidual(nn.Module):
    """Expand, filter each channel by itself, project; added to the input where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        expand = [*convolution(inputs, wide), nn.ReLU6(inplace=True)] if expansion > 1 else []
        self.layers = nn.Sequential(
            *expand,
            *convolution(wide, wide, kernel=3, stride=stride, groups=wide),
            nn.ReLU6(inplace=True),
            *convolution(wide, outputs),
        )
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, images: Tensor) -> Tensor:
        """From `(batch, inputs, height, width)` to `(batch, outputs, height / stride, width / stride)`."""
        return images + self.layers(images) if self.is_residual else self.layers(images)


def mobilenet_v2() -> nn.Sequential:
    """From images `(batch, 3, height, width)` in [-1, 1] to features `(batch, 1280)`."""
    layers = [*convolution(3, 32, kernel=3, stride=2), nn.ReLU6(inplace=True)]
    channels = 32
    for expansion, outputs, repeats, first_stride in BLOCKS:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            layers.append(InvertedResidual(channels, outputs, expansion=expansion, stride=stride))
            channels = outputs
    layers += [*convolution(channels, FEATURES), nn.ReLU6(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers)
