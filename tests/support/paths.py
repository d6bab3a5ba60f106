"""Where the tests find the programs that they start."""

from __future__ import annotations

from pathlib import Path

CHILDREN = Path(__file__).parents[1] / "children"
"""Small programs that tests run in processes of their own."""
