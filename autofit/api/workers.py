"""What is needed to start a worker: the machine, a launcher, the payload, the cache, and the import paths."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autofit.api.callbacks import listed_callbacks
from autofit.api.code_identity import code_of, code_of_model, hashes_of, imports_of, user_code
from autofit.api.extractions import known_extraction
from autofit.api.measure import Measurer
from autofit.api.own_objects import objects_in, objects_of, objects_to_send
from autofit.cache.folder import default_folder as cache_folder
from autofit.cache.store import CacheStore, default_limit_bytes
from autofit.config.keras_objects import application_name, is_keras_model
from autofit.config.options import Options
from autofit.machine import hardware
from autofit.machine.hardware import Hardware
from autofit.process.launch import Launcher, ProcessLauncher, import_paths_for
from autofit.process.monitor import View
from autofit.profiles.store import NoProfiles, ProfileStore, default_folder, shipped_folder
from autofit.protocol.cache_job import CacheJob
from autofit.protocol.payload import Payload
from autofit.runs import plan
from autofit.runs.model_source import model_source
from autofit.runs.run_record import WEIGHTS_FILE, RunRecord
from autofit.runs.warm_model import WARM
from autofit.storage.safe_files import sha256_of_file
from autofit.worker.inline_launcher import InlineLauncher, refuse_memory_limit
from autofit.worker.model.sent_model import SentModel

ModelFunction = Callable[[tuple[int, int, int], int], Any]


def machine_for(options: Options) -> Hardware:
    """This machine, as a worker will see it; a worker that is kept for predictions is ended first."""
    WARM.close()
    return hardware.detect(inline=options.isolation == "inline")


def launcher_for(options: Options, machine: Hardware) -> Launcher:
    """The launcher that starts the workers.

    Raises:
        UserError: a memory limit was given that cannot be enforced in this process.
    """
    if options.isolation == "process":
        return ProcessLauncher()
    refuse_memory_limit(device=machine.device, limit_is_given=options.memory_limit_bytes is not None)
    return InlineLauncher()


def payload_of(model: Any, callbacks: Any, options: Options | None = None) -> Payload | None:
    """The objects that are sent to a worker; None if there are none. A model given by name is part of the request.

    Raises:
        UserError: a callback cannot be used, or a model cannot be sent.
    """
    callbacks = listed_callbacks(callbacks)
    function = model if callable(model) and not application_name(model) else None
    if is_keras_model(model):
        from autofit.worker.model.sent_model import sent  # noqa: PLC0415 - imports Keras, which is loaded by now

        function = sent(model)
    registered = objects_to_send(options)
    if not (function or callbacks or registered):
        return None
    return Payload(function, callbacks, registered=registered, folder=str(Path.cwd()))


def import_paths(options: Options, payload: Payload | None) -> list[str]:
    """The folders in which a worker may look for the user's own modules; empty if it runs no code of the user's."""
    return import_paths_for(function_given=options.model is not None or payload is not None, working_folder=Path.cwd())


def code_of_run(options: Options, payload: Payload | None) -> dict[str, str]:
    """The hashes of the user's own code in a run, as a worker will find it: function, callbacks, loss and the like.

    Of a model that was given, its own layers and the like are code too; runs of earlier versions have no hash of them.

    The content of a weights file counts as code: a file that was replaced would give another model.
    """
    code = user_code(options.model, payload, import_paths(options, payload))
    known = payload.registered.by_name if payload and payload.registered else {}
    named = [known[name] for name in sorted(objects_of(options)) if name in known]
    objects = hashes_of("loss, metrics or optimizer", named) if named else {}
    if payload and isinstance(payload.model, SentModel) and (own := objects_in(payload.model)):
        what = "model's own layers or loss"
        objects |= {what: code_of(own), **imports_of(what, own)}
    return code | objects | _weights_file(options)


def _weights_file(options: Options) -> dict[str, str]:
    """The hash of the weights file; empty if none is given or it cannot be read, about which a worker says more."""
    if not Path(options.weights).is_absolute():
        return {}
    try:
        return {WEIGHTS_FILE: sha256_of_file(Path(options.weights))}
    except OSError:
        return {}


def cache_for(record: RunRecord, machine: Hardware, store: ProfileStore) -> CacheJob | None:
    """The cache for the features or the decoded images of a run; None if it uses none.

    Args:
        record: the run.
        machine: where it runs.
        store: may hold the micro-batch size with which an extraction is the fastest on this machine.

    Raises:
        UserError: AUTOFIT_CACHE_LIMIT is not a size.
    """
    tuned = record.plan.fine_tune
    if not (record.plan.feature_cache or record.plan.pixel_cache or (tuned and tuned.needs_cache)):
        return None
    known = known_extraction(record, machine, store)
    cache = CacheStore(cache_folder(), default_limit_bytes())
    return CacheJob(
        folder=str(cache.folder),
        limit_bytes=cache.limit_bytes,
        by=record.options.cache_by,
        fixed_size=plan.extraction_size(record.options, record.plan, machine.device),
        first_size=known.micro_batch_size if known else None,
        first_peak_bytes=known.peak_bytes if known else 0,
        early_images=_predecoded_images(cache, record, machine),
        code=code_of_model(record.code) if record.options.model is not None else "",
    )


def _predecoded_images(cache: CacheStore, record: RunRecord, machine: Hardware) -> int:
    """How many images to decode while TensorFlow is imported: none if the cache holds features of this network already.

    In that case the images may not be needed at all.
    """
    wanted = plan.predecoded_images(record.plan, record.options, machine)
    if not wanted:
        return 0
    if record.options.model is not None:  # which the cache knows by its weights alone
        return wanted
    network = model_source(record.settled_options, len(record.data.class_names)).spec.about.items()
    known = [entry.about for entry in cache.listing().entries if entry.kind == "features"]
    return 0 if any(network <= about.items() for about in known) else wanted


def profile_store(options: Options, view: View) -> ProfileStore:
    """The store of this user's profiles and of those that come with autofit; an empty store with `profile=False`."""
    return NoProfiles() if not options.profile else ProfileStore(default_folder(), shipped_folder(), view.message)


def measurer_for(options: Options, machine: Hardware, payload: Payload | None, view: View) -> Measurer:
    """The measurer that probes this machine. Trials run without callbacks."""
    return Measurer(
        machine=machine,
        launcher=launcher_for(options, machine),
        view=view,
        store=profile_store(options, view),
        payload=dataclasses.replace(payload, callbacks=()) if payload else None,
        import_paths=import_paths(options, payload),
    )
