"""How a stage is optimised: an optimiser and a learning-rate schedule, both named by the configuration."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from kronos_lab.data.settings import positive_number, sound_number, switch
from kronos_lab.errors import InputError

TRIAL_STEPS = 997  # a prime: no usual share of it is a whole step, which OneCycleLR would divide by zero for


@dataclass(frozen=True)
class Optimisation:
    """Optimiser, schedule and gradient clipping of one stage.

    Attributes:
        optimizer: makes the optimiser of a list of parameter groups.
        schedule: makes a schedule given `optimizer` and `total_steps`; None keeps the rate constant.
        gradient_clip: bound on the norm of all gradients together; None for none.
        decay_all: weight decay on every parameter, see `parameter_groups`.
    """

    optimizer: Callable[[list[dict[str, Any]]], Optimizer]
    schedule: Callable[..., LRScheduler] | None
    gradient_clip: float | None
    decay_all: bool

    def check(self, key: str) -> None:
        """Try the settings on a layer of no use, so that a wrong one ends the run before it began.

        Args:
            key: where in the configuration they are.

        Raises:
            InputError: one of them cannot be used.
        """
        switch(f"{key}.decay_all", self.decay_all)
        if self.gradient_clip is not None:
            positive_number(f"{key}.gradient_clip", self.gradient_clip)
        if "lr" in getattr(self.optimizer, "keywords", {}):  # torch takes text, and a rate at which nothing is learned
            positive_number(f"{key}.optimizer.lr", self.learning_rate)
        try:
            self.configure(nn.Linear(1, 1), total_steps=TRIAL_STEPS)
        except (TypeError, ValueError, LookupError, ArithmeticError, InputError) as error:
            raise InputError(f"{key}: {error}") from error

    @property
    def learning_rate(self) -> float | None:
        """The full rate, as configured; None where the optimiser has its own default."""
        return getattr(self.optimizer, "keywords", {}).get("lr")

    def configure(self, module: nn.Module, total_steps: int) -> OptimizerLRScheduler:
        """What `LightningModule.configure_optimizers` returns; the schedule advances every step.

        Args:
            module: what is trained: its parameters that require a gradient. The others get no state and no decay.
            total_steps: steps the schedule is spread over.

        Raises:
            InputError: the schedule has no shape over this number of steps.
        """
        optimizer = self.optimizer(parameter_groups(module, self.decay_all))
        # A fused optimiser could undo the scale of float16 gradients itself; where it may, Lightning refuses to clip
        # them, in bf16-mixed too, which has no scale.
        setattr(optimizer, "_step_supports_amp_scaling", False)  # noqa: B010  (torch's fused optimisers alone have it, the type does not)
        if self.schedule is None:
            return optimizer
        try:
            schedule = self.schedule(optimizer, total_steps=total_steps)
        except ZeroDivisionError as error:  # OneCycleLR where it rises for a single step, or from a div_factor of 0
            raise InputError(
                f"the learning rate's schedule cannot be spread over {total_steps} steps: change the schedule's "
                "pct_start a little, or its div_factor"
            ) from error
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def parameter_groups(module: nn.Module, decay_all: bool) -> list[dict[str, Any]]:
    """Parameters that require a gradient, as groups of an optimiser.

    Weight decay pulls towards zero. That means something for the matrices of linear layers (adapters are such, too),
    but not for the scale of a norm, for a bias, or for a row of an embedding, which may not be seen for many steps.

    Args:
        module: whose parameters.
        decay_all: one group with all of them, as the original has it.

    Returns:
        The group `decayed`, with the optimiser's own weight decay, and the group `not_decayed`, without; none empty.
    """
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for layer in module.modules():
        for name, parameter in layer.named_parameters(recurse=False):
            if parameter.requires_grad:
                decays = decay_all or (isinstance(layer, nn.Linear) and name == "weight")
                (decayed if decays else spared).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": decayed, "name": "decayed"},
        {"params": spared, "name": "not_decayed", "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def warmup_cosine(optimizer: Optimizer, total_steps: int, warmup: float, floor: float) -> LambdaLR:
    """A rate that rises linearly to the optimiser's own, then falls along half a cosine.

    With W = warmup · total_steps (rounded), step s < W has the share (s + 1) / (W + 1) of the full rate, step W all of
    it, and the last step `floor`. A function of the step alone, so that a resumed run goes on exactly.

    Args:
        optimizer: whose rates are scheduled.
        total_steps: all steps of training.
        warmup: share of the steps before the full rate, from 0 to below 1.
        floor: share of the full rate at the last step, from 0 to 1.

    Raises:
        InputError: a share is none.
    """
    sound_number("warmup", warmup, lambda share: 0 <= share < 1, "must be a share of all steps, from 0 to below 1")
    sound_number("floor", floor, lambda share: 0 <= share <= 1, "must be a share of the full rate, from 0 to 1")
    rising = min(round(warmup * total_steps), total_steps - 1)

    def share(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        done = min((step - rising) / max(total_steps - 1 - rising, 1), 1.0)  # Lightning asks for one step more
        return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2

    return LambdaLR(optimizer, share)
