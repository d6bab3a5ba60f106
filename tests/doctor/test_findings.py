"""The findings of the doctor on made-up machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autofit.cache.compiled_kernels import KernelCache
from autofit.doctor import Facts, Finding, Severity, findings
from autofit.doctor.records import Folder, Relative
from autofit.machine.nvml import Card, GpuProcess
from autofit.machine.process_limits import ADDRESS_SPACE, ProcessLimits

GB = 10**9
OWN, KERNEL = 40, 30
KEPT = KernelCache("/home/me/cuda", 300 * 10**6, 2 * GB)
MakeFacts = Callable[..., Facts]
MakeFamily = Callable[..., list[Relative]]


def grave(facts: Facts) -> list[Finding]:
    """All findings that are not OK."""
    return [finding for finding in findings(facts) if finding.severity is not Severity.OK]


def only(facts: Facts) -> Finding:
    """The only finding that is not OK."""
    found = grave(facts)
    assert len(found) == 1, found
    return found[0]


def holding(*processes: tuple[int, int | None]) -> list[GpuProcess]:
    return [GpuProcess(pid=pid, name=f"process-{pid}", bytes=size) for pid, size in processes]


def test_nothing_is_found_where_nothing_is_wrong(facts: MakeFacts, gpu_facts: MakeFacts) -> None:
    """Users would fix what is not broken, and no longer read the findings."""
    assert [grave(facts()), grave(gpu_facts())] == [[], []]


def test_the_gravest_comes_first(facts: MakeFacts) -> None:
    """A problem that prevents training would be listed below mere notes."""
    found = findings(facts(platform="darwin", oom_kills=1, keras_version=None))
    assert [finding.severity for finding in found] == ["problem", "warning", "note", "ok"]


# memory


def test_the_limit_that_counts(facts: MakeFacts, gpu_facts: MakeFacts) -> None:
    """The doctor would not say what a batch has to fit into."""
    texts = [findings(one)[-1].text for one in (facts(), gpu_facts(), facts(limited_by="cgroup limit /job"))]
    assert texts == [
        "host memory counts: 12 GB of 16 GB are free",
        "GPU memory counts: 15 GB of 16 GB are free",
        "cgroup limit /job counts: 12 GB of 16 GB are free",
    ]


@pytest.mark.parametrize(("free", "wrong"), [(2 * GB, False), (2 * GB - 1, True)])
def test_little_host_memory(facts: MakeFacts, free: int, *, wrong: bool) -> None:
    """A run would be killed for lack of memory without a warning before it."""
    found = grave(facts(host_available_bytes=free))
    assert [(one.severity, one.topic) for one in found] == [("warning", "memory")] * wrong


def test_little_gpu_memory(gpu_facts: MakeFacts) -> None:
    """A GPU that is full would be reported as well."""
    found = grave(gpu_facts(device_free_bytes=GB, gpu_processes=holding((7, 14 * GB))))
    assert "only 1 GB of GPU memory is free" in [one.text for one in found]


def test_a_cgroup_below_the_host(facts: MakeFacts) -> None:
    """People would plan with what `free` shows them, which is the host's memory."""
    found = only(facts(host_limit_bytes=13 * GB, limited_by="cgroup limit /job"))
    assert (found.severity, found.topic) == ("note", "memory")
    assert "13 GB of the host's 16 GB" in found.text


def test_a_limit_of_the_shell_is_no_cgroup(facts: MakeFacts) -> None:
    """People would look for a container, or close programs, where their shell has a limit, which has its finding."""
    found = findings(facts(host_limit_bytes=GB, host_available_bytes=GB, limited_by=ADDRESS_SPACE))
    assert not [one for one in found if "cgroup" in one.text or "close other programs" in one.advice]
    full = facts(
        host_limit_bytes=5 * GB,
        host_available_bytes=3 * GB,
        nearest_limit_bytes=16 * GB,
        limits=ProcessLimits(data_bytes=5 * GB),
    )
    assert not [one for one in findings(full) if "cgroup" in one.text]
    assert findings(full)[-1].text == "host memory counts: 3 GB of 16 GB are free"


