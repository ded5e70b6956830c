"""How a stage is optimised: an optimiser and a learning-rate schedule, both named by the configuration."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


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

    def configure(self, parameters: Iterable[nn.Parameter], total_steps: int) -> OptimizerLRScheduler:
        """What `LightningModule.configure_optimizers` returns; the schedule advances every step."""
        optimizer = self.optimizer(parameters)
        if self.schedule is None:
            return optimizer
        schedule = self.schedule(optimizer, total_steps=total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
