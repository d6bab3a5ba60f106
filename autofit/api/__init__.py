"""`run()`, `resume()`, `probe()`, `evaluate()`, `check()` and the like: where all other packages are joined.

The data flows one way: options -> images and machine -> probe -> plan -> supervisor -> workers -> checkpoints -> result
-> report.

    training.py      run: a new training, or the same one going on
    resuming.py      resume: a run from its directory alone
    probes.py        probe and sweep: what fits, without any images
    probe_result.py  what probe and sweep return: their reports, with what there is to look at
    estimating.py    estimate: what fits another machine; estimate_result.py what it returns
    report.py        write_report: the page of a run that has ended
    result.py        Result: a run that has ended, with its history, its model and predictions
    prediction.py    images of any kind predicted, judged, or read as the saved model expects them
    predictions.py   Predictions: probabilities with names; predictions_csv.py a file of them, part by part
    evaluation.py    evaluate: the model of a run that has ended, on images with known classes
    export.py        export: the model of a run in the format of another runtime
    evaluation_result.py  what evaluate returns; export_result.py what export does
    extracting.py    extract: the feature cache filled by any number of processes; extracted.py what it returns
    extracting_by_ray.py  the same by the nodes of a Ray cluster; node_extraction.py the part of a node
    checking.py      check: a data set looked at before a training; label_check.py for wrong labels, cached_copies.py
                     for copies by features that the cache has
    data_report.py   DataReport: what check returns
    display.py       what the methods of a result return to look at: tables, pictures
    result_figures.py  what a result shows of its model: curves, confusion matrix, figures by class
    given_data.py    the data of a call: what is in memory goes to files, and all is found as a training finds it
    backbone_objects.py  a backbone of KerasHub that is given as an object, saved as a preset
    data_call.py     what a call says of its data, as the run keeps it
    directories.py   the run directory, and the names that it cannot have
    existing_run.py  the run that a directory holds already, as a call wants it to go on, and how to resume it
    earlier_runs.py  the run of the same call under `runs`, for a call that names no directory
    changed_photos.py  which photos are new, gone or changed since a run began
    signature.py     recognises runs that this user started, before their code is imported
    new_run.py       a new run: what is shown, its probe, its plan, and `run.json`
    mirroring.py     the mirror's part in a run
    workers.py       what is needed to start a worker: machine, launcher, payload, cache, import paths
    measure.py       runs one probe, with the saved profiles before and after it
    precision.py     which precision `auto` is on this machine
    extractions.py   the measurements of feature extractions in the profiles
    supervision.py   the attempts, and how the run ends
    callbacks.py     callbacks as Keras takes them, and as the run leaves them
    code_identity.py whether the user's own code is what it was; code_description.py describes it,
                     by its values, by code_text.py and by the files of its modules (code_modules.py)
    own_images.py    which images that a model is judged by are the run's own
    own_objects.py   the user's registered objects that a saved model needs
    stage_sizes.py   the sizes of fine-tuning, by a probe of its own
    option_notes.py  what is unexpected about the options of a call and the stages of its run
    budget_notes.py  what a time budget means for a run, in words; device_notes.py what a GPU does
    squeezed.py      who took memory in the middle of a run, and what that leaves
    final_test.py    the finished model on the test images
"""

from __future__ import annotations

from autofit.api.checking import check
from autofit.api.estimating import estimate
from autofit.api.evaluation import evaluate
from autofit.api.export import export
from autofit.api.extracting import extract
from autofit.api.prediction import load_images
from autofit.api.probes import does_not_fit, probe, sweep
from autofit.api.report import write_report
from autofit.api.resuming import resume
from autofit.api.training import run

__all__ = [
    "check",
    "does_not_fit",
    "estimate",
    "evaluate",
    "export",
    "extract",
    "load_images",
    "probe",
    "resume",
    "run",
    "sweep",
    "write_report",
]