@pytest.mark.parametrize(("count", "words"), [(1, "once"), (1200, "1,200 times")])
def test_kills_by_the_kernel(facts: MakeFacts, count: int, words: str) -> None:
    """A run that was killed without a message would remain unexplained."""
    found = only(facts(oom_kills=count))
    assert found.severity is Severity.WARNING
    assert words in found.text
    assert "--memory-limit" in found.advice


def test_kills_on_a_machine_with_a_gpu(gpu_facts: MakeFacts) -> None:
    """The user would be sent to a flag that limits the GPU's memory, not the host's."""
    assert "--memory-limit" not in only(gpu_facts(oom_kills=3)).advice


def test_kills_that_are_not_counted(facts: MakeFacts) -> None:
    """A kernel that does not count would be taken for one that has killed."""
    assert grave(facts(oom_kills=None)) == []


# who holds the GPU


def test_other_processes_are_named(gpu_facts: MakeFacts) -> None:
    """Nobody could free the memory that a forgotten notebook holds."""
    found = only(gpu_facts(device_free_bytes=10 * GB, gpu_processes=holding((7, GB), (8, 4 * GB))))
    assert (found.severity, found.topic) == ("warning", "gpu")
    assert found.text.endswith("process-8 (pid 8, 4 GB), process-7 (pid 7, 1 GB)")
    assert "kill" in found.advice


def test_many_processes_are_counted(gpu_facts: MakeFacts) -> None:
    """The list of processes on a shared machine would fill the screen."""
    found = only(gpu_facts(gpu_processes=holding(*((pid, GB) for pid in range(50, 59)))))
    assert found.text.endswith("and 5 more")


def test_the_windows_of_a_desktop_are_no_warning(gpu_facts: MakeFacts) -> None:
    """Every laptop would get a warning about its own desktop."""
    assert only(gpu_facts(gpu_processes=holding((7, 300_000_000)))).severity is Severity.NOTE


def test_an_unknown_amount_may_be_large(gpu_facts: MakeFacts) -> None:
    """A process whose memory the driver does not report would be taken for one that holds none."""
    found = only(gpu_facts(gpu_processes=holding((7, None))))
    assert found.severity is Severity.WARNING
    assert "amount unknown" in found.text


@pytest.mark.parametrize(("free", "severity"), [(GB, Severity.PROBLEM), (9 * GB, Severity.WARNING)])
def test_the_notebook_holds_the_gpu(gpu_facts: MakeFacts, family: MakeFamily, free: int, severity: Severity) -> None:
    """The most common fault would be reported as somebody else's process, or as an out-of-memory."""
    held = holding((KERNEL, 15 * GB - free))
    found = grave(gpu_facts(device_free_bytes=free, gpu_processes=held, family=family(notebook=True)))[0]
    assert (found.severity, found.topic) == (severity, "notebook")
    assert "the notebook itself" in found.text
    assert "Restart" in found.advice


def test_a_notebook_in_a_container_holds_the_gpu(gpu_facts: MakeFacts, family: MakeFamily) -> None:
    """On Colab, where the driver names no process, the doctor would not know that it is the notebook."""
    found = only(gpu_facts(device_free_bytes=5 * GB, family=family(notebook=True, uses_cuda=True)))
    assert found.topic == "notebook"
    assert "up to 11 GB" in found.text


def test_a_notebook_that_has_merely_looked_at_the_gpu(gpu_facts: MakeFacts, family: MakeFamily) -> None:
    """A notebook that holds next to nothing would be restarted in vain."""
    assert grave(gpu_facts(family=family(notebook=True, uses_cuda=True))) == []


def test_this_program_holds_the_gpu(gpu_facts: MakeFacts) -> None:
    """Memory that this process holds would be counted as free for the worker."""
    made = gpu_facts(device_free_bytes=1 * GB, gpu_processes=holding((OWN, 14 * GB)))
    found = grave(made)
    assert [(one.severity, one.topic) for one in found] == [("problem", "gpu"), ("warning", "memory")]
    assert "this program itself" in found[0].text
    assert "1 GB of 16 GB are free" in findings(made)[-1].text


