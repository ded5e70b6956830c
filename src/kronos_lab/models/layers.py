"""Building blocks shared by the tokenizer and the predictor: norm, feed-forward, rotary attention, block.

Names of parameters are those of the published checkpoints. Shapes: B series, T bars, Q queries, D width.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from kronos_lab.models.dropout import Dropout, causal_attention
from kronos_lab.models.linear import Linear

ROTARY_BASE = 10000.0
NORM_EPSILON = 1e-5


class Rotation(NamedTuple):
    """Cosines and sines of a run of positions, float32 [T, head width], or [B, 1, T, head width] by series."""

    cos_TW: Tensor
    sin_TW: Tensor

    def at(self, positions: slice | Tensor) -> "Rotation":
        """Rotation of some of the positions: a run of them, or int64 [B, T], other ones for each series."""
        if isinstance(positions, slice):
            return Rotation(self.cos_TW[positions], self.sin_TW[positions])
        return Rotation(self.cos_TW[positions].unsqueeze(1), self.sin_TW[positions].unsqueeze(1))

    def apply(self, x_BHTW: Tensor) -> Tensor:
        """Rotate the pairs (i, i + W/2) of each head vector by the angle of its position."""
        turned: Tensor = _Turn.apply(x_BHTW, self.cos_TW.to(x_BHTW.dtype), self.sin_TW.to(x_BHTW.dtype))
        return turned


class _Turn(torch.autograd.Function):
    """Pairs turned by an angle; the gradient is turned back by it."""

    @staticmethod
    def forward(ctx: Any, x_BHTW: Tensor, cos_TW: Tensor, sin_TW: Tensor) -> Tensor:
        ctx.save_for_backward(cos_TW, sin_TW)
        return _turn(x_BHTW, cos_TW, sin_TW)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_BHTW: Tensor) -> tuple[Tensor, None, None]:
        cos_TW, sin_TW = ctx.saved_tensors
        return _turn(gradient_BHTW, cos_TW, -sin_TW), None, None


def _turn(x_BHTW: Tensor, cos_TW: Tensor, sin_TW: Tensor) -> Tensor:
    (first, second), (sin_first, sin_second) = x_BHTW.chunk(2, dim=-1), sin_TW.chunk(2, dim=-1)
    turned_BHTW = x_BHTW * cos_TW
    turned_first, turned_second = turned_BHTW.chunk(2, dim=-1)
    turned_first.addcmul_(second, sin_first, value=-1)
    turned_second.addcmul_(first, sin_second)
    return turned_BHTW


class KeyValueStore(Protocol):
    """Where the keys and values of a pass go, and what its queries attend to; what decoding plugs in."""

    def attend(self, q_BHQW: Tensor, k_BHQW: Tensor, v_BHQW: Tensor) -> Tensor:
        """Store new keys and values, and return what the queries that came with them see, [B, H, Q, W]."""
        ...


class RMSNorm(nn.Module):
    """Root-mean-square norm, computed in float32 whatever the input's dtype."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[..., D] → [..., D] in the dtype of the input."""
        if x_BTD.dtype == self.weight.dtype == torch.float32:
            return F.rms_norm(x_BTD, self.weight.shape, self.weight, NORM_EPSILON)
        x = x_BTD.float()
        return (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + NORM_EPSILON)).type_as(x_BTD) * self.weight


