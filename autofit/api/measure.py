"""One probe with the saved profiles: what they know of such a machine, the trials, and what is saved of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from autofit.config.options import Options
from autofit.machine.gpu_others import others_reader
from autofit.machine.hardware import Hardware
from autofit.probing.hint import ProfileHint
from autofit.probing.loop import Prober, ProbeRequest
from autofit.probing.records import ProbeReport, Workload
from autofit.process.launch import Launcher
from autofit.process.monitor import View
from autofit.profiles.known import known_report
from autofit.profiles.match import Limit, find_hint
from autofit.profiles.store import ProfileStore
from autofit.protocol.job import ModelSource
from autofit.protocol.messages import MemoryBudget
from autofit.protocol.payload import Payload
from autofit.runs.memory_budget import limited_by, memory_budget
from autofit.runs.model_source import model_source, workload
from autofit.storage.scratch import scratch_folder


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

    def measure(self, options: Options, num_classes: int, max_batch: int) -> ProbeReport:
        """Probe the requested network, starting from a saved profile if one knows it.

        Raises:
            UserError: the model or the memory limit cannot be used.
            TrainingFailedError: a trial failed for a reason that is not memory.
            InterruptedRunError: Ctrl-C.
        """
        memory, measured = memory_budget(options, self.machine, 1), workload(options, num_classes)
        hint = self._hint(measured, memory, max_batch)
        return self._probe(options, model_source(options, num_classes), measured, max_batch, hint=hint)

    def measure_size(self, options: Options, source: ModelSource, measured: Workload, size: int) -> ProbeReport:
        """Find out if this size fits, else a half of it, and so on; unless a saved profile of this machine knows it.

        Args:
            options: the request.
            source: the network.
            measured: the same in words.
            size: the largest of interest.

        Raises:
            AutofitError: as in `measure`.
        """
        memory = memory_budget(options, self.machine, 1)
        limit = Limit(memory.limit_bytes, memory.is_given)
        profiles = self.store.load() if self.store is not None else []
        known = known_report(profiles, self.machine, measured, limit, size, limited_by(options, self.machine))
        return known or self._probe(options, source, measured, size, from_above=True)

    def _probe(
        self,
        options: Options,
        source: ModelSource,
        measured: Workload,
        max_batch: int,
        *,
        hint: ProfileHint | None = None,
        from_above: bool = False,
    ) -> ProbeReport:
        """Run the trials, and save what they have measured."""
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
                from_above=from_above,
                payload=self.payload,
                import_paths=self.import_paths,
                deterministic=options.deterministic,
                others_bytes=others_reader(self.machine.other_gpu_processes),
            )
            report = Prober(request, self.launcher, self.view).run()
        if not options.deterministic:  # its speeds and peaks are those of other kernels
            self._save(report, hint, limit_is_given=memory.is_given)
        return report

    def _hint(self, measured: Workload, memory: MemoryBudget, max_batch: int) -> ProfileHint | None:
        if self.store is None:
            return None
        hint = find_hint(
            self.store.load(),
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
        """Save the report, unless it only confirms what a profile said."""
        known = hint is not None and report.source == "profile" and report.largest_feasible_batch == hint.expected_batch
        if self.store is not None and not known:
            self.store.save(report, self.machine, time.time(), limit_is_given=limit_is_given)
