"""`autofit demo`: training that runs out of memory on purpose, on 1,797 real handwritten digits (see CREDIT.md).

- `demo_run`: chooses a memory limit that is too small, and starts the run.
- `data`: unpacks the digits, which ship with the package.
- `sample`: the same digits for a user's first try, `autofit.sample()`.
- `network`: the model function, written as a user would write it.
"""
