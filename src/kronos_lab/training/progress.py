"""The progress bar of a stage."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar


class StageProgress(RichProgressBar):
    """Lightning's rich progress bar with short names, and without what is the same in every line.

    The training loss it shows is the one that was logged last, every `trainer.log_every_n_steps` steps: for a newer one
    the host would wait for the device in every step, on every rank, which is what `prog_bar=True` in a training step
    means.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._losses: dict[str, float] = {}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Read the loss where it is logged anyway, and draw."""
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by Lightning's logger connector
        if self.is_enabled and every and trainer.global_step % every == 0:
            logged = trainer.logged_metrics
            self._losses = {name: float(logged[name]) for name in logged if name.endswith("/train_loss")}
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Losses without the stage's name, and not the logger's version."""
        metrics = self._losses | super().get_metrics(trainer, pl_module)
        return {name.rpartition("/")[2]: value for name, value in metrics.items() if name != "v_num"}
