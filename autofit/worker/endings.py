"""The ways in which an attempt ends on purpose or by running out, as exceptions; importable before TensorFlow."""

from __future__ import annotations

from typing import Literal

from autofit.errors import UserError


class LeaveError(Exception):
    """The attempt ends here on purpose: everything applied is committed."""

    def __init__(self, reason: Literal["interrupted", "yielded"], cause: str) -> None:
        super().__init__(cause)
        self.reason = reason


class OutOfDeviceMemoryError(Exception):
    """The device's memory ran out and there is nothing left to make smaller; the weights are whole."""


class TornUpdateError(Exception):
    """Memory ran out inside the update itself: the weights in this process can no longer be trusted."""


class ShortOfMemoryError(UserError):
    """The host has too little left for a worker to begin. `cause` says so without what to do."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"{cause}: free memory")
        self.cause = cause
