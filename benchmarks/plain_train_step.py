"""The plain training step that speed is measured against: the predictor as its description reads, nothing saved.

Written from the description of the models for clarity: every norm, rotation and loss spelled out, each layer for
itself, s1 drawn by softmax and multinomial, AdamW as torch loops over it by default. Parameter names are those of the
published checkpoints, so weights load into these networks as into ours; the tests hold losses and gradients equal.

Shapes: B series, T bars, H heads, W head width, D width, V vocabulary, F = 6 fields; stamps [B, T, 5].
"""

import math
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kronos_lab.models.predictor import Kronos
from kronos_lab.models.tokenizer import KronosTokenizer

BETAS, WEIGHT_DECAY, GRADIENT_CLIP = (0.9, 0.95), 0.1, 3.0
TIME_TABLES = (("minute", 60), ("hour", 24), ("weekday", 7), ("day", 32), ("month", 13))


class RMSNorm(nn.Module):
    """Root-mean-square norm."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D] → [B, T, D]."""
        x = x_BTD.float()
        normed = x * torch.rsqrt(torch.mean(x * x, dim=-1, keepdim=True) + 1e-5)
        return normed.type_as(x_BTD) * self.weight


class RotaryEmbedding(nn.Module):
    """Rotary positions; the tables of the last length are kept."""

    inv_freq: Tensor

    def __init__(self, head_width: int) -> None:
        super().__init__()
        self.register_buffer("inv_freq", 10000.0 ** -(torch.arange(0, head_width, 2).float() / head_width))
        self.tables: tuple[Tensor, Tensor] | None = None

    def forward(self, q_BHTW: Tensor, k_BHTW: Tensor) -> tuple[Tensor, Tensor]:
        """Rotate queries and keys."""
        length = q_BHTW.shape[-2]
        if self.tables is None or len(self.tables[0]) != length or self.tables[0].device != q_BHTW.device:
            angles = torch.outer(torch.arange(length, device=q_BHTW.device).float(), self.inv_freq)
            angles_TW = torch.cat((angles, angles), dim=-1)
            self.tables = angles_TW.cos(), angles_TW.sin()
        cos_TW, sin_TW = self.tables
        return q_BHTW * cos_TW + _half_turned(q_BHTW) * sin_TW, k_BHTW * cos_TW + _half_turned(k_BHTW) * sin_TW


def _half_turned(x_BHTW: Tensor) -> Tensor:
    first, second = x_BHTW.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


class Attention(nn.Module):
    """Causal attention with rotary positions."""

    def __init__(self, d_model: int, n_heads: int, attn_dropout_p: float, resid_dropout_p: float) -> None:
        super().__init__()
        self.n_heads, self.attn_dropout_p = n_heads, attn_dropout_p
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(d_model, d_model) for _ in range(4))
        self.rotary = RotaryEmbedding(d_model // n_heads)
        self.resid_dropout = nn.Dropout(resid_dropout_p)

    def forward(self, query_BTD: Tensor, memory_BTD: Tensor) -> Tensor:
        """[B, T, D] → [B, T, D]."""
        batch, length, width = query_BTD.shape

        def heads(x_BTD: Tensor) -> Tensor:
            return x_BTD.view(batch, length, self.n_heads, -1).transpose(1, 2)

        q, k = self.rotary(heads(self.q_proj(query_BTD)), heads(self.k_proj(memory_BTD)))
        attended_BHTW = F.scaled_dot_product_attention(
            q,
            k,
            heads(self.v_proj(memory_BTD)),
            dropout_p=self.attn_dropout_p if self.training else 0.0,
            is_causal=True,
        )
        joined_BTD = attended_BHTW.transpose(1, 2).contiguous().view(batch, length, width)
        return self.resid_dropout(self.out_proj(joined_BTD))


class FeedForward(nn.Module):
    """Gated feed-forward."""

    def __init__(self, d_model: int, ff_dim: int, dropout_p: float) -> None:
        super().__init__()
        self.w1 = nn.Linear(d_model, ff_dim, bias=False)
        self.w3 = nn.Linear(d_model, ff_dim, bias=False)
        self.w2 = nn.Linear(ff_dim, d_model, bias=False)
        self.ffn_dropout = nn.Dropout(dropout_p)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D] → [B, T, D]."""
        return self.ffn_dropout(self.w2(F.silu(self.w1(x_BTD)) * self.w3(x_BTD)))


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, d_model: int, n_heads: int, ff_dim: int, ffn_p: float, attn_p: float, resid_p: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = RMSNorm(d_model), RMSNorm(d_model)
        self.self_attn = Attention(d_model, n_heads, attn_p, resid_p)
        self.ffn = FeedForward(d_model, ff_dim, ffn_p)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D] → [B, T, D]."""
        normed = self.norm1(x_BTD)
        x_BTD = x_BTD + self.self_attn(normed, normed)
        return x_BTD + self.ffn(self.norm2(x_BTD))


