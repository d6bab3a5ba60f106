"""What this machine is: hardware, cgroups, NVML, and how much memory a worker may take."""
