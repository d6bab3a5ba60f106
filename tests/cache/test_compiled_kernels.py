"""Where CUDA keeps the kernels that it compiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from autofit.cache.compiled_kernels import LIMIT_BYTES, KernelCache, kernel_cache, settings


def test_they_are_in_autofits_cache_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    """A container would compile for minutes in each start, or a folder that was chosen would be passed over."""
    assert settings({}, tmp_path) == {"CUDA_CACHE_PATH": str(tmp_path / "cuda"), "CUDA_CACHE_MAXSIZE": str(LIMIT_BYTES)}
    given = {"CUDA_CACHE_PATH": "/mine", "CUDA_CACHE_MAXSIZE": "1000", "HOME": "/root"}
    assert settings(given, tmp_path) == {"CUDA_CACHE_PATH": "/mine", "CUDA_CACHE_MAXSIZE": "1000"}


def test_the_size_counts_what_is_there(tmp_path: Path) -> None:
    """The doctor would say that nothing is kept, or follow a link out of the folder."""
    assert kernel_cache({}, tmp_path) == KernelCache(str(tmp_path / "cuda"), 0, LIMIT_BYTES)
    inside = tmp_path / "cuda" / "a" / "b"
    inside.mkdir(parents=True)
    (inside / "kernel").write_bytes(bytes(700))
    (tmp_path / "cuda" / "index").write_bytes(bytes(30))
    (tmp_path / "large").write_bytes(bytes(5000))
    (inside / "link").symlink_to(tmp_path / "large")
    assert kernel_cache({"CUDA_CACHE_MAXSIZE": "much"}, tmp_path) == KernelCache(str(tmp_path / "cuda"), 730, None)


@pytest.mark.parametrize(("value", "is_off"), [("1", True), ("0", False), ("", False)])
def test_it_may_be_off(tmp_path: Path, value: str, *, is_off: bool) -> None:
    """The first start alone would be said to compile where every one does."""
    assert (kernel_cache({"CUDA_CACHE_DISABLE": value}, tmp_path) is None) is is_off
