"""What every peer trains: a linear head on a frozen MobileNetV2, and the images it is shown."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import torch
from mobilenet_v2 import FEATURES, PARAMETERS_WITH_MOVING_STATISTICS, TRAINABLE_PARAMETERS, mobilenet_v2
from torch import Tensor, nn

CLASSES = 10
DROPOUT = 0.2
LEARNING_RATE = 1e-3


@dataclass(frozen=True, slots=True)
class Workload:
    """What differs between runs: the width and height of the images, and how they lie in memory."""

    image_size: int
    layout: torch.memory_format

    @classmethod
    def of(cls, options: argparse.Namespace) -> Workload:
        """As the command line says."""
        return cls(options.image_size, torch.contiguous_format if options.channels_first else torch.channels_last)


class Images(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Random images `(3, size, size)` of uint8, each made when it is asked for: no search runs out of images."""

    def __init__(self, image_size: int, count: int = 65_536) -> None:
        self.image_size = image_size
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        shape = (3, self.image_size, self.image_size)
        return torch.randint(0, 256, shape, dtype=torch.uint8), index % CLASSES


class Classifier(nn.Module):
    """Raw images to logits `(batch, 10)`. Channels last in memory is faster and smaller on a CPU."""

    def __init__(self, layout: torch.memory_format) -> None:
        super().__init__()
        self.layout = layout
        self.backbone = mobilenet_v2().requires_grad_(requires_grad=False).to(memory_format=layout)
        self.head = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(FEATURES, CLASSES))

    def train(self, mode: bool = True) -> Classifier:  # noqa: FBT001, FBT002  # as nn.Module has it
        """The backbone stays in inference mode."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """From uint8 `(batch, 3, height, width)`; nothing of the backbone is kept for a gradient."""
        with torch.no_grad():
            scaled = images.contiguous(memory_format=self.layout).float().div_(127.5).sub_(1.0)
            features = self.backbone(scaled)
        return self.head(features)


def check_size(network: Classifier) -> None:
    """The backbone has as many parameters as the one in Keras.

    Raises:
        AssertionError: it has not, and the comparison would not be one.
    """
    trained = sum(weights.numel() for weights in network.backbone.parameters())
    moving = sum(values.numel() for values in network.backbone.buffers() if values.is_floating_point())
    if (trained, trained + moving) != (TRAINABLE_PARAMETERS, PARAMETERS_WITH_MOVING_STATISTICS):
        raise AssertionError(f"another MobileNetV2: {trained} parameters and {moving} moving statistics")


def warm_up(workload: Workload) -> None:
    """One step of one image, so that every library is loaded before the limit is set."""
    network = Classifier(workload.layout)
    check_size(network)
    optimizer = torch.optim.Adam(network.head.parameters(), lr=LEARNING_RATE)
    image, label = Images(workload.image_size)[0]
    nn.functional.cross_entropy(network(image[None]), torch.tensor([label])).backward()
    optimizer.step()


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that all peers share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--limit-bytes", type=int, required=True, help="limit on resident memory")
    parser.add_argument("--channels-first", action="store_true", help="PyTorch's default layout in memory")
    return parser
