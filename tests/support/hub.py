"""Backbones of KerasHub for tests, with random weights."""

from __future__ import annotations

from typing import Any


def small_residual_network(keras_hub: Any) -> Any:
    """A small residual network, functional and of any image size."""
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
    )
