"""The demo market's noise: what would move each stock, and how much would be traded, if nothing else happened.

A log return is β · market + industry + own, in two parts: the opening gap with a quarter of the variance, and the
way from open to close. Volatilities cluster: the logarithms of the market's and of each stock's volatility are
first-order autoregressions. Own shocks of the second part have fat tails. Trading grows with the stock's volatility
and the size of its shock, whatever its direction, and wanders by itself (attention).

Log returns are symmetric around zero, so no rank of visible bars predicts a rank of them. No draw depends on prices: a
seed gives the same noise whatever is planted in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kronos_lab.data.demo_stocks import INDUSTRIES, Stocks

GAP_SHARE = 0.25  # of the variance of a session
MARKET_VOLATILITY, INDUSTRY_VOLATILITY = 0.011, 0.006  # usual deviation of a session's log return
TAIL = 4  # degrees of freedom of Student's t


@dataclass(frozen=True)
class SessionNoise:
    """One session's noise for N stocks.

    Attributes:
        gap_N: log return from the close before to the open.
        body_N: log return from open to close.
        spread_N: deviation of the path between open and close, which high and low follow.
        turnover_N: share of the outstanding shares traded.
        high_N, low_N: uniform draws in (0, 1] for the extremes of the path.
    """

    gap_N: np.ndarray
    body_N: np.ndarray
    spread_N: np.ndarray
    turnover_N: np.ndarray
    high_N: np.ndarray
    low_N: np.ndarray


class _Autoregression:
    """A first-order autoregression around 0, from its stationary distribution."""

    def __init__(self, persistence: float, deviation: float, count: int, rng: np.random.Generator) -> None:
        self.persistence = persistence
        self.innovation = deviation * np.sqrt(1 - persistence**2)
        self.state = deviation * rng.standard_normal(count)

    def step(self, rng: np.random.Generator) -> np.ndarray:
        self.state = self.persistence * self.state + self.innovation * rng.standard_normal(len(self.state))
        return self.state


def session_noise(stocks: Stocks, rng: np.random.Generator) -> Iterator[SessionNoise]:
    """The noise of one session after the other, without end."""
    count = len(stocks.symbols)
    market_heat = _Autoregression(0.97, 0.45, 1, rng)
    own_heat = _Autoregression(0.96, 0.45, count, rng)
    attention = _Autoregression(0.6, 0.45, count, rng)
    gap_part, body_part = np.sqrt(GAP_SHARE), np.sqrt(1 - GAP_SHARE)
    while True:
        heat = market_heat.step(rng)
        warmth = own_heat.step(rng) + 0.5 * heat
        volatility = stocks.volatility_N * np.exp(warmth)
        gap_common, body_common = (_common(stocks, heat, rng) for _ in range(2))
        shock = rng.standard_t(TAIL, count) * np.sqrt((TAIL - 2) / TAIL)
        activity = 0.4 * warmth + 0.25 * np.abs(shock) + attention.step(rng) + 0.2 * rng.standard_normal(count)
        yield SessionNoise(
            gap_N=gap_part * (gap_common + volatility * rng.standard_normal(count)),
            body_N=body_part * (body_common + volatility * shock),
            spread_N=body_part * volatility,
            turnover_N=np.minimum(stocks.turnover_N * np.exp(activity), 0.5),
            high_N=1 - rng.random(count),
            low_N=1 - rng.random(count),
        )


def _common(stocks: Stocks, heat: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The part of the returns that comes from the market and from the stock's industry."""
    market = MARKET_VOLATILITY * np.exp(heat) * rng.standard_normal(1)
    industry = INDUSTRY_VOLATILITY * np.exp(0.5 * heat) * rng.standard_normal(INDUSTRIES)
    return stocks.beta_N * market + industry[stocks.industry_N]
