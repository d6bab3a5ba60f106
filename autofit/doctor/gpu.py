"""Findings about the GPU and whether TensorFlow can use it. Pure."""

from __future__ import annotations

from autofit.cache.compiled_kernels import OFF_VARIABLE
from autofit.config.byte_size import format_size
from autofit.doctor.records import JETSON_DEVICE, Facts, Finding, Severity
from autofit.doctor.software import release
from autofit.machine.tensorflow_build import has_machine_code

LEAST_CAPABILITY = (6, 0)
"""The lowest compute capability in TensorFlow's published packages: sm_60, sm_70, sm_80, sm_89, compute_90.

https://github.com/tensorflow/tensorflow/blob/master/.bazelrc, `HERMETIC_CUDA_COMPUTE_CAPABILITIES`, and
`tensorflow/python/platform/build_info.py` of the package itself (2.21).
"""

CPU_BUILDS = ("tensorflow-cpu", "tensorflow-intel")
NOT_SUPPORTED = "Not Supported"
"""NVML's answer to what a driver cannot do: to the memory of a GPU, where that is the memory of the machine."""

SHARES_MEMORY = Finding(
    severity=Severity.PROBLEM,
    topic="gpu",
    text="the GPU shares the memory of the processor, and its driver does not tell how much of that it may use "
    "(Jetson, DGX Spark): autofit does not use such a GPU, and will use the CPU",
    advice="train on the CPU, or on a machine whose GPU has memory of its own",
)

_LOOK = "see what nvidia-smi says: "


def unusable_nvml(facts: Facts) -> list[Finding]:
    """An NVIDIA driver or device whose NVML does not answer or finds no GPU."""
    if facts.gpu_count or not facts.nvidia_files:
        return []
    if any(file.endswith(f"/{JETSON_DEVICE}") for file in facts.nvidia_files):
        return [SHARES_MEMORY]
    device = any(file.startswith("/dev/") for file in facts.nvidia_files)
    seen = " and ".join(facts.nvidia_files)
    error = f" ({facts.gpu_error})" if facts.gpu_error else ""
    what = f"cannot be used{error}" if facts.gpu_count is None else "finds no GPU that this process may use"
    missing = "nvidia-ml-py" not in facts.versions
    advice = (
        "install its Python package"
        if missing
        else (
            f"{_LOOK}a driver and a library of different versions (restart the machine), or a container or a job that "
            "was started without its GPU (docker run --gpus all, srun --gpus=1)"
        )
    )
    return [
        Finding(
            # a container without a GPU sees the driver of its host
            severity=Severity.PROBLEM if device else Severity.WARNING,
            topic="gpu",
            text=f"{seen} shows an NVIDIA driver, but its library NVML {what}: autofit will use the CPU",
            advice=advice,
            command="pip install nvidia-ml-py" if missing else "nvidia-smi",
        )
    ]


def hidden(facts: Facts) -> list[Finding]:
    """A GPU that a run would not see."""
    if not facts.gpu_count or facts.hardware.device == "gpu" or _is_cpu_build(facts):
        return []
    visible = facts.environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None or facts.gpu_error:
        return [_lost(facts)]
    return [
        Finding(
            severity=Severity.WARNING,
            topic="gpu",
            text=f"CUDA_VISIBLE_DEVICES={visible} hides the GPU: autofit will use the CPU",
            advice="unset it, or give it the number of a GPU that nvidia-smi lists",
            command="unset CUDA_VISIBLE_DEVICES",
        )
    ]


def _lost(facts: Facts) -> Finding:
    """A GPU that the driver lists and cannot describe, such as one that has fallen off the bus."""
    if facts.gpu_error == NOT_SUPPORTED:
        return SHARES_MEMORY
    error = f" ({facts.gpu_error})" if facts.gpu_error else ""
    return Finding(
        severity=Severity.PROBLEM,
        topic="gpu",
        text=f"the driver lists a GPU but cannot describe it{error}: autofit will use the CPU",
        advice="a GPU that is lost has fallen off the bus (dmesg has a line with Xid 79): restart the machine; if it "
        f"comes again, its power or its slot is bad. Else {_LOOK}it names the error",
        command="nvidia-smi",
    )


def old_driver(facts: Facts) -> list[Finding]:
    """A driver that is older than the CUDA that TensorFlow was built with.

    A driver runs programs built for its own major version of CUDA or an earlier one; it compiles PTX of its own minor
    version at most: https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
    """
    driver, build = facts.cuda_of_driver, facts.cuda_of_build
    if facts.hardware.device != "gpu" or driver is None or build is None:
        return []
    compiles = not has_machine_code(facts.hardware.compute_capability, facts.cuda_targets)
    if release(driver)[0] >= release(build)[0] and not (compiles and release(driver) < release(build)):
        return []
    whose = f"the driver {facts.hardware.driver_version or ''}".strip()
    reason = f" and cannot compile for compute capability {facts.hardware.compute_capability}" if compiles else ""
    return [
        Finding(
            severity=Severity.PROBLEM,
            topic="gpu",
            text=f"{whose} supports CUDA {driver} at most, but this TensorFlow was built with {build}{reason}: "
            "it would not use the GPU",
            advice="update NVIDIA's driver, or train on the CPU meanwhile",
            command="export CUDA_VISIBLE_DEVICES=-1",
        )
    ]