class PlainTokenizer(nn.Module):
    """The encoding half of the tokenizer; arguments as those of `KronosTokenizer`, as far as it needs them."""

    def __init__(
        self, d_in: int, d_model: int, n_heads: int, ff_dim: int, n_enc_layers: int, s1_bits: int, s2_bits: int
    ) -> None:
        super().__init__()
        self.s1_bits, self.bits = s1_bits, s1_bits + s2_bits
        self.embed = nn.Linear(d_in, d_model)
        self.encoder = nn.ModuleList(Block(d_model, n_heads, ff_dim, 0, 0, 0) for _ in range(n_enc_layers - 1))
        self.quant_embed = nn.Linear(d_model, self.bits)

    def forward(self, x_BTF: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised bars → tokens s1 and s2, [B, T] each."""
        h_BTD = self.embed(x_BTF)
        for block in self.encoder:
            h_BTD = block(h_BTD)
        z_BTK = F.normalize(self.quant_embed(h_BTD), dim=-1)
        quantised_BTK = torch.where(z_BTK > 0, 1.0, -1.0) / math.sqrt(self.bits)
        bits_BTK = (quantised_BTK > 0).long()
        return _index(bits_BTK[..., : self.s1_bits]), _index(bits_BTK[..., self.s1_bits :])


def _index(bits_BTK: Tensor) -> Tensor:
    return (bits_BTK * 2 ** torch.arange(bits_BTK.shape[-1], device=bits_BTK.device)).sum(-1)


class PlainKronos(nn.Module):
    """The predictor; arguments as those of `Kronos`, with trained time tables."""

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
    ) -> None:
        super().__init__()
        self.d_model = d_model
        self.embedding = nn.ModuleDict(
            {
                "emb_s1": nn.Embedding(2**s1_bits, d_model),
                "emb_s2": nn.Embedding(2**s2_bits, d_model),
                "fusion_proj": nn.Linear(2 * d_model, d_model),
            }
        )
        self.time_emb = nn.ModuleDict({f"{name}_embed": nn.Embedding(size, d_model) for name, size in TIME_TABLES})
        self.token_drop = nn.Dropout(token_dropout_p)
        dropouts = (ffn_dropout_p, attn_dropout_p, resid_dropout_p)
        self.transformer = nn.ModuleList(Block(d_model, n_heads, ff_dim, *dropouts) for _ in range(n_layers))
        self.norm = RMSNorm(d_model)
        self.dep_layer = nn.ModuleDict({"cross_attn": Attention(d_model, 4, 0, 0), "norm": RMSNorm(d_model)})
        self.head = nn.ModuleDict(
            {"proj_s1": nn.Linear(d_model, 2**s1_bits), "proj_s2": nn.Linear(d_model, 2**s2_bits)}
        )

    def forward(
        self, s1_BT: Tensor, s2_BT: Tensor, stamp_BT5: Tensor, next_s1_BT: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits of the next pair, s2 conditioned on the given next s1, or on a drawn one."""
        scale = math.sqrt(self.d_model)
        e1_BTD, e2_BTD = self.embedding["emb_s1"](s1_BT) * scale, self.embedding["emb_s2"](s2_BT) * scale
        x_BTD = self.embedding["fusion_proj"](torch.cat((e1_BTD, e2_BTD), dim=-1))
        stamp = stamp_BT5.long()
        x_BTD = x_BTD + sum(self.time_emb[f"{name}_embed"](stamp[..., i]) for i, (name, _) in enumerate(TIME_TABLES))
        x_BTD = self.token_drop(x_BTD)
        for block in self.transformer:
            x_BTD = block(x_BTD)
        h_BTD = self.norm(x_BTD)
        s1_logits = self.head["proj_s1"](h_BTD)
        if next_s1_BT is None:
            probabilities = F.softmax(s1_logits.detach().float(), dim=-1)
            next_s1_BT = torch.multinomial(probabilities.view(-1, probabilities.shape[-1]), 1).view(s1_BT.shape)
        query_BTD = self.embedding["emb_s1"](next_s1_BT)
        conditioned_BTD = self.dep_layer["norm"](h_BTD + self.dep_layer["cross_attn"](query_BTD, h_BTD))
        return s1_logits, self.head["proj_s2"](conditioned_BTD)

    def losses(
        self, s1_BT: Tensor, s2_BT: Tensor, stamp_BT5: Tensor, teacher: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(CE(s1) + CE(s2)) / 2 and its two parts, 0-dim."""
        target_s1, target_s2 = s1_BT[:, 1:], s2_BT[:, 1:]
        s1_logits, s2_logits = self(s1_BT[:, :-1], s2_BT[:, :-1], stamp_BT5[:, :-1], target_s1 if teacher else None)
        ce_s1 = F.cross_entropy(s1_logits.reshape(-1, s1_logits.shape[-1]), target_s1.reshape(-1))
        ce_s2 = F.cross_entropy(s2_logits.reshape(-1, s2_logits.shape[-1]), target_s2.reshape(-1))
        return (ce_s1 + ce_s2) / 2, ce_s1, ce_s2


def plain_networks(tokenizer: KronosTokenizer, predictor: Kronos) -> tuple[PlainTokenizer, PlainKronos]:
    """The plain networks with the shapes, dropout and weights of ours."""
    names = ("d_in", "d_model", "n_heads", "ff_dim", "n_enc_layers", "s1_bits", "s2_bits")
    plain_tokenizer = PlainTokenizer(**{name: tokenizer.config[name] for name in names})
    weights = tokenizer.state_dict()
    plain_tokenizer.load_state_dict({name: weights[name] for name in plain_tokenizer.state_dict()})
    plain_predictor = PlainKronos(**{name: value for name, value in predictor.config.items() if name != "learn_te"})
    plain_predictor.load_state_dict(predictor.state_dict())
    return plain_tokenizer, plain_predictor


class PlainStep:
    """Tokenise, predict, step: a whole training step.

    Args:
        tokenizer: without dropout, as it is frozen.
        predictor: trained in place.
        learning_rate: of AdamW.
        autocast: precision of the forward pass; None is that of the weights.
    """

    def __init__(
        self,
        tokenizer: PlainTokenizer,
        predictor: PlainKronos,
        learning_rate: float,
        autocast: AbstractContextManager[object] | None = None,
    ) -> None:
        self.autocast = autocast or nullcontext()
        self.tokenizer, self.predictor = tokenizer.eval(), predictor.train()
        self.optimizer = torch.optim.AdamW(
            predictor.parameters(), lr=learning_rate, betas=BETAS, weight_decay=WEIGHT_DECAY
        )

    def __call__(self, bars_BTF: Tensor, stamp_BT5: Tensor) -> Tensor:
        """One step on normalised bars; the loss before it, 0-dim."""
        with torch.no_grad():
            s1_BT, s2_BT = self.tokenizer(bars_BTF)
        with self.autocast:
            loss, _, _ = self.predictor.losses(s1_BT, s2_BT, stamp_BT5)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.predictor.parameters(), GRADIENT_CLIP)
        self.optimizer.step()
        return loss.detach()