def test_a_program_that_started_this_holds_the_gpu(gpu_facts: MakeFacts) -> None:
    """A script would be told to restart a notebook that it has not."""
    found = only(gpu_facts(device_free_bytes=9 * GB, gpu_processes=holding((KERNEL, None))))
    assert "python3, pid 30) holds an unknown amount" in found.text
    assert "Restart" not in found.advice


def test_memory_that_nobody_is_seen_to_hold(gpu_facts: MakeFacts) -> None:
    """In a container a full GPU would be reported without a cause."""
    found = only(gpu_facts(device_free_bytes=5 * GB))
    assert found.severity is Severity.WARNING
    assert found.text.startswith("11 GB of the GPU's memory are in use")


def test_processes_on_a_gpu_that_is_not_used(facts: MakeFacts) -> None:
    """A run on the CPU would be told to free a GPU."""
    assert grave(facts(gpu_processes=holding((7, 9 * GB)))) == []


# the GPU itself


@pytest.mark.parametrize(
    ("files", "count", "severity"),
    [
        (["/dev/nvidia0", "/proc/driver/nvidia"], None, "problem"),
        (["/dev/nvidia0"], 0, "problem"),
        (["/proc/driver/nvidia"], None, "warning"),
    ],
)
def test_nvml_cannot_be_used(facts: MakeFacts, files: list[str], count: int | None, severity: str) -> None:
    """A machine with a GPU would silently train on its CPU."""
    found = only(facts(nvidia_files=files, gpu_count=count))
    assert (found.severity, found.topic, found.command) == (severity, "gpu", "nvidia-smi")
    assert files[0] in found.text


def test_nvml_has_no_python_package(facts: MakeFacts) -> None:
    """The driver would be blamed for a missing Python package."""
    found = only(facts(nvidia_files=["/dev/nvidia0"], versions={"pillow": "13.0.0", "tensorflow": "2.21.0"}))
    assert found.command == "pip install nvidia-ml-py"


@pytest.mark.parametrize("visible", ["", "-1", "7"])
def test_a_hidden_gpu(facts: MakeFacts, visible: str) -> None:
    """A variable set long ago would cost the GPU, and nobody would know why."""
    found = only(facts(gpu_count=1, environment={"CUDA_VISIBLE_DEVICES": visible}))
    assert (found.severity, found.topic) == ("warning", "gpu")
    assert f"CUDA_VISIBLE_DEVICES={visible} hides" in found.text


def test_a_gpu_that_is_named_and_lost_is_not_hidden(facts: MakeFacts) -> None:
    """A batch system's variable would be unset, and the card be as lost as before."""
    found = only(facts(gpu_count=1, gpu_error="GPU is lost", environment={"CUDA_VISIBLE_DEVICES": "0"}))
    assert "cannot describe it (GPU is lost)" in found.text


@pytest.mark.parametrize("is_listed", [True, False])
def test_a_gpu_that_shares_the_memory_of_the_machine(facts: MakeFacts, *, is_listed: bool) -> None:
    """A Jetson would be restarted, and its power supply be suspected."""
    listed = {"gpu_count": 1, "gpu_error": "Not Supported"}
    found = only(facts(**(listed if is_listed else {"nvidia_files": ["/dev/nvhost-gpu"]})))
    assert found.severity is Severity.PROBLEM
    assert "shares" in found.text
    assert "restart" not in found.advice


def test_the_words_of_a_driver_that_refuses(facts: MakeFacts) -> None:
    """The doctor would say only that something is wrong with the driver."""
    found = only(facts(nvidia_files=["/dev/nvidia0"], gpu_error="Insufficient Permissions"))
    assert "NVML cannot be used (Insufficient Permissions)" in found.text


def test_a_gpu_that_cannot_be_described(facts: MakeFacts) -> None:
    """A GPU that the driver has lost would not be reported."""
    assert only(facts(gpu_count=1)).severity is Severity.PROBLEM


@pytest.mark.parametrize(("capability", "wrong"), [("5.2", True), ("6.0", False), ("12.0", False), (None, False)])
def test_an_old_gpu(gpu_facts: MakeFacts, capability: str | None, *, wrong: bool) -> None:
    """TensorFlow would ignore the GPU, and autofit would plan with it."""
    found = grave(gpu_facts(compute_capability=capability, kernel_cache=None, cuda_targets=()))
    assert [(one.severity, one.topic) for one in found] == [("problem", "gpu")] * wrong


