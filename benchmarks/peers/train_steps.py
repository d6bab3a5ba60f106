"""Does this batch fit? Train some steps and validate one batch with one of the peers, in a fresh process."""

from __future__ import annotations

import importlib
import json

from memory_limit import limit_resident_memory
from workload import Workload, arguments, warm_up

PROGRAMS = {"lightning": "lightning_tuner", "accelerate": "accelerate_finder"}


OUT_OF_MEMORY = ["can't allocate memory", "could not create a primitive", "could not execute a primitive"]
"""What PyTorch's allocator says, and what oneDNN below it says when it cannot allocate."""


def is_out_of_memory(error: BaseException) -> bool:
    """PyTorch raises a RuntimeError that says so, Python a MemoryError."""
    return isinstance(error, MemoryError) or any(said in str(error) for said in OUT_OF_MEMORY)


def main() -> None:
    """Print whether it fits. An error that is not memory ends the program as it is."""
    parser = arguments(__doc__)
    parser.add_argument("--framework", choices=PROGRAMS, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    options = parser.parse_args()
    program = importlib.import_module(PROGRAMS[options.framework])
    workload = Workload.of(options)
    warm_up(workload)
    limit_resident_memory(options.limit_bytes)
    try:
        program.train(options.batch, workload, options.steps)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        print(json.dumps({"fits": False, "error": str(error)}))
    else:
        print(json.dumps({"fits": True}))


if __name__ == "__main__":
    main()
