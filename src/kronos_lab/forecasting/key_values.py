"""Keys and values that are kept while bars are generated, and what queries see of them.

Shapes: B series, P paths, H heads, Q queries, T slots, W head width; C context bars.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kronos_lab.models.layers import Attention

# Bars whose activations are in memory at once while contexts are encoded: enough to keep the matrix units busy.
BARS_AT_ONCE = {"cpu": 1_024, "cuda": 131_072}


def series_at_once(bars: int, device: torch.device) -> int:
    """Series of `bars` bars each that are encoded together."""
    return max(1, BARS_AT_ONCE.get(device.type, BARS_AT_ONCE["cpu"]) // max(1, bars))


class KeyValueBuffer:
    """Keys and values of one attention layer: contexts, then generated bars; see the module."""

    def __init__(self, attention: Attention, series: int, capacity: int) -> None:
        weight = attention.k_proj.weight
        shape = (series, attention.n_heads, capacity, weight.shape[0] // attention.n_heads)
        self.keys_BHTW = weight.new_empty(shape)
        self.values_BHTW = weight.new_empty(shape)

    def write(self, k_BHTW: Tensor, v_BHTW: Tensor, begin: int = 0, series: slice = slice(None)) -> None:
        """Store keys and values of the slots from `begin`, of all series or some."""
        slots = slice(begin, begin + k_BHTW.shape[2])
        self.keys_BHTW[series, :, slots] = k_BHTW
        self.values_BHTW[series, :, slots] = v_BHTW

    def attend(self, q_BHQW: Tensor, end: int, mask_B1QT: Tensor | None, series: slice) -> Tensor:
        """What queries of some series see of the slots before `end`, [B, H, Q, W]."""
        keys, values = self.keys_BHTW[series, :, :end], self.values_BHTW[series, :, :end]
        return F.scaled_dot_product_attention(q_BHQW, keys, values, attn_mask=mask_B1QT)


@dataclass(frozen=True)
class StoreContext:
    """A layer encodes contexts: causal, and every key and value is stored."""

    buffer: KeyValueBuffer
    series: slice

    def attend(self, q_BHQW: Tensor, k_BHQW: Tensor, v_BHQW: Tensor) -> Tensor:
        """See `KeyValueStore`."""
        self.buffer.write(k_BHQW, v_BHQW, series=self.series)
        return F.scaled_dot_product_attention(q_BHQW, k_BHQW, v_BHQW, is_causal=True)


@dataclass(frozen=True)
class ExtendPaths:
    """A layer sees bars that follow the context: they are stored, and look at all before them on their path."""

    buffer: KeyValueBuffer
    series: slice
    begin: int
    mask_B1QT: Tensor | None

    def attend(self, q_BHQW: Tensor, k_BHQW: Tensor, v_BHQW: Tensor) -> Tensor:
        """See `KeyValueStore`."""
        self.buffer.write(k_BHQW, v_BHQW, self.begin, self.series)
        return self.buffer.attend(q_BHQW, self.begin + k_BHQW.shape[2], self.mask_B1QT, self.series)


@dataclass(frozen=True)
class FollowContext:
    """A layer sees all generated bars at once, P rows for each series, behind the stored context they share."""

    buffer: KeyValueBuffer
    paths: int
    mask_B1QT: Tensor

    def attend(self, q_BHQW: Tensor, k_BHQW: Tensor, v_BHQW: Tensor) -> Tensor:
        """See `KeyValueStore`."""
        keys = self._behind(self.buffer.keys_BHTW, k_BHQW)
        values = self._behind(self.buffer.values_BHTW, v_BHQW)
        return F.scaled_dot_product_attention(q_BHQW, keys, values, attn_mask=self.mask_B1QT)

    def _behind(self, context_BHCW: Tensor, new_BHQW: Tensor) -> Tensor:
        series, heads, length, width = context_BHCW.shape
        joined = new_BHQW.new_empty(series, self.paths, heads, length + new_BHQW.shape[2], width)
        joined[:, :, :, :length] = context_BHCW.unsqueeze(1)
        joined[:, :, :, length:] = new_BHQW.unflatten(0, (series, self.paths))
        return joined.flatten(0, 1)


def additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """True where a query may look → what is added to its scores: 0, or -inf."""
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)
