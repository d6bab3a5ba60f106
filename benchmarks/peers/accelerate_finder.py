"""Accelerate's batch size finder, as its documentation shows it: a training function, decorated."""

from __future__ import annotations

import itertools

import torch
from accelerate import Accelerator
from accelerate.utils import find_executable_batch_size
from counting import Count
from memory_limit import limit_resident_memory
from torch.utils.data import DataLoader
from workload import LEARNING_RATE, Classifier, Images, Workload, arguments, warm_up

STEPS_PER_TRIAL = 3  # as many as Lightning's


def train(batch_size: int, workload: Workload, steps: int) -> int:
    """Train `steps` batches, validate one, and return the size of the batches."""
    accelerator = Accelerator(cpu=True)
    network = Classifier(workload.layout)
    optimizer = torch.optim.Adam(network.head.parameters(), lr=LEARNING_RATE)
    images = DataLoader(Images(workload.image_size), batch_size=batch_size)
    network, optimizer, images = accelerator.prepare(network, optimizer, images)
    for batch, labels in itertools.islice(images, steps):
        loss = torch.nn.functional.cross_entropy(network(batch), labels)
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
    network.eval()
    with torch.no_grad():
        network(next(iter(images))[0])
    return batch_size


def main() -> None:
    """Search in this process and print what was found."""
    parser = arguments(__doc__)
    parser.add_argument("--starting-batch-size", type=int, default=512)
    options = parser.parse_args()
    count = Count()
    workload = Workload.of(options)
    warm_up(workload)
    limit_resident_memory(options.limit_bytes)
    find = find_executable_batch_size(count.counted(train), starting_batch_size=options.starting_batch_size)
    count.report(find(workload=workload, steps=STEPS_PER_TRIAL))


if __name__ == "__main__":
    main()
