"""`stub_parent.py` with `leaking_worker.py` for its worker: leaking_parent.py RUN_DIR ENDS [BYTES].

It holds so many bytes itself, as a notebook does.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import stub_parent  # type: ignore[import-not-found]  # lies beside this script

stub_parent.STUB_WORKER = Path(__file__).with_name("leaking_worker.py")

if __name__ == "__main__":
    held = b"x" * int(sys.argv[3]) if sys.argv[3:] else b""
    stub_parent.main(*sys.argv[1:3])
