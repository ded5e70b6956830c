"""Binary spherical quantisation: a unit vector of K coordinates becomes K bits, read as two integers.

Bit k is 1 where coordinate k is positive; the first coordinate is the lowest bit. The first `s1_bits` coordinates
give the coarse token s1, the others the fine token s2.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class QuantiserTerms(NamedTuple):
    """What the quantiser's loss is made of.

    Attributes:
        commitment_BT: squared distance of the unit vector to its quantised one.
        entropy_sample_BT: entropy (nats) of the bits of a position, summed over bits.
        p_BTK: probability of each bit (that it is 0), as the entropies see it.
    """

    commitment_BT: Tensor
    entropy_sample_BT: Tensor
    p_BTK: Tensor

    def means(self) -> tuple[Tensor, Tensor, Tensor]:
        """Commitment, entropy of single codes and entropy of the mean code, each 0-dim, over all positions."""
        entropy_code = bit_entropy(self.p_BTK.flatten(0, -2).mean(0)).sum()
        return self.commitment_BT.mean(), self.entropy_sample_BT.mean(), entropy_code


class Quantised(NamedTuple):
    """What quantising [B, T, K] gives: vector (±1/√K) [B, T, K], bits as booleans [B, T, K], terms of the loss."""

    vector_BTK: Tensor
    bits_BTK: Tensor
    terms: QuantiserTerms


def bits_to_index(bits: Tensor) -> Tensor:
    """Booleans [..., K], lowest bit first → int64 [...]."""
    return (bits.long() << torch.arange(bits.shape[-1], device=bits.device)).sum(-1)


def index_to_bits(index: Tensor, width: int) -> Tensor:
    """Int64 [...] → booleans [..., width], lowest bit first."""
    return (index.unsqueeze(-1) >> torch.arange(width, device=index.device)) & 1 == 1


class BinarySphericalQuantizer(nn.Module):
    """Sign quantisation on the unit sphere with commitment and entropy terms.

    `basis` and `group_basis` are not used: published checkpoints hold them.

    Args:
        bits: K, number of coordinates.
        beta: weight of the commitment term.
        gamma0: weight of the entropy of single codes (pushed down: decide), inside `zeta`.
        gamma: weight of the entropy of the mean code (pushed up: use all codes), inside `zeta`.
        zeta: weight of both entropy terms.
        group_size: must divide K; part of the checkpoint's identity.
    """

    def __init__(self, bits: int, beta: float, gamma0: float, gamma: float, zeta: float, group_size: int) -> None:
        super().__init__()
        if bits % group_size:
            raise ValueError(f"s1_bits + s2_bits = {bits} is not a multiple of group_size {group_size}")
        self.bits, self.beta, self.gamma0, self.gamma, self.zeta = bits, beta, gamma0, gamma, zeta
        self.register_buffer("basis", 2 ** torch.arange(bits - 1, -1, -1))
        self.register_buffer("group_basis", 2 ** torch.arange(group_size - 1, -1, -1))

    def forward(self, z_BTK: Tensor) -> Quantised:
        """Quantise unit vectors; the gradient passes straight through the sign, scaled by 1/√K."""
        bits = z_BTK > 0
        sign = torch.where(bits, 1.0, -1.0).to(z_BTK.dtype)
        vector = (z_BTK + (sign - z_BTK).detach()) / math.sqrt(self.bits)
        commitment_BT = (vector.detach() - z_BTK).pow(2).sum(-1)
        p_BTK = torch.sigmoid(-4 * z_BTK / math.sqrt(self.bits))
        return Quantised(vector, bits, QuantiserTerms(commitment_BT, bit_entropy(p_BTK).sum(-1), p_BTK))

    def loss(self, commitment: Tensor, entropy_sample: Tensor, entropy_code: Tensor) -> Tensor:
        """Weighted sum of the means of the terms."""
        return self.beta * commitment + self.zeta * (self.gamma0 * entropy_sample - self.gamma * entropy_code)

    def vector(self, bits_BTK: Tensor, dtype: torch.dtype) -> Tensor:
        """The quantised vector of given bits: ±1/√K, also where only the first bits are given."""
        return torch.where(bits_BTK, 1.0, -1.0).to(dtype) / math.sqrt(self.bits)


class TokenQuantizer(nn.Module):
    """The quantiser under the name and split (s1, s2) that the checkpoints use."""

    def __init__(self, s1_bits: int, s2_bits: int, bsq: BinarySphericalQuantizer) -> None:
        super().__init__()
        self.s1_bits, self.s2_bits = s1_bits, s2_bits
        self.bsq = bsq

    def forward(self, z_BTK: Tensor) -> Quantised:
        """L2-normalise each vector, then quantise it."""
        return self.bsq(F.normalize(z_BTK, dim=-1, eps=1e-12))

    def bits(self, z_BTK: Tensor) -> Tensor:
        """The bits alone, booleans [B, T, K]: normalising moves no coordinate across zero."""
        return z_BTK > 0

    def split(self, bits_BTK: Tensor) -> tuple[Tensor, Tensor]:
        """Bits → (s1, s2), each int64 [B, T]."""
        return bits_to_index(bits_BTK[..., : self.s1_bits]), bits_to_index(bits_BTK[..., self.s1_bits :])

    def join(self, s1_BT: Tensor, s2_BT: Tensor) -> Tensor:
        """(s1, s2) → bits [B, T, K]."""
        return torch.cat((index_to_bits(s1_BT, self.s1_bits), index_to_bits(s2_BT, self.s2_bits)), dim=-1)


def bit_entropy(p: Tensor) -> Tensor:
    """Entropy (nats) of bits that are 1 with probability p; any shape."""
    return -p * torch.log(p + 1e-8) - (1 - p) * torch.log(1 - p + 1e-8)