@pytest.mark.parametrize(
    ("capability", "cache", "severity"),
    [
        ("8.6", KEPT, None),
        ("12.0", KEPT, "note"),
        ("12.0", None, "warning"),
        (None, KEPT, None),
    ],
)
def test_a_gpu_for_which_kernels_are_compiled(
    gpu_facts: MakeFacts, capability: str | None, cache: KernelCache | None, severity: str | None
) -> None:
    """A first start of minutes would be taken for one that hangs."""
    found = [
        one for one in grave(gpu_facts(compute_capability=capability, kernel_cache=cache)) if "keeps" not in one.text
    ]
    assert [one.severity for one in found] == ([severity] if severity else [])
    assert all(f"compute capability {capability}" in one.text for one in found)


def test_where_compiled_kernels_are_kept(gpu_facts: MakeFacts) -> None:
    """Nobody would know which folder to keep when a container is made anew."""
    found = only(gpu_facts(kernel_cache=KEPT))
    assert (found.severity, found.text) == (
        "note",
        "CUDA keeps the kernels that it compiles in /home/me/cuda: 300 MB of at most 2 GB",
    )


@pytest.mark.parametrize(("visible", "reported"), [(None, True), ("0,1", True), ("1", False)])
def test_several_gpus(gpu_facts: MakeFacts, visible: str | None, *, reported: bool) -> None:
    """People would wait for the other GPUs to be used, or get a note about a choice that they made themselves."""
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    found = grave(gpu_facts(gpu_count=4, environment=environment))
    assert [one.severity for one in found] == ["note"] * reported


@pytest.mark.parametrize(("visible", "other"), [(None, 1), ("0,1", 1), ("1,0", 0), ("GPU-aaaa,GPU-bbbb", 0)])
def test_the_gpu_in_use_is_not_advised_as_another(gpu_facts: MakeFacts, visible: str | None, other: int) -> None:
    """Someone who has chosen an order would be told another one, and to choose the card in use."""
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    found = only(gpu_facts(gpu_count=2, environment=environment))
    assert found.command == f"export CUDA_VISIBLE_DEVICES={other}"
    assert ("PCI bus" in found.text) == (visible is None)


T4, H100 = Card(name="NVIDIA T4", memory_bytes=16 * GB), Card(name="NVIDIA H100", memory_bytes=80 * GB)


@pytest.mark.parametrize(
    ("others", "severity", "command"),
    [([T4], "note", "1"), ([H100], "warning", "1"), ([T4, H100], "warning", "2")],
    ids=["alike", "larger", "third"],
)
def test_a_small_gpu_beside_a_larger_one(gpu_facts: MakeFacts, others: list[Card], severity: str, command: str) -> None:
    """A run would fill the small card of a workstation, and nobody would know why, or how to take the other."""
    found = only(gpu_facts(gpu_count=1 + len(others), cards=[T4, *others]))
    assert (found.severity, found.command) == (severity, f"export CUDA_VISIBLE_DEVICES={command}")
    assert "NVIDIA T4 (16 GB), " in found.text
    assert "the first in the order of the PCI bus, NVIDIA T4" in found.text


def test_a_gpu_that_is_lost(facts: MakeFacts) -> None:
    """A card that fell off the bus would be a run on the CPU that takes days."""
    found = only(facts(gpu_count=1, gpu_error="GPU is lost"))
    assert "cannot describe it (GPU is lost)" in found.text
    assert "Xid 79" in found.advice


@pytest.mark.parametrize(
    ("driver", "capability", "words"),
    [
        ("12.5", "7.5", None),
        ("12.2", "7.5", None),  # machine code of the same major version
        ("13.0", "9.0", None),
        ("11.4", "7.5", "supports CUDA 11.4 at most, but this TensorFlow was built with 12.5:"),
        ("12.2", "9.0", "and cannot compile for compute capability 9.0"),
        (None, "7.5", None),
    ],
)
def test_a_driver_that_is_too_old(gpu_facts: MakeFacts, driver: str | None, capability: str, words: str | None) -> None:
    """TensorFlow would not find the card, or fail at the first kernel, and the driver's version say nothing."""
    problems = [
        one
        for one in findings(gpu_facts(cuda_of_driver=driver, compute_capability=capability))
        if one.severity is Severity.PROBLEM
    ]
    assert len(problems) == (words is not None)
    assert all(words in one.text for one in problems if words)


