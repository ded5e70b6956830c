"""What a validation measures. Every metric is of all chosen validation windows, whatever the batches and ranks.

A window is lookback + horizon + 1 bars; metrics are of its horizon bars unless it says "window". Unit z is the
standard deviation of a field over the window's lookback. Of the metrics marked ↑ more is better, of the others less.

Tokenizer. "coarse" is what is reconstructed from s1 alone; the others are from both tokens.

| metric | unit | |
| --- | --- | --- |
| `val_loss`, `val_loss_coarse` | z² | squared error of the reconstruction, mean over the six fields |
| `val_loss_window` | z² | window: the same |
| `val_error_<field>[_coarse]` | z | root mean squared error of a field |
| `val_price_error_<price>[_coarse]` | 1 | the same in price units, as a fraction of the lookback's mean close |
| `val_s1_use`, `val_s2_use` ↑ | share | window: of the vocabulary, how much occurs |
| `val_s1_perplexity`, `val_s2_perplexity` ↑ | tokens | window: exp of the entropy of the tokens' frequencies |
| `val_commitment` | 1 | window: squared distance of the unit vector to its quantised one |
| `val_entropy_sample` | nats | window: entropy of a bar's bits, their sum; 0 where all are decided |
| `val_entropy_code` ↑ | nats | window: entropy of the mean of the bits, their sum; K ln 2 where all are balanced |

A price error of 0.01 is one percent of the price, of a cheap stock and of a dear one. It is taken in the normalised
bars, which are clipped: what the clip cuts off is not counted.

Predictor, causal and teacher-forced: each token from the true ones before it, s2 also from the true s1 of its bar.

| metric | unit | |
| --- | --- | --- |
| `val_s1`, `val_s2` | nats | cross entropy of a token |
| `val_loss` | nats | their mean |
| `val_s1_window`, `val_s2_window`, `val_loss_window` | nats | window: the same |
| `val_s1_perplexity`, `val_s2_perplexity` | tokens | exp of the cross entropy |
| `val_s1_top1`, `val_s2_top1` ↑ | share | how often the true token is the likeliest |
| `val_s1_top5`, `val_s2_top5` ↑ | share | how often it is among the five likeliest |

A predictor that guesses by the frequencies of the tokens has about the perplexity of the tokenizer's metric of the
same name: below it begins what it has learned from the bars before.
"""

import torch
from torch import Tensor
from torchmetrics import MeanMetric, Metric

from kronos_lab.models.quantizer import bit_entropy


def mean_metric() -> MeanMetric:
    """Mean over all elements; a NaN must reach the result, not be left out."""
    return MeanMetric("disable")


class RootMean(MeanMetric):
    """Square root of the mean: of squared errors, in the units of the errors."""

    def compute(self) -> Tensor:
        """0-dim."""
        return super().compute().sqrt()


class Perplexity(MeanMetric):
    """exp of the mean of cross entropies (nats): between how many tokens, equally likely, the model wavers."""

    def compute(self) -> Tensor:
        """0-dim."""
        return super().compute().exp()


class TokenCounts(Metric):
    """How often each token of a vocabulary occurs; the counts are added over the ranks.

    Args:
        vocabulary: number of tokens there are.
    """

    full_state_update = False
    counts_V: Tensor

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.add_state("counts_V", torch.zeros(vocabulary), dist_reduce_fx="sum")

    def update(self, tokens: Tensor) -> None:
        """Count tokens, int64 of any shape."""
        tokens = tokens.flatten()  # not `bincount`: it would wait for the device
        self.counts_V = self.counts_V.scatter_add(0, tokens, torch.ones_like(tokens, dtype=self.counts_V.dtype))


class TokenUse(TokenCounts):
    """Share of the vocabulary that occurs."""

    def compute(self) -> Tensor:
        """0-dim, from 0 to 1."""
        return (self.counts_V > 0).to(self.counts_V.dtype).mean()


class TokenPerplexity(TokenCounts):
    """exp of the entropy of the tokens' frequencies: of how many tokens, equally frequent, the tokens make use."""

    def compute(self) -> Tensor:
        """0-dim, from 1 to the vocabulary; NaN where nothing was counted."""
        share_V = self.counts_V / self.counts_V.sum()
        return (-torch.xlogy(share_V, share_V).sum()).exp()


class CodeEntropy(Metric):
    """Entropy (nats) of the mean of bits, summed over bits: not a mean over batches, so their bits are summed.

    Args:
        bits: number of bits.
    """

    full_state_update = False
    sum_K: Tensor
    positions: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.add_state("sum_K", torch.zeros(bits), dist_reduce_fx="sum")
        self.add_state("positions", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, p_BTK: Tensor) -> None:
        """Add the probabilities of the bits at each position."""
        self.sum_K = self.sum_K + p_BTK.flatten(0, -2).sum(0, dtype=self.sum_K.dtype)
        self.positions = self.positions + p_BTK[..., 0].numel()

    def compute(self) -> Tensor:
        """0-dim, up to bits · ln 2."""
        return bit_entropy(self.sum_K / self.positions).sum()


def in_top(logits: Tensor, target: Tensor, k: int) -> Tensor:
    """Whether the target is among the k highest logits: [..., V] and int64 [...] → [...] from 0 to 1.

    Where several logits equal the target's (bfloat16 has few values) it is the chance of being chosen among them:
    a model without any preference has k / V.
    """
    own = logits.gather(-1, target.unsqueeze(-1))
    higher, equal = (logits > own).sum(-1), (logits == own).sum(-1)
    return ((k - higher) / equal).clamp(0, 1)
