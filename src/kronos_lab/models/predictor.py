"""The Kronos predictor: a decoder-only transformer over pairs of tokens, coarse s1 first, then fine s2.

Architecture and arithmetic: Shi et al., arXiv:2508.02739; parameter names of the published checkpoints.
Shapes: B series, T bars, D width; stamps [B, T, 5] in the order minute, hour, weekday, day, month.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kronos_lab.models.dropout import Dropout
from kronos_lab.models.hub import PublishedModel
from kronos_lab.models.layers import Attention, KeyValueStore, RMSNorm, Rotation, TransformerBlock, run_blocks
from kronos_lab.models.linear import Linear

DEPENDENCY_HEADS = 4  # of the dependency-aware layer, whatever n_heads says (published checkpoints)
TIME_TABLES = {"minute": 60, "hour": 24, "weekday": 7, "day": 32, "month": 13}

S1Conditioning = Literal["sampled", "teacher"]


class PredictorLosses(NamedTuple):
    """Cross entropies (nats) of each target position, [B, T − 1]; the training loss is the mean of both means."""

    s1_BT: Tensor
    s2_BT: Tensor

    def mean(self) -> Tensor:
        """`(CE(s1) + CE(s2)) / 2` over all positions, 0-dim."""
        return (self.s1_BT.mean() + self.s2_BT.mean()) / 2


class TokenEmbedding(nn.Module):
    """One vector for a pair of tokens: both embeddings scaled by √D, joined and projected."""

    def __init__(self, s1_bits: int, s2_bits: int, d_model: int) -> None:
        super().__init__()
        self.emb_s1 = nn.Embedding(2**s1_bits, d_model)
        self.emb_s2 = nn.Embedding(2**s2_bits, d_model)
        self.fusion_proj = Linear(2 * d_model, d_model)
        self._scale = math.sqrt(d_model)

    def forward(self, s1_BT: Tensor, s2_BT: Tensor) -> Tensor:
        """Token pairs → [B, T, D]."""
        return self.fusion_proj(torch.cat((self.emb_s1(s1_BT), self.emb_s2(s2_BT)), dim=-1) * self._scale)


class FixedEmbedding(nn.Module):
    """A sinusoidal table that is not trained; what a checkpoint holds replaces it."""

    def __init__(self, size: int, d_model: int) -> None:
        super().__init__()
        angles = torch.outer(torch.arange(size).float(), 10000.0 ** -(torch.arange(0, d_model, 2).float() / d_model))
        table = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)
        self.emb = nn.Embedding.from_pretrained(table, freeze=True)

    def forward(self, index_BT: Tensor) -> Tensor:
        """[B, T] → [B, T, D]."""
        return self.emb(index_BT)


class TimeEmbedding(nn.Module):
    """Sum of five tables, one per calendar feature of a bar's stamp."""

    def __init__(self, d_model: int, learn_te: bool) -> None:
        super().__init__()
        table = nn.Embedding if learn_te else FixedEmbedding
        for name, size in TIME_TABLES.items():
            self.add_module(f"{name}_embed", table(size, d_model))

    def forward(self, stamp_BT5: Tensor) -> Tensor:
        """Calendar features → [B, T, D]."""
        stamp = stamp_BT5.long()
        minute, *others = (getattr(self, f"{name}_embed")(stamp[..., i]) for i, name in enumerate(TIME_TABLES))
        return sum(others, minute)