def test_a_driver_says_nothing_of_a_build_without_cuda(gpu_facts: MakeFacts) -> None:
    """A build for another kind of GPU would be called too new."""
    assert grave(gpu_facts(cuda_of_driver="11.4", cuda_of_build=None)) == []


@pytest.mark.parametrize("build", ["tensorflow-cpu", "tensorflow-intel"])
def test_a_tensorflow_without_gpus(facts: MakeFacts, build: str) -> None:
    """The wrong package would cost the GPU."""
    found = only(facts(gpu_count=1, versions={build: "2.21.0", "pillow": "13.0.0"}))
    assert (found.severity, found.topic) == ("problem", "software")
    assert f"pip uninstall -y {build}" in found.command


def test_two_tensorflows(gpu_facts: MakeFacts) -> None:
    """Two packages that overwrite each other's files would pass for a sound installation."""
    versions = {"tensorflow": "2.21.0", "tensorflow-cpu": "2.20.0", "pillow": "13.0.0"}
    found = only(gpu_facts(versions=versions))
    assert found.severity is Severity.WARNING
    assert "beside tensorflow" in found.text


@pytest.mark.parametrize(("system", "wrong"), [(False, True), (True, False)])
def test_cuda_packages(gpu_facts: MakeFacts, *, system: bool, wrong: bool) -> None:
    """TensorFlow would train on the CPU beside an idle GPU; or Colab, with a cuDNN of its own, be called broken."""
    found = grave(gpu_facts(cuda_missing=["nvidia-cudnn-cu12"], cudnn_found=system))
    expected = [("warning", "pip install 'tensorflow[and-cuda]==2.21.0'")] * wrong
    assert [(one.severity, one.command) for one in found] == expected


def test_a_cpu_needs_no_cuda_packages(facts: MakeFacts) -> None:
    """A machine without a GPU would be told to download gigabytes."""
    assert grave(facts(cuda_missing=["nvidia-cudnn-cu12"])) == []


