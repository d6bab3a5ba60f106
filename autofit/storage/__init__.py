"""Files that survive: records, the run directory, checkpoints."""
