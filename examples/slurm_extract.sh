#!/bin/bash
# Fill the feature cache by eight tasks of a SLURM array: sbatch examples/slurm_extract.sh
# The tasks share the work by leases in the cache's folder: one that is killed costs at most the shard it had.
#SBATCH --job-name=autofit-extract
#SBATCH --array=0-7
#SBATCH --cpus-per-task=8 --mem=16G --gres=gpu:1 --time=04:00:00
#SBATCH --requeue --open-mode=append
set -eu
: "${PHOTOS:?the folder or table of photos, on a shared drive}"
: "${CACHE:?a folder on a shared drive}"
export AUTOFIT_CACHE_LIMIT="${AUTOFIT_CACHE_LIMIT:-2TB}"
# For parts that are fixed beforehand, each task one of the eight, add: --shard auto
exec autofit extract "$PHOTOS" --cache "$CACHE" --backbone "${BACKBONE:-MobileNetV2}"