class DependencyAwareLayer(nn.Module):
    """Conditions the fine token on the coarse one: the embedding of the next s1 queries the hidden states."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.cross_attn = Attention(d_model, DEPENDENCY_HEADS)
        self.norm = RMSNorm(d_model)

    def forward(self, h_BTD: Tensor, query_BQD: Tensor) -> Tensor:
        """Hidden states and embeddings of the next s1 → states that predict s2, [B, T, D].

        A full-length query (Q = T) is causal and rotated by position. A single query at the end of the window sees
        all of it and nothing is rotated: published checkpoints were always sampled that way (see `Kronos.decode_s2`).
        """
        full = query_BQD.shape[1] == h_BTD.shape[1]
        rotation = self.cross_attn.rotary(h_BTD.shape[1]) if full else None
        return self.norm(h_BTD + self.cross_attn(query_BQD, h_BTD, rotation))


class DualHead(nn.Module):
    """Logits of the two tokens."""

    def __init__(self, s1_bits: int, s2_bits: int, d_model: int) -> None:
        super().__init__()
        self.proj_s1 = Linear(d_model, 2**s1_bits)
        self.proj_s2 = Linear(d_model, 2**s2_bits)


class Kronos(nn.Module, PublishedModel):
    """Autoregressive model of token pairs.

    Args:
        s1_bits, s2_bits: bits of the two tokens, as in the tokenizer.
        n_layers: transformer blocks.
        d_model: width.
        n_heads: heads of each block; divides `d_model`.
        ff_dim: inner width of the feed-forward.
        ffn_dropout_p, attn_dropout_p, resid_dropout_p, token_dropout_p: dropout probabilities.
        learn_te: time tables are trained (else fixed sinusoids).
    """

    def __init__(
        self,
        s1_bits: int,
        s2_bits: int,
        n_layers: int,
        d_model: int,
        n_heads: int,
        ff_dim: int,
        ffn_dropout_p: float,
        attn_dropout_p: float,
        resid_dropout_p: float,
        token_dropout_p: float,
        learn_te: bool,
    ) -> None:
        super().__init__()
        self.s1_bits, self.s2_bits = s1_bits, s2_bits
        self.embedding = TokenEmbedding(s1_bits, s2_bits, d_model)
        self.time_emb = TimeEmbedding(d_model, learn_te)
        self.token_drop = Dropout(token_dropout_p)
        dropouts = (ffn_dropout_p, attn_dropout_p, resid_dropout_p)
        self.transformer = nn.ModuleList(TransformerBlock(d_model, n_heads, ff_dim, *dropouts) for _ in range(n_layers))
        self.norm = RMSNorm(d_model)
        self.dep_layer = DependencyAwareLayer(d_model)
        self.head = DualHead(s1_bits, s2_bits, d_model)
        self.apply(self._initialise)

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.xavier_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding) and module.weight.requires_grad:
            nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)

    def hidden_states(
        self,
        s1_BT: Tensor,
        s2_BT: Tensor,
        stamp_BT5: Tensor | None = None,
        padding_BT: Tensor | None = None,
        rotation: Rotation | None = None,
        stores: Sequence[KeyValueStore] | None = None,
    ) -> Tensor:
        """Token pairs and their stamps → hidden states [B, T, D] after the last norm.

        Args:
            s1_BT: coarse tokens, int64.
            s2_BT: fine tokens, int64.
            stamp_BT5: calendar features of the bars; None leaves them out.
            padding_BT: True where a position is padding, which no other position then looks at.
            rotation: of the positions; None is from 0 at the first bar.
            stores: one per block, where decoding keeps keys and values.
        """
        x_BTD = self.embedding(s1_BT, s2_BT)
        if stamp_BT5 is not None:
            x_BTD = x_BTD + self.time_emb(stamp_BT5)
        mask = None if padding_BT is None else _causal_mask(padding_BT)
        return self.norm(run_blocks(self.transformer, self.token_drop(x_BTD), rotation, mask, stores))

    def forward(
        self,
        s1_ids: Tensor,
        s2_ids: Tensor,
        stamp: Tensor | None = None,
        padding_mask: Tensor | None = None,
        use_teacher_forcing: bool = False,
        s1_targets: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Logits of the next pair at every position, causal in every mode: ([B, T, 2^s1], [B, T, 2^s2]).

        Args:
            s1_ids: coarse tokens [B, T].
            s2_ids: fine tokens [B, T].
            stamp: calendar features [B, T, 5] of the input bars.
            padding_mask: [B, T], True where a position is padding.
            use_teacher_forcing: condition s2 on `s1_targets`; else on a draw from the s1 logits, without gradient.
            s1_targets: the next coarse tokens [B, T].
            generator: source of the draw.
        """
        h_BTD = self.hidden_states(s1_ids, s2_ids, stamp, padding_mask)
        s1_logits = self.head.proj_s1(h_BTD)
        if use_teacher_forcing:
            if s1_targets is None:
                raise ValueError("use_teacher_forcing needs s1_targets")
            next_s1 = s1_targets
        else:
            next_s1 = draw(s1_logits.detach(), generator)
        return s1_logits, self._s2_logits(h_BTD, next_s1)

    def losses(
        self,
        s1_BT: Tensor,
        s2_BT: Tensor,
        stamp_BT5: Tensor | None,
        s1_conditioning: S1Conditioning = "sampled",
        generator: torch.Generator | None = None,
    ) -> PredictorLosses:
        """Next-token losses of whole windows: inputs are tokens 0..T−2 with their stamps, targets 1..T−1."""
        s1_logits, s2_logits = self.window_logits(s1_BT, s2_BT, stamp_BT5, s1_conditioning, generator)
        return PredictorLosses(cross_entropy(s1_logits, s1_BT[:, 1:]), cross_entropy(s2_logits, s2_BT[:, 1:]))

    def window_logits(
        self,
        s1_BT: Tensor,
        s2_BT: Tensor,
        stamp_BT5: Tensor | None,
        s1_conditioning: S1Conditioning = "sampled",
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Logits of tokens 1..T−1 of whole windows, from those before: ([B, T − 1, 2^s1], [B, T − 1, 2^s2])."""
        logits: tuple[Tensor, Tensor] = self(
            s1_BT[:, :-1],
            s2_BT[:, :-1],
            None if stamp_BT5 is None else stamp_BT5[:, :-1],
            use_teacher_forcing=s1_conditioning == "teacher",
            s1_targets=s1_BT[:, 1:],
            generator=generator,
        )
        return logits

    def decode_s1(self, s1_ids: Tensor, s2_ids: Tensor, stamp: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(logits of the next s1 [B, T, 2^s1], hidden states [B, T, D])."""
        h_BTD = self.hidden_states(s1_ids, s2_ids, stamp)
        return self.head.proj_s1(h_BTD), h_BTD

    def decode_s2(self, h: Tensor, s1_ids: Tensor) -> Tensor:
        """Logits of the next s2 [B, T, 2^s2] given hidden states and the next s1 [B, T], or [B, 1] to generate.

        A single s1 belongs to the last position: only the logits of that one mean something.
        """
        return self._s2_logits(h, s1_ids)

    def _s2_logits(self, h_BTD: Tensor, next_s1_BQ: Tensor) -> Tensor:
        return self.head.proj_s2(self.dep_layer(h_BTD, self.embedding.emb_s1(next_s1_BQ)))


def _causal_mask(padding_BT: Tensor) -> Tensor:
    length = padding_BT.shape[1]
    causal_TT = torch.ones(length, length, dtype=torch.bool, device=padding_BT.device).tril()
    itself_TT = torch.eye(length, dtype=torch.bool, device=padding_BT.device)  # padding too must look somewhere
    return (causal_TT & ~padding_BT.bool().unsqueeze(1)) | itself_TT


def draw(logits_BTV: Tensor, generator: torch.Generator | None) -> Tensor:
    """A token of each position, [B, T], from the distribution that its logits are.

    The distribution is inverted: `multinomial` draws a number for every token, and waits for the device.
    """
    cumulative_BTV = logits_BTV.float().softmax(-1).cumsum(-1)
    total_BT1 = cumulative_BTV[..., -1:]
    uniform_BT1 = torch.rand(total_BT1.shape, generator=generator, device=logits_BTV.device)
    below_total_BT1 = torch.minimum(uniform_BT1 * total_BT1, total_BT1.nextafter(torch.zeros_like(total_BT1)))
    drawn_BT1 = torch.searchsorted(cumulative_BTV, below_total_BT1, right=True)
    return drawn_BT1.squeeze(-1).clamp(max=logits_BTV.shape[-1] - 1)  # where training has diverged all are NaN


def cross_entropy(logits_BTV: Tensor, target_BT: Tensor) -> Tensor:
    """Cross entropy (nats) of each position: [B, T, V] and int64 [B, T] → [B, T]."""
    return F.cross_entropy(logits_BTV.flatten(0, 1), target_BT.flatten(), reduction="none").view(target_BT.shape)
