"""Describes this machine, and how much of its memory a worker may take. Nothing here starts TensorFlow or CUDA.

hardware.py       detects the machine; its fingerprint
cgroups.py        the memory and processor limits of the cgroups of this process
nvml.py           the GPU, as NVIDIA's driver reports it
memory_policy.py  how much memory a worker may take, and the free memory below which it stops
memory_daemons.py programs that end others before the memory runs out
process_limits.py the limits that a shell or a batch system has set
keras_settings.py the backend that a user's own programs get from Keras
host_others.py    programs that have taken the host's memory
gpu_others.py     memory of a GPU that other processes hold; tensorflow_build.py what TensorFlow was compiled for
cards.py          GPUs by name, for estimates of a GPU that this machine does not have
"""
