"""A user's model function, imported by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from autofit.errors import UserError
from autofit.worker.model.given_model import imported_function

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def build(:", "its module cannot be imported (SyntaxError: invalid syntax (MODULE.py, line 1))"),
        ("1 / 0", "its module cannot be imported (ZeroDivisionError: division by zero)"),
        ("import sys\nsys.exit(3)", "its module cannot be imported (SystemExit: 3)"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("def other(): ...", "module 'MODULE' has no attribute 'build'"),
    ],
    ids=["syntax", "error", "exit", "import", "no function"],
)
def test_a_module_that_cannot_be_imported_is_named(
    code: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """An error without its module would be shown as a failure of the training; an exit would be tried three times."""
    monkeypatch.setattr("sys.path", ["/nowhere"])
    module = f"nets_{request.node.callspec.id.replace(' ', '_')}"
    (tmp_path / f"{module}.py").write_text(code)
    with pytest.raises(UserError) as refused:
        imported_function(f"{module}:build", [str(tmp_path)])
    assert str(refused.value) == f"model {module}:build: {message.replace('MODULE', module)}"
