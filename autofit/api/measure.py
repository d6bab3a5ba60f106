"""One probe: it starts from the saved profiles of such a machine, runs the trials, and saves what they measured."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autofit.config.options import Options
from autofit.config.rungs import Rung
from autofit.machine.gpu_others import others_reader
from autofit.machine.hardware import Hardware, device_count
from autofit.machine.host_others import taken_reader
from autofit.probing.climb import Climb
from autofit.probing.hint import ProfileHint
from autofit.probing.ladder import Start, goal_of, limit_in_the_way
from autofit.probing.loop import Prober
from autofit.probing.records import ProbeReport, RungRecord, Workload
from autofit.probing.request import ProbeRequest
from autofit.process.launch import Launcher
from autofit.process.monitor import View
from autofit.profiles.known import known_report, known_rung
from autofit.profiles.match import Limit, find_hint
from autofit.profiles.records import MachineProfile, Origin
from autofit.profiles.store import ProfileStore
from autofit.protocol.job import ModelSource
from autofit.protocol.messages import MemoryBudget
from autofit.protocol.payload import Payload
from autofit.protocol.tf_choices import kernels_asked, xla_asked
from autofit.runs.memory_budget import limited_by, memory_budget
from autofit.runs.model_source import model_source, on_rung, workload, workload_on_rung
from autofit.storage.scratch import scratch_folder

Profiles = Sequence[tuple[MachineProfile, Origin]]
"""Saved profiles, as `ProfileStore.load` returns them."""

BATCH_WANTED = 32
"""The micro-batch that a probe tries to make fit, unless the caller gives one: the batch size of most trainings."""


@dataclass(frozen=True, slots=True)
class Measurer:
    """Measures what one machine can train.

    Attributes:
        machine: as it was detected.
        launcher: starts the workers.
        view: shows the progress.
        store: the saved profiles; None to use none and to save none.
        payload: the model function, if the network is one.
        import_paths: where a worker may look for a user's own module.
    """

    machine: Hardware
    launcher: Launcher
    view: View
    store: ProfileStore | None
    payload: Payload | None = None
    import_paths: Sequence[str] = ()

    def measure(self, options: Options, num_classes: int, max_batch: int, wanted: int = BATCH_WANTED) -> ProbeReport:
        """Probe the requested network, starting from a saved profile if one knows it.

        With `recompute="auto"` further rungs of the ladder are probed if the wanted micro-batch does not fit.

        Args:
            options: the request.
            num_classes: the width of the head's output.
            max_batch: the largest size of interest.
            wanted: the micro-batch size that the training would use if it fits.

        Raises:
            UserError: the model or the memory limit cannot be used.
            TrainingFailedError: a trial failed for a reason that is not memory.
            InterruptedRunError: Ctrl-C.
        """
        memory, measured = memory_budget(options, self.machine, 1), workload(options, num_classes)
        source, profiles = model_source(options, num_classes), self._profiles()

        def probe(rung: Rung, start: Start) -> ProbeReport:
            on_it = workload_on_rung(measured, rung)
            hint = self._hint(profiles, on_it, memory, max_batch)
            return self._probe(options, on_rung(source, rung), on_it, max_batch, start, hint=hint)

        return self._climb(options, measured, profiles, max_batch, min(wanted, max_batch), probe)

    def measure_size(self, options: Options, source: ModelSource, measured: Workload, size: int) -> ProbeReport:
        """Find out whether this size fits, else half of it, and so on; unless a saved profile of this machine knows.

        Further rungs of the ladder are probed only if not even one image fits: otherwise they would gain only speed.

        Args:
            options: the request.
            source: the network.
            measured: the workload by which profiles describe that network.
            size: the largest size of interest.

        Raises:
            AutofitError: as in `measure`.
        """
        memory = memory_budget(options, self.machine, 1)
        limit, profiles = Limit(memory.limit_bytes, memory.is_given), self._profiles()

        def probe(rung: Rung, start: Start) -> ProbeReport:
            on_it, by = workload_on_rung(measured, rung), limited_by(options, self.machine)
            is_usual = self._computes_as_usual(options)
            known = known_report(profiles, self.machine, on_it, limit, size, by) if is_usual else None
            return known or self._probe(options, on_rung(source, rung), on_it, size, start, from_above=True)

        return self._climb(options, measured, profiles, size, 1, probe)

    def _climb(
        self,
        options: Options,
        measured: Workload,
        profiles: Profiles,
        max_batch: int,
        wanted: int,
        probe: Callable[[Rung, Start], ProbeReport],
    ) -> ProbeReport:
        """Probe the rung of the request, and further rungs if too few images fit."""
        memory = memory_budget(options, self.machine, 1)
        limit, is_usual = Limit(memory.limit_bytes, memory.is_given), self._computes_as_usual(options)

        def known(rung: Rung) -> RungRecord | None:
            on_it = workload_on_rung(measured, rung)
            return known_rung(profiles, self.machine, on_it, limit, max_batch) if is_usual else None

        return Climb(
            goal=goal_of(measured, wanted, self.machine.device, may_climb=options.recompute == "auto"),
            known=known,
            probe=probe,
            say=self.view.message,
        ).run()

    def _profiles(self) -> Profiles:
        return self.store.load() if self.store is not None else []

    def _probe(
        self,
        options: Options,
        source: ModelSource,
        measured: Workload,
        max_batch: int,
        start: Start,
        *,
        hint: ProfileHint | None = None,
        from_above: bool = False,
    ) -> ProbeReport:
        """Run the trials, and save what they measured."""
        memory = memory_budget(options, self.machine, 1)
        with scratch_folder("autofit-probe-") as folder:
            request = ProbeRequest(
                source=source,
                workload=measured,
                memory=memory,
                machine=self.machine,
                limited_by=limited_by(options, self.machine),
                max_batch=max_batch,
                folder=folder,
                hint=hint,
                start=start,
                from_above=from_above,
                payload=self.payload,
                import_paths=self.import_paths,
                deterministic=options.deterministic,
                devices=device_count(options.devices, self.machine),
                others_bytes=_others_reader(self.machine),
            )
            report = Prober(request, self.launcher, self.view).run()
        if self._computes_as_usual(options):
            self._save(report, hint, limit_is_given=memory.is_given)
        return report

    def _computes_as_usual(self, options: Options) -> bool:
        """Whether trials have the usual kernels, so that the profile knows their figures and may learn them.

        Deterministic operations, and what the user's variables ask for, take other memory and other time.
        """
        is_other = self.machine.device == "cpu" and kernels_asked(os.environ) == "onednn"
        return not (options.deterministic or is_other or xla_asked(os.environ))

    def _hint(self, profiles: Profiles, measured: Workload, memory: MemoryBudget, max_batch: int) -> ProfileHint | None:
        hint = find_hint(
            profiles,
            self.machine,
            measured,
            memory.limit_bytes,
            limit_is_given=memory.is_given,
            max_batch=max_batch,
        )
        if hint is not None:
            self.view.message(f"starting from {hint.origin}")
        return hint

    def _save(self, report: ProbeReport, hint: ProfileHint | None, *, limit_is_given: bool) -> None:
        """Save the report, unless it only confirms what a profile said, or a limit of the shell was in the way."""
        if limit_in_the_way(report.trials):
            return
        known = hint is not None and report.source == "profile" and report.largest_feasible_batch == hint.expected_batch
        if self.store is not None and not known:
            self.store.save(report, self.machine, time.time(), limit_is_given=limit_is_given)


def _others_reader(machine: Hardware) -> Callable[[], int]:
    """Make a function that tells what other processes hold of the GPU, or have taken of the host's memory from now."""
    if machine.device == "gpu":
        return others_reader(machine.other_gpu_processes)
    return taken_reader(machine.host_available_bytes)
