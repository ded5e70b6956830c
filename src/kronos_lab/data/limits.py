"""Daily price limits of A-shares: the rate by board and date, the reference close, and the limit prices.

Sources: trading rules of the Shanghai, Shenzhen and Beijing exchanges. Stocks under special treatment (ST) have a limit
of 5 % on the main boards, since there is such treatment (1998-04-22), and that of their board on STAR and ChiNext; bars
do not tell which stocks those are, so where nobody else does they get the limit of their board. That the exchanges have
talked since 2025 of 10 % for them is not reckoned with. The first session after listing, which has limits of its own
before 2023-04-10 (44 %), has none here because its reference, the issue price, is not among the bars. Instruments that
are no A-shares have no limits.
"""

import re
from enum import IntEnum

import numpy as np
import pandas as pd

TICKS_PER_YUAN = 100  # the smallest price step of every A-share is 0.01 yuan
FLOAT32_HALF_ULP = float(np.finfo(np.float32).eps) / 2
FREE_SESSIONS = 5  # sessions without limits after a listing under the registration regime

_A_SHARE = re.compile(r"(?:SH6[08]\d{4}|SZ[03]0\d{4}|BJ\d{6})")
_NEVER = np.datetime64("2262-01-01")


class Board(IntEnum):
    """Board of a stock, as its code tells; NONE is everything that is no A-share (indices, funds, other markets)."""

    NONE = 0
    MAIN = 1
    STAR = 2
    CHINEXT = 3
    BEIJING = 4


# Indexed by Board. The rate as a fraction of the reference close, and the first listing day of the regime under
# which a new stock trades FREE_SESSIONS sessions without limits.
_RATE = np.array([np.nan, 0.10, 0.20, 0.20, 0.30])
_FREE_SINCE = np.array(
    [_NEVER, np.datetime64("2023-04-10"), np.datetime64("2019-07-22"), np.datetime64("2020-08-24"), _NEVER]
)
_MAIN_RATE_OF_ST = 0.05
_CHINEXT_REFORM, _CHINEXT_RATE_BEFORE = np.datetime64("2020-08-24"), 0.10


def board_of(symbol: str) -> Board:
    """Board of a symbol in qlib's spelling (`SH600000`, any case)."""
    code = symbol.upper()
    if not _A_SHARE.fullmatch(code):
        return Board.NONE
    return {"SH60": Board.MAIN, "SH68": Board.STAR, "SZ00": Board.MAIN, "SZ30": Board.CHINEXT}.get(
        code[:4], Board.BEIJING
    )


def limit_rates(boards: np.ndarray, days: np.ndarray, st: np.ndarray | bool = False) -> np.ndarray:
    """Limit rate of each row, a fraction of the reference close; NaN where the board knows none.

    Args:
        boards: `Board` values, int [R].
        days: datetime64 [R].
        st: whether the stock is under special treatment that day, bool [R]; False where that is not known.
    """
    before_reform = (boards == Board.CHINEXT) & (days < _CHINEXT_REFORM)
    rates = np.where(before_reform, _CHINEXT_RATE_BEFORE, _RATE[boards])
    return np.where((boards == Board.MAIN) & st, _MAIN_RATE_OF_ST, rates)


def is_free_session(boards: np.ndarray, listed: np.ndarray, age: np.ndarray) -> np.ndarray:
    """Whether a row belongs to the first sessions after a listing, which trade without limits: bool [R].

    Args:
        boards: `Board` values, int [R].
        listed: datetime64 [R], the listing day of the row's stock; NaT where it was listed before the data begin.
        age: int [R], sessions the stock traded before this one.
    """
    with np.errstate(invalid="ignore"):
        registered = listed >= _FREE_SINCE[boards]  # False for NaT
    return ~np.isnat(listed) & ((age == 0) | (registered & (age < FREE_SESSIONS)))


def reference_close(previous_close: np.ndarray, previous_factor: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Raw close of the previous session, adjusted for ex-rights: close · previous factor / factor, in whole ticks."""
    return _to_tick(previous_close * previous_factor / factor)


def limit_prices(reference: np.ndarray, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Raw limit-up and limit-down prices: reference · (1 ± rate), rounded half up to whole ticks; NaN rate, NaN."""
    return _to_tick(reference * (1 + rates)), _to_tick(reference * (1 - rates))


def raw_from_float32(prices: np.ndarray, rounding: float = FLOAT32_HALF_ULP) -> np.ndarray:
    """The price that was meant by a float32: 15.88 stored as 15.880000114 becomes 15.88 again, float64.

    Only a price within `rounding` (relative) of a whole tick is moved, everything else stays. It makes
    `raw open == raw limit` exact, and with it the comparison of both after · factor and the cast to float32.
    """
    prices = prices.astype(np.float64)
    ticks = _to_tick(prices)
    return np.where(np.abs(prices - ticks) <= rounding * prices, ticks, prices)


def adjusted_limits(
    symbol: str,
    days: pd.DatetimeIndex,
    close: np.ndarray,
    factor: np.ndarray,
    listed: bool,
    st: np.ndarray | bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Adjusted limit-up and limit-down of one stock's traded daily bars, float64 [T] each, NaN where there is none.

    Args:
        symbol: qlib's spelling; no A-share, no limits.
        days: the traded sessions, in order, [T].
        close: raw close (yuan), [T].
        factor: adjusted price = raw · factor, [T].
        listed: whether the first bar is the stock's listing (False: it was listed before the data begin).
        st: see `limit_rates`, [T].
    """
    previous_close, previous_factor = (np.r_[np.nan, values[:-1]] for values in (close, factor))
    boards = np.full(len(days), board_of(symbol), dtype=np.int64)
    day_values = days.to_numpy().astype("datetime64[D]")
    listing = np.full(len(days), day_values[0] if listed and len(days) else np.datetime64("NaT"))
    rates = limit_rates(boards, day_values, st)
    rates[is_free_session(boards, listing, np.arange(len(days)))] = np.nan
    up, down = limit_prices(reference_close(previous_close, previous_factor, factor), rates)
    return up * factor, down * factor


def _to_tick(prices: np.ndarray) -> np.ndarray:
    """Round half up to whole ticks; the 1e-6 of a tick keeps a half that floats put just below it."""
    return np.floor(prices * TICKS_PER_YUAN + 0.5 + 1e-6) / TICKS_PER_YUAN
