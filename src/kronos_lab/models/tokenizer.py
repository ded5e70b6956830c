"""The Kronos tokenizer: a bar becomes a pair of integers, coarse s1 and fine s2, and back.

Architecture and arithmetic: Shi et al., arXiv:2508.02739; parameter names of the published checkpoints.
Shapes: B series, T bars, F = 6 fields, K bits, D width.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kronos_lab.models.hub import PublishedModel
from kronos_lab.models.layers import TransformerBlock, run_blocks
from kronos_lab.models.quantizer import BinarySphericalQuantizer, Quantised, TokenQuantizer


class TokenizerLosses(NamedTuple):
    """Training loss of the tokenizer and its parts, 0-dim.

    `loss = (mse_coarse + mse_full + quantiser) / 2`; `quantiser` is the weighted sum of the last three, see
    `BinarySphericalQuantizer`.
    """

    loss: Tensor
    mse_coarse: Tensor
    mse_full: Tensor
    quantiser: Tensor
    commitment: Tensor
    entropy_sample: Tensor
    entropy_code: Tensor


class Reconstruction(NamedTuple):
    """Normalised bars from s1 alone [B, T, F], from both tokens [B, T, F], and what lies between."""

    coarse_BTF: Tensor
    full_BTF: Tensor
    quantised: Quantised


class KronosTokenizer(nn.Module, PublishedModel):
    """Causal autoencoder with a binary bottleneck; bars normalised by their lookback go in and come out.

    Args:
        d_in: fields of a bar.
        d_model: width.
        n_heads: heads of each block; divides `d_model`.
        ff_dim: inner width of the feed-forward.
        n_enc_layers: the encoder has one block fewer (the projection counts as a layer).
        n_dec_layers: the decoder has one block fewer.
        ffn_dropout_p, attn_dropout_p, resid_dropout_p: dropout probabilities.
        s1_bits, s2_bits: bits of the coarse and of the fine token.
        beta, gamma0, gamma, zeta: weights of the quantiser loss, see `BinarySphericalQuantizer`.
        group_size: divides `s1_bits + s2_bits`; tells the published tokenizers apart.
    """

    def __init__(
        self,
        d_in: int,
        d_model: int,
        n_heads: int,
        ff_dim: int,
        n_enc_layers: int,
        n_dec_layers: int,
        ffn_dropout_p: float,
        attn_dropout_p: float,
        resid_dropout_p: float,
        s1_bits: int,
        s2_bits: int,
        beta: float,
        gamma0: float,
        gamma: float,
        zeta: float,
        group_size: int,
    ) -> None:
        super().__init__()
        self.s1_bits, self.s2_bits, self.group_size = s1_bits, s2_bits, group_size
        bits = s1_bits + s2_bits

        def blocks(count: int) -> nn.ModuleList:
            dropouts = (ffn_dropout_p, attn_dropout_p, resid_dropout_p)
            return nn.ModuleList(TransformerBlock(d_model, n_heads, ff_dim, *dropouts) for _ in range(count))

        self.embed = nn.Linear(d_in, d_model)
        self.encoder = blocks(n_enc_layers - 1)
        self.quant_embed = nn.Linear(d_model, bits)
        self.tokenizer = TokenQuantizer(
            s1_bits, s2_bits, BinarySphericalQuantizer(bits, beta, gamma0, gamma, zeta, group_size)
        )
        self.post_quant_embed_pre = nn.Linear(s1_bits, d_model)
        self.post_quant_embed = nn.Linear(bits, d_model)
        self.decoder = blocks(n_dec_layers - 1)
        self.head = nn.Linear(d_model, d_in)

    @property
    def max_context(self) -> int:
        """Bars the published models of this kind were trained to see (not part of their config.json)."""
        return 2048 if self.group_size == 5 else 512

    def _quantisable(self, x_BTF: Tensor) -> Tensor:
        return self.quant_embed(run_blocks(self.encoder, self.embed(x_BTF)))

    def _reconstruct(self, embedded_BTD: Tensor) -> Tensor:
        return self.head(run_blocks(self.decoder, embedded_BTD))

    def forward(self, x_BTF: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor, Tensor]:
        """Normalised bars → ((x̂ from s1 alone, x̂), quantiser loss, quantised [B, T, K], undivided index [B, T])."""
        coarse, full, quantised = self.reconstruct(x_BTF)
        index = self._undivided(*self.tokenizer.split(quantised.bits_BTK))
        return (coarse, full), self.tokenizer.bsq.loss(*quantised.terms.means()), quantised.vector_BTK, index

    def reconstruct(self, x_BTF: Tensor) -> Reconstruction:
        """Normalised bars → what the tokens keep of them."""
        quantised = self.tokenizer(self._quantisable(x_BTF))
        coarse = self._reconstruct(self.post_quant_embed_pre(quantised.vector_BTK[..., : self.s1_bits]))
        return Reconstruction(coarse, self._reconstruct(self.post_quant_embed(quantised.vector_BTK)), quantised)

    def losses(self, x_BTF: Tensor) -> TokenizerLosses:
        """Losses of one training step on normalised bars; validation looks at `mse_full`."""
        coarse, full, quantised = self.reconstruct(x_BTF)
        mse_coarse, mse_full = F.mse_loss(coarse, x_BTF), F.mse_loss(full, x_BTF)
        terms = quantised.terms.means()
        quantiser = self.tokenizer.bsq.loss(*terms)
        return TokenizerLosses((mse_coarse + mse_full + quantiser) / 2, mse_coarse, mse_full, quantiser, *terms)

    def encode(self, x_BTF: Tensor, half: bool = False) -> Tensor | list[Tensor]:
        """Normalised bars → undivided index s1 + s2 · 2^s1_bits [B, T], or with `half` the pair [s1, s2]."""
        s1_BT, s2_BT = self.tokenizer.split(self.tokenizer.bits(self._quantisable(x_BTF)))
        return [s1_BT, s2_BT] if half else self._undivided(s1_BT, s2_BT)

    def decode(self, tokens: Tensor | list[Tensor] | tuple[Tensor, Tensor], half: bool = False) -> Tensor:
        """Undivided index, or with `half` the pair (s1, s2) → normalised bars [B, T, F]."""
        if half:
            s1_BT, s2_BT = tokens
        else:
            assert isinstance(tokens, Tensor)
            s1_BT, s2_BT = tokens & (2**self.s1_bits - 1), tokens >> self.s1_bits
        return self._reconstruct(self.embed_tokens(s1_BT, s2_BT))

    def embed_tokens(self, s1_BT: Tensor, s2_BT: Tensor) -> Tensor:
        """Token pairs → input of the decoder's blocks [B, T, D]."""
        vector_BTK = self.tokenizer.bsq.vector(self.tokenizer.join(s1_BT, s2_BT), self.post_quant_embed.weight.dtype)
        return self.post_quant_embed(vector_BTK)

    def _undivided(self, s1_BT: Tensor, s2_BT: Tensor) -> Tensor:
        return s1_BT + torch.bitwise_left_shift(s2_BT, self.s1_bits)
