"""The demo market's indices: who is a member, and the price index of the members.

The 300 largest stocks make csi300, the next 500 csi500 (both together csi800), the next 1,000 csi1000, by market
value before each rebalance: the session after the second Friday of June and of December. A delisted member is
followed by the largest stock outside. New stocks have to wait 60 sessions.
"""

from itertools import pairwise

import numpy as np
import pandas as pd

from kronos_lab.data.demo_prices import Simulation

TIERS = {"csi300": [1], "csi500": [2], "csi800": [1, 2], "csi1000": [3]}  # of which each universe is made
INDICES = {"SH000300": "csi300", "SH000905": "csi500", "SH000906": "csi800", "SH000852": "csi1000"}
FIRST_LEVEL = 4000.0
WAIT = 60  # sessions from listing to membership
REBALANCE_MONTHS = (6, 12)


def rebalance_positions(calendar: pd.DatetimeIndex) -> list[int]:
    """Calendar positions on which a new membership begins, the first session included."""
    second_fridays = [
        friday
        for friday in pd.date_range(calendar[0], calendar[-1], freq="WOM-2FRI")
        if friday.month in REBALANCE_MONTHS
    ]
    starts = (int(calendar.searchsorted(friday, side="right")) for friday in second_fridays)
    return sorted({0, *(start for start in starts if start < len(calendar))})


def capital(simulation: Simulation) -> np.ndarray:
    """Market value of each stock at each close, yuan [L, N]: the last one while suspended, NaN before the listing."""
    capital_LN = pd.DataFrame(simulation.close_LN * simulation.outstanding_LN)
    return capital_LN.ffill().to_numpy()


def draw_tiers(simulation: Simulation, calendar: pd.DatetimeIndex, members: tuple[int, int, int]) -> np.ndarray:
    """Which index tier each stock belongs to in each session: 1, 2, 3 or 0 for none, int8 [L, N]."""
    capital_LN = capital(simulation)
    trades_LN = np.isfinite(simulation.close_LN)
    first_N = trades_LN.argmax(axis=0)
    last_N = len(calendar) - 1 - trades_LN[::-1].argmax(axis=0)
    tier_LN = np.zeros(trades_LN.shape, dtype=np.int8)
    bounds = [*rebalance_positions(calendar), len(calendar)]
    for start, stop in pairwise(bounds):
        eligible_N = (last_N >= start) & ((first_N == 0) | (first_N + WAIT <= start))
        value_N = np.where(eligible_N, capital_LN[max(start - 1, 0)], -np.inf)
        ranking = iter(np.argsort(-value_N, kind="stable")[: eligible_N.sum()])
        seats = [(tier, int(next(ranking)), start) for tier, count in enumerate(members, 1) for _ in range(count)]
        while seats:
            tier, stock, since = seats.pop()
            until = min(int(last_N[stock]) + 1, stop)
            tier_LN[since:until, stock] = tier
            follower = next((n for n in ranking if last_N[n] >= until), None) if until < stop else None
            if follower is not None:
                seats.append((tier, int(follower), until))
    return tier_LN


def membership_spans(is_member_LN: np.ndarray, calendar: pd.DatetimeIndex, symbols: list[str]) -> pd.DataFrame:
    """Unbroken memberships: columns symbol, start, end (days, both inclusive)."""
    edge_LN = np.diff(np.pad(is_member_LN.astype(np.int8), ((1, 1), (0, 0))), axis=0)
    joins_by_stock, leaves_by_stock = np.argwhere(edge_LN.T == 1), np.argwhere(edge_LN.T == -1)
    return pd.DataFrame(
        {
            "symbol": np.asarray(symbols)[joins_by_stock[:, 0]],
            "start": calendar[joins_by_stock[:, 1]],
            "end": calendar[leaves_by_stock[:, 1] - 1],
        }
    )


def price_index(simulation: Simulation, is_member_LN: np.ndarray, calendar: pd.DatetimeIndex) -> pd.DataFrame:
    """Value-weighted price index of the members of each session: bars in index points, volume, amount.

    The index moves with the value of today's members from yesterday's close to today's: a split leaves it as it is, a
    dividend lowers it, because a price index excludes dividends. It is computed at open and close only; high and
    low are the higher and the lower of the two.
    """
    capital_LN = capital(simulation)
    before_LN = np.vstack([capital_LN[:1], capital_LN[:-1]])
    opening_LN = np.where(
        np.isfinite(simulation.open_LN), simulation.open_LN * simulation.outstanding_LN, before_LN
    )  # fmt: skip
    before_L, opening_L, closing_L = (
        np.where(is_member_LN, values_LN, 0.0).sum(axis=1) for values_LN in (before_LN, opening_LN, capital_LN)
    )
    close_L = FIRST_LEVEL * np.cumprod(closing_L / before_L)
    open_L = close_L * opening_L / closing_L
    mean_price_LN = (simulation.open_LN + simulation.high_LN + simulation.low_LN + simulation.close_LN) / 4
    return pd.DataFrame(
        {
            "open": open_L,
            "high": np.maximum(open_L, close_L),
            "low": np.minimum(open_L, close_L),
            "close": close_L,
            "volume": np.nansum(np.where(is_member_LN, simulation.volume_LN, 0.0), axis=1),
            "amount": np.nansum(np.where(is_member_LN, simulation.volume_LN * mean_price_LN, 0.0), axis=1),
        },
        index=calendar,
    )
