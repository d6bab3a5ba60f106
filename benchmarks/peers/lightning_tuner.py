"""Lightning's batch size finder, as its documentation shows it, with its defaults."""

from __future__ import annotations

import torch
from counting import Count
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.tuner import Tuner
from memory_limit import limit_resident_memory
from torch import Tensor
from torch.utils.data import DataLoader
from workload import LEARNING_RATE, Classifier, Images, Workload, arguments, warm_up


class LightningClassifier(LightningModule):
    """The classifier with its step, its optimizer and its data; the tuner sets `batch_size`."""

    def __init__(self, workload: Workload, batch_size: int) -> None:
        super().__init__()
        self.workload = workload
        self.batch_size = batch_size
        self.classifier = Classifier(workload.layout)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """The loss of one batch."""
        images, labels = batch
        return torch.nn.functional.cross_entropy(self.classifier(images), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """The loss of one batch, logged."""
        self.log("val_loss", self.training_step(batch, 0))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam on the head."""
        return torch.optim.Adam(self.classifier.head.parameters(), lr=LEARNING_RATE)

    def train_dataloader(self) -> DataLoader:
        """Batches of the size that is being tried, made in this process."""
        return DataLoader(Images(self.workload.image_size), batch_size=self.batch_size)

    def val_dataloader(self) -> DataLoader:
        """The same for validation."""
        return self.train_dataloader()


def quiet_trainer(**options: float) -> Trainer:
    """A trainer that writes neither logs nor checkpoints."""
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def train(batch_size: int, workload: Workload, steps: int) -> None:
    """Train `steps` batches and validate one."""
    trainer = quiet_trainer(max_epochs=1, limit_train_batches=steps, limit_val_batches=1)
    trainer.fit(LightningClassifier(workload, batch_size))


def main() -> None:
    """Search in this process and print what was found."""
    parser = arguments(__doc__)
    parser.add_argument("--mode", choices=["power", "binsearch"], required=True)
    options = parser.parse_args()
    count = Count()
    workload = Workload.of(options)
    warm_up(workload)
    trainer = quiet_trainer(max_epochs=1)
    trainer.fit_loop.run = count.counted(trainer.fit_loop.run)
    limit_resident_memory(options.limit_bytes)
    network = LightningClassifier(workload, batch_size=2)
    answer = Tuner(trainer).scale_batch_size(network, mode=options.mode)
    count.report(answer)


if __name__ == "__main__":
    main()