class FeedForward(nn.Module):
    """Gated feed-forward: `w2(silu(w1 x) · w3 x)`, no biases."""

    def __init__(self, d_model: int, ff_dim: int, dropout_p: float) -> None:
        super().__init__()
        self.w1 = Linear(d_model, ff_dim, bias=False)
        self.w3 = Linear(d_model, ff_dim, bias=False)
        self.w2 = Linear(ff_dim, d_model, bias=False)
        self.dropout = Dropout(dropout_p)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[..., D] → [..., D]."""
        return self.dropout(self.w2(F.silu(self.w1(x_BTD)) * self.w3(x_BTD)))


class RotaryEmbedding(nn.Module):
    """Rotation angles by position. `inv_freq` is a buffer because the published checkpoints hold it.

    Cosines and sines are computed when asked for and never kept: a kept table would go stale on a device move and
    could not be trained through after a pass under `inference_mode`.
    """

    inv_freq: Tensor

    def __init__(self, head_width: int) -> None:
        super().__init__()
        exponents = torch.arange(0, head_width, 2).float() / head_width
        self.register_buffer("inv_freq", ROTARY_BASE**-exponents)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "RotaryEmbedding":
        # A cast of the whole model (to bfloat16, say) must not round the angles: only device moves are followed.
        exact = self.inv_freq
        super()._apply(fn, recurse)
        if self.inv_freq.dtype != exact.dtype:
            self.inv_freq = exact.to(self.inv_freq.device)
        return self

    def forward(self, length: int) -> Rotation:
        """Rotation of positions `0 .. length - 1`."""
        positions = torch.arange(length, device=self.inv_freq.device)
        angles_TW = torch.outer(positions.to(self.inv_freq.dtype), self.inv_freq).repeat(1, 2)
        return Rotation(angles_TW.cos(), angles_TW.sin())


class Attention(nn.Module):
    """Multi-head scaled dot-product attention over a memory of bars; self-attention where query and memory are one."""

    def __init__(self, d_model: int, n_heads: int, attn_dropout_p: float = 0.0, resid_dropout_p: float = 0.0) -> None:
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"d_model {d_model} is not a multiple of n_heads {n_heads}")
        self.n_heads = n_heads
        self.attn_dropout_p = attn_dropout_p
        self.q_proj = Linear(d_model, d_model)
        self.k_proj = Linear(d_model, d_model)
        self.v_proj = Linear(d_model, d_model)
        self.out_proj = Linear(d_model, d_model)
        self.rotary = RotaryEmbedding(d_model // n_heads)
        self.resid_dropout = Dropout(resid_dropout_p)

    def _heads(self, x_BTD: Tensor) -> Tensor:
        return x_BTD.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def queries(self, x_BQD: Tensor, rotation: Rotation | None) -> Tensor:
        """Queries by head, [B, H, Q, W], rotated where a rotation is given."""
        q = self._heads(self.q_proj(x_BQD))
        return q if rotation is None else rotation.apply(q)

    def keys_values(self, x_BTD: Tensor, rotation: Rotation | None) -> tuple[Tensor, Tensor]:
        """Keys, rotated where a rotation is given, and values by head, [B, H, T, W] each."""
        k = self._heads(self.k_proj(x_BTD))
        return (k if rotation is None else rotation.apply(k)), self._heads(self.v_proj(x_BTD))

    def output(self, attended_BHQW: Tensor) -> Tensor:
        """Heads joined and projected, [B, Q, D]."""
        return self.resid_dropout(self.out_proj(attended_BHQW.transpose(1, 2).flatten(-2)))

    def forward(
        self,
        query_BQD: Tensor,
        memory_BTD: Tensor,
        rotation: Rotation | None,
        mask_BQT: Tensor | None = None,
        store: KeyValueStore | None = None,
    ) -> Tensor:
        """Attend causally, or as `mask_BQT` (True where a query may look) or `store` says → [B, Q, D].

        With `rotation`, queries and keys are rotated by it, so Q = T.
        """
        q = self.queries(query_BQD, rotation)
        k, v = self.keys_values(memory_BTD, rotation)
        if store is not None:
            return self.output(store.attend(q, k, v))
        dropout_p = self.attn_dropout_p if self.training else 0.0
        if mask_BQT is None and q.shape[2] > 1:
            return self.output(causal_attention(q, k, v, dropout_p))
        mask = None if mask_BQT is None else mask_BQT.unsqueeze(1)
        attended_BHQW = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout_p)
        return self.output(attended_BHQW)


class TransformerBlock(nn.Module):
    """Pre-norm block: causal self-attention, then feed-forward, each added to its input."""

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        ff_dim: int,
        ffn_dropout_p: float,
        attn_dropout_p: float,
        resid_dropout_p: float,
    ) -> None:
        super().__init__()
        self.norm1 = RMSNorm(d_model)
        self.self_attn = Attention(d_model, n_heads, attn_dropout_p, resid_dropout_p)
        self.norm2 = RMSNorm(d_model)
        self.ffn = FeedForward(d_model, ff_dim, ffn_dropout_p)

    def forward(
        self,
        x_BTD: Tensor,
        rotation: Rotation,
        mask_BTT: Tensor | None = None,
        store: KeyValueStore | None = None,
    ) -> Tensor:
        """[B, T, D] → [B, T, D]; arguments as those of `Attention`."""
        normed = self.norm1(x_BTD)
        x_BTD = x_BTD + self.self_attn(normed, normed, rotation, mask_BTT, store)
        return x_BTD + self.ffn(self.norm2(x_BTD))


def run_blocks(
    blocks: nn.ModuleList,
    x_BTD: Tensor,
    rotation: Rotation | None = None,
    mask_BTT: Tensor | None = None,
    stores: Sequence[KeyValueStore] | None = None,
) -> Tensor:
    """Pass [B, T, D] through a stack of blocks.

    Args:
        blocks: `TransformerBlock`s, perhaps none.
        x_BTD: their input.
        rotation: of the T positions; None is from 0 at the first. Computed once: all blocks of a stack turn alike.
        mask_BTT: True where a position may look; None is causal.
        stores: one per block, see `KeyValueStore`.
    """
    for layer, block in enumerate(blocks):
        assert isinstance(block, TransformerBlock)
        rotation = rotation or block.self_attn.rotary(x_BTD.shape[1])
        x_BTD = block(x_BTD, rotation, mask_BTT, stores[layer] if stores else None)
    return x_BTD
