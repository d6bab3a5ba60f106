"""All checks, which turn facts into findings, and the order in which findings are shown. Pure."""

from __future__ import annotations

from autofit.doctor import environment, gpu, holders, memory, process, software
from autofit.doctor.records import Facts, Finding, Severity

CHECKS = (
    memory.limit,
    memory.little_memory,
    memory.cgroup_below_host,
    memory.oom_kills,
    gpu.unusable_nvml,
    gpu.hidden,
    gpu.too_old,
    gpu.old_driver,
    gpu.compiled_first,
    gpu.several,
    gpu.cpu_build,
    gpu.cuda_packages,
    gpu.kernel_cache,
    holders.relatives,
    holders.others,
    holders.unseen,
    software.python,
    software.tensorflow,
    software.keras,
    software.pillow,
    software.two_nvml_packages,
    software.other_autofit,
    environment.legacy_keras,
    environment.keras_backend,
    environment.onednn,
    environment.platform,
    environment.profiles_folder,
    environment.little_disk,
    environment.hidden_modules,
    process.limits,
    process.processor,
    process.stopped_workers,
)
_ORDER = list(Severity)


def findings(facts: Facts) -> list[Finding]:
    """The findings of all checks, the gravest first."""
    found = [finding for check in CHECKS for finding in check(facts)]
    return sorted(found, key=lambda finding: _ORDER.index(finding.severity))
