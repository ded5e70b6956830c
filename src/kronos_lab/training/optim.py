"""How a stage is optimised: an optimiser and a learning-rate schedule, both named by the configuration."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from kronos_lab.data.settings import positive_number
from kronos_lab.errors import InputError


@dataclass(frozen=True)
class Optimisation:
    """Optimiser, schedule and gradient clipping of one stage.

    Attributes:
        optimizer: makes the optimiser of a list of parameters.
        schedule: makes a schedule given `optimizer` and `total_steps`; None keeps the rate constant.
        gradient_clip: bound on the norm of all gradients together; None for none.
    """

    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer]
    schedule: Callable[..., LRScheduler] | None
    gradient_clip: float | None

    def check(self, key: str) -> None:
        """Try the settings on a parameter of no use, so that a wrong one ends the run before it began.

        Args:
            key: where in the configuration they are.

        Raises:
            InputError: one of them cannot be used.
        """
        if self.gradient_clip is not None:
            positive_number(f"{key}.gradient_clip", self.gradient_clip)
        try:
            self.configure([nn.Parameter(torch.zeros(1))], total_steps=100)
        except (TypeError, ValueError) as error:
            raise InputError(f"{key}: {error}") from error

    def configure(self, parameters: Iterable[nn.Parameter], total_steps: int) -> OptimizerLRScheduler:
        """What `LightningModule.configure_optimizers` returns; the schedule advances every step."""
        optimizer = self.optimizer(parameters)
        if self.schedule is None:
            return optimizer
        schedule = self.schedule(optimizer, total_steps=total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
