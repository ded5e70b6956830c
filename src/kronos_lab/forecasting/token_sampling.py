"""From logits to tokens: temperature, top-k, top-p, and draws from numbers that are a function of the series.

The random numbers of a forecast come from a counter-based generator: those of one path of one series depend on
(seed, symbol, date, path) and on nothing else, so they are the same in any batch, on any rank, for any number of paths.
Stratified ones (McKay, Beckman and Conover, 1979, "A comparison of three methods for selecting values of input
variables", Latin hypercube sampling) depend on the number of paths besides.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kronos_lab.data.settings import positive_number, sound_number, switch, whole_number

BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn.

    Attributes:
        temperature: logits are divided by it; above 0.
        top_p: with top_k = 0, tokens whose better ones already have more than this probability are dropped; of
            tokens that are equally probable all stay or none.
        top_k: above 0, only the best `top_k` tokens are kept and `top_p` is ignored; 1 is the greedy choice.
        stratified: the paths of a series share out the probability among them, so that their mean strays less from
            that of infinitely many. Each path alone is drawn as ever, but together they are not independent.
    """

    temperature: float = 1.0
    top_p: float = 0.9
    top_k: int = 0
    stratified: bool = False

    def __post_init__(self) -> None:
        switch("forecast.stratified", self.stratified)
        positive_number("temperature", self.temperature)
        whole_number("top_k", self.top_k, 0)
        sound_number("top_p", self.top_p, lambda share: 0 < share <= 1, "must be a number above 0, up to 1")

    def probabilities(self, logits_BV: Tensor) -> Tensor:
        """Logits [..., V] → the probabilities drawn from, float32 [..., V]."""
        logits_BV = logits_BV.float() / self.temperature
        if self.top_k > 0:
            worst_kept_B1 = logits_BV.topk(min(self.top_k, logits_BV.shape[-1]), dim=-1).values[..., -1:]
            return logits_BV.masked_fill(logits_BV < worst_kept_B1, -torch.inf).softmax(-1)
        p_BV = logits_BV.softmax(-1)
        if self.top_p == 1:
            return p_BV
        descending_BV = _sorted(p_BV).flip(-1)
        better_BV = descending_BV.cumsum(-1) - descending_BV
        kept_B1 = (better_BV <= self.top_p).sum(-1, keepdim=True).clamp(min=1)  # the best stays, whatever the rounding
        p_BV = p_BV.masked_fill(p_BV < descending_BV.gather(-1, kept_B1 - 1), 0.0)
        return p_BV / p_BV.sum(-1, keepdim=True)

    def draw(self, logits_BV: Tensor, uniform_B: Tensor, order_V: Tensor | None = None) -> Tensor:
        """Tokens [...] by inverting the cumulative distribution at `uniform_B` [...] in [0, 1).

        Args:
            logits_BV: [..., V].
            uniform_B: random numbers [...].
            order_V: tokens in the order in which their probabilities are summed up; None: 0, 1, ...
        """
        if self.top_k == 1:
            return logits_BV.argmax(-1)
        if order_V is not None:
            return order_V[self.draw(logits_BV[..., order_V], uniform_B)]
        cumulative_BV = self.probabilities(logits_BV).cumsum(-1)
        total_B1 = cumulative_BV[..., -1:].contiguous()
        token_B1 = torch.searchsorted(cumulative_BV, uniform_B.unsqueeze(-1) * total_B1, right=True)
        last_B1 = torch.searchsorted(cumulative_BV, total_B1)  # last token of positive probability
        highest = logits_BV.shape[-1] - 1  # also where a logit is no number, which `generate` reports
        return torch.minimum(token_B1, last_B1).clamp(max=highest).squeeze(-1)


def _sorted(values_BV: Tensor) -> Tensor:
    """Ascending along the last axis. numpy sorts values alone many times faster than torch does on a CPU."""
    if values_BV.device.type == "cpu":
        return torch.from_numpy(np.sort(values_BV.detach().numpy(), axis=-1))
    return values_BV.sort(dim=-1).values


def series_uniforms(
    seed: int, symbol: str, date: str, paths: int, horizon: int, stratified: bool = False
) -> np.ndarray:
    """Uniform numbers of one forecast, float32 [P, H, 2] in [0, 1): path, step, half (s1, s2).

    Args:
        seed: of the whole job.
        symbol: name of the series.
        date: signal date (or last stamp), ISO.
        paths: number of sample paths P; unless stratified, the first ones are the same for a larger P.
        horizon: steps H; the first ones are the same for a larger H.
        stratified: at each step, of each half, every path has one of P equal parts of [0, 1) for itself.
    """
    whole_number("paths", paths, 1)
    whole_number("horizon", horizon, 1)
    digest = hashlib.blake2b(f"{seed}\0{symbol}\0{date}".encode(), digest_size=16).digest()
    key = np.frombuffer(digest, dtype=np.uint64)

    def drawn(stream: int) -> np.ndarray:
        generators = [np.random.Philox(key=key, counter=[0, 0, stream, path]) for path in range(paths)]
        rows = [np.random.Generator(one).random((horizon, 2), dtype=np.float32) for one in generators]
        return np.stack(rows)

    uniform_PH2 = drawn(0)
    if not stratified:
        return uniform_PH2
    part_PH2 = drawn(1).argsort(axis=0)  # a random permutation of the paths
    return np.minimum((part_PH2.astype(np.float32) + uniform_PH2) / np.float32(paths), BELOW_ONE)
