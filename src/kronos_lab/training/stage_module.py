"""What training the tokenizer and training the predictor have in common: a LightningModule of one stage.

A stage says what its losses are and which errors it is validated by; seeding, logging, reduction over ranks and the
refusal of a meaningless validation happen here.
"""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric

from kronos_lab.data.datamodule import WindowBatch
from kronos_lab.errors import InputError
from kronos_lab.models.hub import PublishedModel
from kronos_lab.training.metrics import mean_metric
from kronos_lab.training.monitor import ValidationMetric
from kronos_lab.training.optim import Optimisation


class StageModule(LightningModule, ABC):
    """One stage of a finetune.

    Metrics are called `<stage>/<name>`; `training.metrics` says what they are. Those of a validation are of all chosen
    windows: sums and counts are kept in float64 and added over the ranks, so the result does not depend on their
    number.

    Args:
        optimisation: optimiser and schedule of the stage.
        lookback: bars before the horizon.
        horizon: bars whose errors select the checkpoint.
        seed: of dropout and token draws, together with rank, epoch and step.
        no_means: those of `validation_metrics` that are no plain mean of `validation_values`.
    """

    stage: ClassVar[str]
    validation_metrics: ClassVar[tuple[ValidationMetric, ...]]

    def __init__(
        self, optimisation: Optimisation, lookback: int, horizon: int, seed: int, no_means: Mapping[str, Metric]
    ) -> None:
        super().__init__()
        self.optimisation, self.lookback, self.horizon, self.seed = optimisation, lookback, horizon, seed
        names = [metric.name for metric in self.validation_metrics]
        self.metrics = nn.ModuleDict({name: no_means[name] if name in no_means else mean_metric() for name in names})
        self.last_validation: dict[str, float] = {}
        self.max_steps = -1  # see `StepLimit`; the schedule must know

    @property
    @abstractmethod
    def models(self) -> dict[str, PublishedModel]:
        """The networks of the stage by the name of the folder they are exported to."""

    @abstractmethod
    def training_losses(self, batch: WindowBatch) -> dict[str, Tensor]:
        """Losses of a training step by name, 0-dim; "loss" is the one to minimise."""

    @abstractmethod
    def validation_values(self, batch: WindowBatch) -> dict[str, Tensor]:
        """What each metric is told of a batch, by the metric's name; of any shape where it is a mean."""

    def finish(self) -> None:
        """Bring the networks into the published format; called once, with the weights to export."""

    def training_step(self, batch: WindowBatch, batch_idx: int) -> Tensor:
        """Loss of one step; its random numbers are a function of (seed, rank, epoch, step) and so can be repeated."""
        torch.manual_seed(step_seed(self.seed, self.global_rank, self.current_epoch, batch_idx))
        losses = self.training_losses(batch)
        self.log_dict({f"{self.stage}/train_{name}": value for name, value in losses.items()})
        return losses["loss"]

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as Lightning would, and log the norm before clipping, which clipping by norm computes anyway."""
        trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        if gradient_clip_val and gradient_clip_algorithm in {None, "norm"}:
            norm = torch.nn.utils.clip_grad_norm_(trained, gradient_clip_val)
        else:
            norm = torch.nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        self.log(f"{self.stage}/gradient_norm", norm)  # a tensor: the device is waited for when it is written down

    def on_validation_epoch_start(self) -> None:
        """Sum in float64, so that neither order nor number of ranks shows (Apple's GPUs have none)."""
        self.last_validation = {}
        for metric in self.metrics.values():
            assert isinstance(metric, Metric)
            metric.set_dtype(torch.float32 if self.device.type == "mps" else torch.float64)
            metric.reset()

    def validation_step(self, batch: WindowBatch, batch_idx: int) -> None:
        """Add a batch to the metrics."""
        for name, values in self.validation_values(batch).items():
            metric = self.metrics[name]
            assert isinstance(metric, Metric)
            metric.update(values)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics, of all ranks; a validation without a number is an error, not a checkpoint."""
        own: dict[str, float] = {}
        for name, metric in self.metrics.items():
            assert isinstance(metric, Metric)
            value = metric.compute().item()
            if not math.isfinite(value):
                raise InputError(
                    f"{self.stage}/{name} is {value} after {self.global_step} steps: training diverged, lower "
                    f"optim.{self.stage}.optimizer.lr, or bars of the market are no numbers"
                )
            own[name] = value
            self.log(f"{self.stage}/{name}", metric, prog_bar=name == "val_loss")
        self.last_validation = own | self.last_validation  # callbacks came first

    def log_validation(self, name: str, value: float) -> None:
        """Log a metric that a callback adds to this validation, and keep it with the checkpoint.

        Args:
            name: without the stage's name, see `AddsMetrics`.
            value: the same on every rank.
        """
        self.last_validation[name] = value
        self.log(f"{self.stage}/{name}", value, sync_dist=True)  # equal everywhere: only to be told so

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimiser over what is trained, schedule over all steps of the stage."""
        steps = self.trainer.estimated_stepping_batches
        made = self.optimisation.configure(self, int(steps if self.max_steps < 0 else min(steps, self.max_steps)))
        if isinstance(made, dict):  # with a schedule; both stages count their steps from 0
            cast(dict[str, Any], made)["lr_scheduler"]["name"] = f"{self.stage}/lr"
        return made

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what the weights belong to and how they did, as plain containers."""
        checkpoint["models"] = {name: model.config for name, model in self.models.items()}
        checkpoint["validation"] = dict(self.last_validation)


def step_seed(seed: int, rank: int, epoch: int, step: int) -> int:
    """A seed for one training step of one rank, well apart from those of all others."""
    digest = hashlib.blake2b(f"{seed} {rank} {epoch} {step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1  # 63 bits: what every torch generator accepts
