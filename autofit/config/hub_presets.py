"""Backbones of KerasHub, named `hub:PRESET`: a preset's name, its address, or a folder that holds one.

KerasHub is imported in the worker only. This module uses only what can be known without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autofit.config.validators import is_installed
from autofit.errors import UserError
from autofit.storage.json_bounds import parsed
from autofit.storage.safe_files import read_bounded
from autofit.storage.user_path import user_path

PREFIX = "hub:"
PRESET_WEIGHTS = "preset"
"""The word for a preset's own weights, in place of `imagenet`: the data that it was trained on is not known."""

DEFAULT_SIZE_PIXELS = 224
MOST_CONFIG_BYTES = 2**20
SIZES = (("image_converter.json", "image_size"), ("preprocessor.json", "image_size"), ("config.json", "image_shape"))
"""Where a preset says the size of its images: of those that are converted, or of those that its network takes."""

_BY_PATH = ("/", "./", "../", "~")


def is_preset(name: str | None) -> bool:
    """Whether a backbone's name is that of a preset of KerasHub."""
    return name is not None and name.lower().startswith(PREFIX)


def preset_name(name: str) -> str:
    """Check and complete `hub:PRESET`; a folder becomes an absolute path.

    Raises:
        UserError: KerasHub is not installed, or there is no such folder.
    """
    preset = name[len(PREFIX) :].strip()
    if not preset:
        raise UserError(f"backbone {name!r} names no preset: give one, such as hub:resnet_50_imagenet, or its folder")
    if not is_installed("keras_hub"):
        raise UserError(f"backbone {name!r} needs KerasHub: pip install 'autofit-keras[hub]'")
    folder = user_path(preset)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"backbone {name!r}: the folder holds no config.json, which a preset has; give another")
        return f"{PREFIX}{folder.absolute()}"
    if preset.startswith(_BY_PATH):
        raise UserError(f"backbone {name!r}: there is no such folder; give the folder of a preset, or a preset's name")
    return PREFIX + preset


def preset_of(name: str) -> str:
    """The preset of a checked name, as KerasHub takes it."""
    return name[len(PREFIX) :]


def default_size_pixels(name: str) -> int:
    """The height and width of a preset's images: as the configuration in its folder says, else 224."""
    sizes = (_size(_content(Path(preset_of(name)) / file), key) for file, key in SIZES)
    return next((size for size in sizes if size), DEFAULT_SIZE_PIXELS)


def _content(path: Path) -> Any:
    try:
        data = read_bounded(path, MOST_CONFIG_BYTES, follow_links=True)  # the hub's cache has links
        return parsed(data, path.name)
    except (OSError, ValueError):
        return None


def _size(content: Any, key: str) -> int | None:
    """The larger side of the first size that a configuration has under a key, at whatever depth it stands."""
    if not isinstance(content, dict):
        return None
    size = content.get(key)
    sides = [side for side in size[:2] if isinstance(side, int) and side > 0] if isinstance(size, list) else []
    if sides:
        return max(sides)
    return next((found for value in content.values() if (found := _size(value, key))), None)