def too_old(facts: Facts) -> list[Finding]:
    """A GPU that is too old for TensorFlow's packages."""
    capability = facts.hardware.compute_capability
    if capability is None or release(capability) >= LEAST_CAPABILITY:
        return []
    return [
        Finding(
            severity=Severity.PROBLEM,
            topic="gpu",
            text=f"{facts.hardware.device_name} has compute capability {capability}; TensorFlow's packages need 6.0",
            advice="use another GPU, or train on the CPU",
            command="export CUDA_VISIBLE_DEVICES=-1",
        )
    ]


def compiled_first(facts: Facts) -> list[Finding]:
    """A GPU for which the installed TensorFlow has no machine code: the first start compiles for minutes."""
    hardware = facts.hardware
    if hardware.device != "gpu" or too_old(facts) or has_machine_code(hardware.compute_capability, facts.cuda_targets):
        return []
    cache = facts.kernel_cache
    if cache is None:
        advice, command = "every start does so, as CUDA's cache is off", f"unset {OFF_VARIABLE}"
    else:
        advice, command = "wait for the first start; later ones take the kernels from CUDA's cache", ""
    return [
        Finding(
            severity=Severity.NOTE if cache else Severity.WARNING,
            topic="gpu",
            text=f"{hardware.device_name} has compute capability {hardware.compute_capability}; this TensorFlow has "
            f"machine code for {', '.join(facts.cuda_targets)} only and compiles its kernels for minutes",
            advice=advice,
            command=command,
        )
    ]


def kernel_cache(facts: Facts) -> list[Finding]:
    """The folder in which CUDA keeps the kernels that it has compiled, and its size."""
    cache = facts.kernel_cache
    if cache is None:
        return []
    most = "" if cache.limit_bytes is None else f" of at most {format_size(cache.limit_bytes)}"
    text = f"CUDA keeps the kernels that it compiles in {cache.path}: {format_size(cache.size_bytes)}{most}"
    return [Finding(severity=Severity.NOTE, topic="gpu", text=text)]


MUCH_LARGER = 1.5
"""Another GPU is worth a warning if it has this many times the memory of the one that is used."""


def several(facts: Facts) -> list[Finding]:
    """More than one GPU: the first in the order of the PCI bus is used unless `devices` says more."""
    visible = facts.environment.get("CUDA_VISIBLE_DEVICES")
    chosen = visible is not None and "," not in visible
    if facts.hardware.device != "gpu" or (facts.gpu_count or 0) < 2 or chosen:  # noqa: PLR2004 - several
        return []
    first = (visible or "0").split(",")[0].strip()
    another = 0 if visible is not None and first != "0" else 1
    order = "the order of the PCI bus" if visible is None else f"CUDA_VISIBLE_DEVICES={visible}"
    used = facts.hardware.device_memory_bytes or 0
    number, largest = max(enumerate(facts.cards), key=lambda item: item[1].memory_bytes, default=(1, None))
    is_small = largest is not None and largest.memory_bytes >= MUCH_LARGER * used
    listed = ", ".join(f"{card.name} ({format_size(card.memory_bytes)})" for card in facts.cards)
    better = f"number {number}, {largest.name}, has more memory" if is_small and largest else "to choose another"
    return [
        Finding(
            severity=Severity.WARNING if is_small else Severity.NOTE,
            topic="gpu",
            text=f"there are {facts.gpu_count} GPUs{f': {listed}' if listed else ''}; autofit uses one unless devices "
            f"says more, the first in {order}, {facts.hardware.device_name}",
            advice=f"{better}: name it in CUDA_VISIBLE_DEVICES",
            command=f"export CUDA_VISIBLE_DEVICES={number if is_small else another}",
        )
    ]


def cpu_build(facts: Facts) -> list[Finding]:
    """A TensorFlow build without GPU support, on a machine that has a GPU."""
    builds = [name for name in CPU_BUILDS if name in facts.versions]
    if not facts.gpu_count or not builds:
        return []
    alone = "tensorflow" not in facts.versions
    name = "the package " + " and ".join(builds)
    beside = f"{name} is installed beside tensorflow, in the same folder: the later one has overwritten the other"
    return [
        Finding(
            severity=Severity.PROBLEM if alone else Severity.WARNING,
            topic="software",
            text=f"{name} has no GPU support, but there is a GPU: autofit will use the CPU" if alone else beside,
            advice="remove it, then install the build with GPU support",
            command=f"pip uninstall -y {' '.join(builds)} tensorflow && pip install 'tensorflow[and-cuda]'",
        )
    ]


def _is_cpu_build(facts: Facts) -> bool:
    return "tensorflow" not in facts.versions and any(name in facts.versions for name in CPU_BUILDS)


def cuda_packages(facts: Facts) -> list[Finding]:
    """A machine with a GPU, but neither TensorFlow's CUDA packages nor a cuDNN of the system."""
    version = facts.versions.get("tensorflow")
    if facts.hardware.device != "gpu" or version is None or not facts.cuda_missing or facts.cudnn_found:
        return []
    return [
        Finding(
            severity=Severity.WARNING,
            topic="software",
            text=f"TensorFlow's CUDA packages are missing ({', '.join(facts.cuda_missing)}), and no cuDNN was found "
            "elsewhere: it would not find the GPU",
            advice="install them",
            command=f"pip install 'tensorflow[and-cuda]=={version}'",
        )
    ]
