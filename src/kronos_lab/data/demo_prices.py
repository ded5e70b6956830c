"""From noise to bars: raw prices in whole ticks, inside the price limits, ex-rights, with the effect planted.

A return that the limits cut off is lost, and so is the noise of a suspended session: neither comes back later, which
would be a second effect.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos_lab.data.demo_effect import LOOKBACK, effect
from kronos_lab.data.demo_noise import SessionNoise, session_noise
from kronos_lab.data.demo_stocks import Stocks
from kronos_lab.data.limits import is_free_session, limit_prices, limit_rates

TICK = 0.01  # yuan, also the lowest price
DEAR = 40.0  # yuan; a stock that costs more splits on its next ex-date
PAR, SESSIONS_BELOW_PAR = 1.0, 20  # a stock that closes below 1 yuan for 20 sessions is delisted, as in China


@dataclass(frozen=True)
class Simulation:
    """Raw bars of the N stocks on L sessions; NaN where a stock does not trade.

    Attributes:
        open_LN, high_LN, low_LN, close_LN: yuan, whole ticks.
        limit_up_LN, limit_down_LN: yuan; NaN also in the first sessions of a listing, which have none.
        change_LN: close over the close before less ex-rights, minus 1.
        volume_LN: shares.
        factor_LN: adjusted price = raw price · factor.
        outstanding_LN: shares outstanding.
    """

    open_LN: np.ndarray
    high_LN: np.ndarray
    low_LN: np.ndarray
    close_LN: np.ndarray
    limit_up_LN: np.ndarray
    limit_down_LN: np.ndarray
    change_LN: np.ndarray
    volume_LN: np.ndarray
    factor_LN: np.ndarray
    outstanding_LN: np.ndarray


def simulate(stocks: Stocks, calendar: pd.DatetimeIndex, rng: np.random.Generator, with_effect: bool) -> Simulation:
    """Simulate all sessions of the calendar; shows progress."""
    from rich.progress import Progress

    state = _State(stocks, calendar)
    rows: dict[str, list[np.ndarray]] = {name: [] for name in Simulation.__dataclass_fields__}
    noises = zip(range(len(calendar)), session_noise(stocks, rng), strict=False)
    with Progress(transient=True) as progress:
        for t, noise in progress.track(noises, total=len(calendar), description="demo market: simulating"):
            for name, values_N in state.trade(t, noise, with_effect).items():
                rows[name].append(values_N)
    return Simulation(**{name: np.stack(values) for name, values in rows.items()})


class _State:
    """What a session leaves to the next one: closes, shares, factors, the last bars."""

    def __init__(self, stocks: Stocks, calendar: pd.DatetimeIndex) -> None:
        count = len(stocks.symbols)
        self.stocks = stocks
        self.day_L = calendar.to_numpy().astype("datetime64[D]")
        self.listing_N = np.where(stocks.listed_N, self.day_L[stocks.first_N], np.datetime64("NaT"))
        self.close_N = stocks.price_N.copy()
        self.outstanding_N = stocks.shares_N.copy()
        self.factor_N = np.ones(count)
        self.age_N = np.zeros(count, dtype=np.int64)  # bars so far
        self.last_closes_NC, self.last_volumes_NC = (np.zeros((count, LOOKBACK)) for _ in range(2))  # adjusted
        self.below_par_N = np.zeros(count, dtype=np.int64)  # bars in a row
        self.dividend_N, self.split_N = np.zeros(count), np.ones(count)  # due, once the stock trades

    def trade(self, t: int, noise: SessionNoise, with_effect: bool) -> dict[str, np.ndarray]:
        """One session: the rows of `Simulation`'s tables."""
        stocks = self.stocks
        is_listed_N = (stocks.first_N <= t) & (t < stocks.stop_N) & (self.below_par_N < SESSIONS_BELOW_PAR)
        on_N = is_listed_N & ~stocks.suspended_LN[t]
        reference_N = self._go_ex_rights(t, on_N)
        up_N, down_N = self._limits(t, reference_N)
        body_N = noise.body_N + self._effect() if with_effect else noise.body_N

        open_N = _to_price(reference_N * np.exp(noise.gap_N), up_N, down_N)
        close_N = _to_price(open_N * np.exp(body_N), up_N, down_N)
        high_N, low_N = _extremes(open_N, close_N, noise)
        volume_N = np.maximum(np.round(noise.turnover_N * self.outstanding_N, -2), 100.0)

        self.close_N = np.where(on_N, close_N, self.close_N)
        adjusted_N = close_N * self.factor_N, volume_N / self.factor_N
        for last_NC, new_N in zip((self.last_closes_NC, self.last_volumes_NC), adjusted_N, strict=True):
            last_NC[on_N, :-1] = last_NC[on_N, 1:]
            last_NC[on_N, -1] = new_N[on_N]
        self.age_N += on_N
        self.below_par_N = np.where(on_N, (self.below_par_N + 1) * (close_N < PAR), self.below_par_N)
        bars = {
            "open_LN": open_N,
            "high_LN": _to_price(high_N, up_N, down_N),
            "low_LN": _to_price(low_N, up_N, down_N),
            "close_LN": close_N,
            "limit_up_LN": up_N,
            "limit_down_LN": down_N,
            "change_LN": close_N / reference_N - 1,
            "volume_LN": volume_N,
            "factor_LN": self.factor_N,
            "outstanding_LN": self.outstanding_N,
        }
        return {name: np.where(on_N, values_N, np.nan) for name, values_N in bars.items()}

    def _effect(self) -> np.ndarray:
        effect_N = np.zeros(len(self.close_N))
        seen_N = self.age_N >= LOOKBACK
        effect_N[seen_N] = effect(self.last_closes_NC[seen_N], self.last_volumes_NC[seen_N])
        return effect_N

    def _go_ex_rights(self, t: int, on_N: np.ndarray) -> np.ndarray:
        """Pay dividends and split shares that are due; the close before, less both: the reference, in whole ticks."""
        has_traded_N = self.age_N > 0
        self.dividend_N += self.stocks.dividend_LN[t] * has_traded_N
        self.split_N *= np.where(has_traded_N & (self.close_N > DEAR), self.stocks.split_LN[t], 1.0)
        less_N = np.round(self.close_N * (1 - self.dividend_N) / self.split_N, 2)
        reference_N = np.where(on_N, np.maximum(less_N, TICK), self.close_N)
        self.factor_N = self.factor_N * self.close_N / reference_N
        self.outstanding_N = np.where(on_N, np.round(self.outstanding_N * self.split_N), self.outstanding_N)
        self.dividend_N = np.where(on_N, 0.0, self.dividend_N)
        self.split_N = np.where(on_N, 1.0, self.split_N)
        return reference_N

    def _limits(self, t: int, reference_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        day_N = np.full(len(reference_N), self.day_L[t])
        rate_N = limit_rates(self.stocks.board_N, day_N)
        rate_N[is_free_session(self.stocks.board_N, self.listing_N, self.age_N)] = np.nan
        return limit_prices(reference_N, rate_N)


def _to_price(value_N: np.ndarray, up_N: np.ndarray, down_N: np.ndarray) -> np.ndarray:
    """The nearest whole tick inside the limits; a NaN limit is none."""
    return np.fmax(np.fmin(np.maximum(np.round(value_N, 2), TICK), up_N), down_N)


def _extremes(open_N: np.ndarray, close_N: np.ndarray, noise: SessionNoise) -> tuple[np.ndarray, np.ndarray]:
    """High and low of a Brownian bridge from open to close (distribution of its maximum, inverted)."""
    way_N = np.log(close_N / open_N)
    reach_high_N, reach_low_N = (
        np.sqrt(way_N**2 - 2 * noise.spread_N**2 * np.log(uniform_N)) for uniform_N in (noise.high_N, noise.low_N)
    )
    high_N, low_N = open_N * np.exp((way_N + reach_high_N) / 2), open_N * np.exp((way_N - reach_low_N) / 2)
    return np.maximum(high_N, np.maximum(open_N, close_N)), np.minimum(low_N, np.minimum(open_N, close_N))