# versions


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"python_version": "3.10.9"}, [("problem", "")]),
        ({"python_version": "3.11.0"}, []),
        ({"python_version": "3.13.9"}, []),
        ({"python_version": "3.14.0rc1"}, []),
        ({"tensorflow_version": None}, [("problem", "pip install --upgrade tensorflow")]),
        ({"tensorflow_version": "2.19.1"}, [("problem", "pip install --upgrade tensorflow")]),
        ({"tensorflow_version": "2.20.0"}, []),
        ({"keras_version": None}, [("problem", "pip install --upgrade keras")]),
        ({"keras_version": "3.9.2"}, [("problem", "pip install --upgrade keras")]),
        ({"keras_version": "3.13.2"}, [("note", "pip install --upgrade keras")]),
        ({"keras_version": "3.14.1"}, []),
        ({"versions": {}}, [("problem", "pip install --upgrade pillow")]),
        ({"versions": {"pillow": "11.2.1"}}, [("problem", "pip install --upgrade pillow")]),
        ({"versions": {"pillow": "11.3.0"}}, [("warning", "pip install --upgrade pillow")]),
        ({"versions": {"pillow": "12.3.0"}}, [("warning", "pip install --upgrade pillow")]),
        ({"versions": {"pillow": "13.0.0"}}, []),
    ],
)
def test_versions(facts: MakeFacts, changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """A version that is too old or unsafe would be passed, or a sound one be called wrong."""
    assert [(found.severity, found.command) for found in grave(facts(**changes))] == expected


def test_two_packages_for_nvml(facts: MakeFacts) -> None:
    """The deprecated package would go on hiding the module of the one that is needed."""
    versions = {"pillow": "13.0.0", "pynvml": "11.5.3"}
    assert grave(facts(versions=versions)) == []
    found = only(facts(versions=versions | {"nvidia-ml-py": "13.0"}))
    assert (found.severity, found.topic) == ("note", "software")


def test_another_package_that_is_imported_as_autofit(facts: MakeFacts) -> None:
    """`import autofit` would give PyAutoFit, or a mixture of both, and nothing would say why."""
    versions = {"pillow": "13.0.0", "autofit-keras": "0.1.0"}
    assert grave(facts(versions=versions)) == []
    found = only(facts(versions=versions | {"autofit": "2026.10.1.1"}))
    assert (found.severity, found.topic) == ("problem", "software")
    assert "autofit 2026.10.1.1 is PyAutoFit" in found.text
    assert "pip uninstall -y autofit autofit-keras" in found.command


# the surroundings


def test_another_backend_of_keras(facts: MakeFacts) -> None:
    """A model that a user's own program opens would be computed with another backend, or not at all, for no reason."""
    [found] = grave(facts(other_backend="keras.json says torch"))
    assert (found.severity, found.topic, found.command) == ("note", "environment", "export KERAS_BACKEND=tensorflow")
    assert found.text.startswith("keras.json says torch: autofit trains with tensorflow all the same")


@pytest.mark.parametrize(
    ("name", "value", "severity"),
    [
        ("TF_USE_LEGACY_KERAS", "1", "problem"),
        ("TF_USE_LEGACY_KERAS", "True", "problem"),
        ("TF_USE_LEGACY_KERAS", "0", None),
        ("TF_ENABLE_ONEDNN_OPTS", "1", "note"),
        ("TF_ENABLE_ONEDNN_OPTS", "0", "note"),
        ("TF_ENABLE_ONEDNN_OPTS", "", None),
        ("TF_FORCE_GPU_ALLOW_GROWTH", "true", None),
        ("LD_LIBRARY_PATH", "set", None),
    ],
)
def test_variables(facts: MakeFacts, name: str, value: str, severity: str | None) -> None:
    """A variable that changes what is trained with, or that autofit refuses, would be found out by failing."""
    found = grave(facts(environment={name: value}))
    assert [(one.severity, one.topic) for one in found] == ([(severity, "environment")] if severity else [])


def test_onednn_matters_on_a_cpu_only(gpu_facts: MakeFacts) -> None:
    """Users of a GPU would be told of something that never happens to them."""
    assert grave(gpu_facts(environment={"TF_ENABLE_ONEDNN_OPTS": "1"})) == []


def test_macos(facts: MakeFacts) -> None:
    """Users of a platform that is not tested would not know."""
    assert (only(facts(platform="darwin")).severity, only(facts(platform="darwin")).topic) == ("note", "platform")


@pytest.mark.parametrize("writable", [False, True])
def test_the_folder_of_profiles(facts: MakeFacts, *, writable: bool) -> None:
    """Every probe would be measured anew, without a word."""
    found = grave(facts(profiles="/nowhere", profiles_writable=writable))
    assert [one.severity for one in found] == ["warning"] * (not writable)


@pytest.mark.parametrize(
    ("role", "free", "words"),
    [
        ("temporary", GB, "has only 1 GB free"),
        ("current", GB, "has only 1 GB free"),
        ("current", None, "cannot be used"),
        ("current", 2 * GB, None),
    ],
)
def test_little_room_on_a_disk(facts: MakeFacts, role: str, free: int | None, words: str | None) -> None:
    """A run would train for an hour and fail to save."""
    found = grave(facts(folders=[Folder(role, "/here", free)]))
    assert [(one.severity, one.topic) for one in found] == [("warning", "disk")] * (words is not None)
    assert all(f"the {role} folder /here {words}" in one.text for one in found)


def test_files_in_the_place_of_modules_are_named(facts: MakeFacts) -> None:
    """A program beside a `keras.py` would end with an error that does not name it."""
    hidden = [("keras", "/home/me/keras.py"), ("random", "/home/me/\x1brandom.py")]
    package, own = grave(facts(shadows=hidden))
    assert (package.severity, own.severity) == (Severity.WARNING, Severity.NOTE)
    assert package.text.startswith("/home/me/keras.py has the name of the package keras, ")
    assert own.text.startswith("/home/me/\\x1brandom.py has the name of Python's own module random, ")
    assert package.advice.startswith("rename it")
