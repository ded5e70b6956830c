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

TRIAL_STEPS = 997  # a prime: no usual share of it is a whole step, which OneCycleLR would divide by zero for


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
            self.configure([nn.Parameter(torch.zeros(1))], total_steps=TRIAL_STEPS)
        except (TypeError, ValueError, ArithmeticError, InputError) as error:
            raise InputError(f"{key}: {error}") from error

    def configure(self, parameters: Iterable[nn.Parameter], total_steps: int) -> OptimizerLRScheduler:
        """What `LightningModule.configure_optimizers` returns; the schedule advances every step.

        Raises:
            InputError: the schedule has no shape over this number of steps.
        """
        optimizer = self.optimizer(parameters)
        if self.schedule is None:
            return optimizer
        try:
            schedule = self.schedule(optimizer, total_steps=total_steps)
        except ZeroDivisionError as error:  # OneCycleLR where it rises for a single step
            raise InputError(
                f"the learning rate's schedule cannot be spread over {total_steps} steps: change the schedule's "
                "pct_start a little"
            ) from error
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
