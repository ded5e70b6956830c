"""The one normaliser of bars and its one inverse: every series by the statistics of its own lookback."""

import warnings
from typing import NamedTuple

from torch import Tensor

from kronos_lab.data.bars import PRICES

EPSILON = 1e-5  # added to the standard deviation, in the units of the field (published formula)
CLIP = 5.0
SMALLEST_PRICE_DEVIATION = 0.01  # below it EPSILON starts to matter


class Scale(NamedTuple):
    """Mean and deviation (population standard deviation + EPSILON) of a lookback, each [B, 1, 6]."""

    mean_B1F: Tensor
    deviation_B1F: Tensor


def fit_scale(lookback_BCF: Tensor, rescale: bool = False) -> Scale:
    """Statistics of the lookback alone, per series and field: [B, C, 6] → `Scale`.

    `rescale` measures EPSILON in units of the field's mean instead of units of the field, which equals quoting the
    asset in units near 1. The published models were trained without it; assets priced at 1e-5 need it.
    """
    mean = lookback_BCF.mean(dim=1, keepdim=True)
    # What `std(correction=0)` computes, in two passes as numpy does: five times as fast as torch's one.
    deviation = (lookback_BCF - mean).square_().mean(dim=1, keepdim=True).sqrt_()
    epsilon = EPSILON * mean.abs().clamp_min(EPSILON**2) if rescale else EPSILON
    return Scale(mean, deviation + epsilon)


def warn_of_small_prices(scale: Scale) -> None:
    """Warn (Python shows a repeated warning once) where prices move so little that EPSILON distorts them."""
    smallest = scale.deviation_B1F[..., : len(PRICES)].amin()
    if smallest < SMALLEST_PRICE_DEVIATION:
        warnings.warn(
            f"a lookback's prices deviate by less than {SMALLEST_PRICE_DEVIATION} price units, where the published "
            f"normaliser's epsilon of {EPSILON} distorts them: data.rescale=true measures it in units of the price",
            stacklevel=2,
        )


def normalise(bars_BTF: Tensor, scale: Scale, clip: float = CLIP) -> Tensor:
    """`(x − mean) / (std + 1e-5)`, clipped to ±clip: [B, T, 6] in the units of the bars → [B, T, 6]."""
    normalised_BTF = bars_BTF - scale.mean_B1F  # a copy, changed in place: batches of windows pass here
    return normalised_BTF.div_(scale.deviation_B1F).clamp_(-clip, clip)


def denormalise(bars_BTF: Tensor, scale: Scale) -> Tensor:
    """Inverse of `normalise` (inside the clip): [B, T, 6] normalised → [B, T, 6] in the units of the bars."""
    return bars_BTF * scale.deviation_B1F + scale.mean_B1F
