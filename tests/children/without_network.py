"""What a user does with autofit that needs no weights of Keras: `without_network.py PHOTOS FOLDER [ask]`."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path

import autofit
from autofit import api

photos, folder = sys.argv[1], Path(sys.argv[2])
if sys.argv[3:] == ["ask"]:
    urllib.request.urlopen("https://example.org")
result = autofit.run(
    photos, model="autofit.demo.network:digit_network", image_size=32, epochs=1, batch_size=32, run_dir=folder / "run"
)
predictions = result.predict(f"{photos}/red/000.png")
result.close()
api.write_report(folder / "run")
autofit.check(photos, find_wrong_labels=False)
print(len(predictions), (folder / "run" / "report.html").stat().st_size)
