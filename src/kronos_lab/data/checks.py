"""Checks of single bars, and the record of everything an import found: which row, which check, what was done.

A table of bars has the columns `BAR_COLUMNS` (raw prices in currency per share, volume in shares, factor) and perhaps
`amount`, sorted by symbol and stamp. Checks look at whole columns at once; what they reject leaves the table, what
they repair is changed in it, and either way the row is recorded in `Findings`. Checks that need a bar's neighbours or
another symbol are in `factor_checks` and `code_checks`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from kronos_lab.data.bars import PRICES, amount_from_volume

BAR_COLUMNS = ("symbol", "stamp", *PRICES, "volume", "factor")
FINDING_COLUMNS = ("symbol", "date", "check", "action", "detail")

# rejected: the row is not in the store. repaired: it is, changed. suspended: no trade, NaN in the store.
# kept: unusual and unchanged, because there is a known cause or no proof of an error.
Action = Literal["rejected", "repaired", "suspended", "kept"]


@dataclass(frozen=True)
class Thresholds:
    """When a check speaks. The defaults are for A-shares and live nowhere else.

    Attributes:
        range_slack: open or close outside [low, high] by at most this fraction is rounding: the range is widened.
            By more, the row is rejected.
        limit_slack: fraction of the reference close (and one tick) by which a price may pass the day's limit before
            the move counts as impossible.
        open_market_move: the "limit" where no rule gives one: a move beyond × (1 + this) or ÷ (1 + this).
        smallest_step: relative change of the factor that counts as one; below it lies float32 rounding.
        longest_slip: sessions a factor may come too early, too late, or be wrong for, and still be put right.
        resumption_sessions: a stock that did not trade for more sessions than this may move without limit when it
            comes back (relisting, share reform, restructuring).
        whole_tick_share: where at least this share of all factor steps gives a reference close of whole ticks, the
            vendor's factors come from the exchange's reference prices, and a step that does not is an error.
        identical_bars: two symbols with at least this many identical traded bars are one stock under two codes.
        handover_sessions: sessions between the last bar of an old code and the first of a new one.
    """

    range_slack: float = 0.002
    limit_slack: float = 0.005
    open_market_move: float = 1.0
    smallest_step: float = 5e-5
    longest_slip: int = 5
    resumption_sessions: int = 20
    whole_tick_share: float = 0.99
    identical_bars: int = 20
    handover_sessions: int = 10


class Findings:
    """The record of an import: one line per row that was rejected, repaired, set to suspended, or kept in spite."""

    def __init__(self) -> None:
        self._parts: list[pd.DataFrame] = []

    def add(self, bars: pd.DataFrame, rows: np.ndarray, check: str, action: Action, detail: str | list[str]) -> None:
        """Record rows of `bars` (bool mask or positions); `detail` is one text for all of them, or one for each."""
        positions = np.flatnonzero(rows) if rows.dtype == bool else rows
        if not len(positions):
            return
        self._parts.append(
            pd.DataFrame(
                {
                    "symbol": np.asarray(bars["symbol"].iloc[positions], dtype=object),
                    "date": bars["stamp"].to_numpy()[positions],
                    "check": check,
                    "action": action,
                    "detail": detail,
                }
            )
        )

    def frame(self) -> pd.DataFrame:
        """All findings, columns `FINDING_COLUMNS`, sorted by symbol and date."""
        if not self._parts:
            return pd.DataFrame(columns=list(FINDING_COLUMNS))
        found = pd.concat(self._parts, ignore_index=True)
        return found.sort_values(["symbol", "date", "check"], kind="stable", ignore_index=True)


def check_rows(bars: pd.DataFrame, thresholds: Thresholds, findings: Findings) -> pd.DataFrame:
    """Traded, sound bars of a table: single rows are rejected or repaired, rows without a trade leave as suspended.

    In this order, a row being judged by the first check that applies:

    - `duplicate`: a second row of one symbol and stamp. An identical one is rejected; where the rows differ nobody
      can tell which is right, so all of them are.
    - `no_trade`: no volume, and prices flat, zero or empty: the vendor's way to fill a suspended session.
    - `missing_value`, `non_positive_price`, `bad_volume` (negative, infinite, or none although prices moved),
      `bad_factor` (empty or not positive), `high_below_low`: rejected.
    - `outside_range`: open or close outside [low, high]: repaired within `range_slack`, else rejected.
    - `missing_amount`: no amount although there is volume: repaired, volume · mean price.

    Args:
        bars: columns `BAR_COLUMNS` and perhaps `amount`, sorted by symbol and stamp.
        thresholds: see there.
        findings: receives one line per row touched.

    Returns:
        The rows left, under the index labels they had.
    """
    bars = _reject(bars, bars.duplicated(), findings, "duplicate", "the same row again")
    bars = _reject(
        bars,
        bars.duplicated(["symbol", "stamp"], keep=False),
        findings,
        "duplicate",
        lambda row: f"rows of one stamp differ, this one closes at {row['close']:.8g}",
    )

    prices = bars[list(PRICES)].to_numpy()
    volume = bars["volume"].to_numpy()
    absent = np.isnan(prices[:, :3]) | (prices[:, :3] == 0)  # some vendors leave only the close
    flat = (prices == prices[:, :1]).all(axis=1)
    suspended = ((volume == 0) | np.isnan(volume)) & (flat | absent.all(axis=1))
    findings.add(bars, suspended, "no_trade", "suspended", "no volume, flat or empty prices")
    bars = bars[~suspended]

    required = [*PRICES, "volume"]
    bars = _reject(
        bars,
        bars[required].isna().any(axis=1),
        findings,
        "missing_value",
        lambda row: "empty: " + ", ".join(name for name in required if pd.isna(row[name])),
    )
    bars = _reject(
        bars,
        ~_positive(bars, *PRICES),
        findings,
        "non_positive_price",
        lambda row: "open {open:.8g}, high {high:.8g}, low {low:.8g}, close {close:.8g}".format(**row),
    )
    bars = _reject(
        bars,
        ~_positive(bars, "volume"),
        findings,
        "bad_volume",
        lambda row: f"volume {row['volume']:.8g} with prices {row['low']:.8g} to {row['high']:.8g}",
    )
    bars = _reject(
        bars,
        ~_positive(bars, "factor"),
        findings,
        "bad_factor",
        lambda row: f"factor {row['factor']:.8g}",
    )
    bars = _reject(
        bars,
        bars["high"] < bars["low"],
        findings,
        "high_below_low",
        lambda row: f"high {row['high']:.8g} < low {row['low']:.8g}",
    )
    return _check_amount(_check_range(bars, thresholds, findings), findings)


def _positive(bars: pd.DataFrame, *columns: str) -> np.ndarray:
    """Rows in which all of these columns hold a number above 0; NaN and infinity are none."""
    values = bars[list(columns)].to_numpy()
    return np.asarray(((values > 0) & np.isfinite(values)).all(axis=1))


def _reject(
    bars: pd.DataFrame,
    wrong: pd.Series | np.ndarray,
    findings: Findings,
    check: str,
    detail: str | Callable[[dict], str],
) -> pd.DataFrame:
    mask = np.asarray(wrong)
    if not mask.any():
        return bars
    text = detail if isinstance(detail, str) else [detail(row) for row in bars[mask].to_dict("records")]
    findings.add(bars, mask, check, "rejected", text)
    return bars[~mask]


def _check_range(bars: pd.DataFrame, thresholds: Thresholds, findings: Findings) -> pd.DataFrame:
    """Open and close lie in [low, high], or the range is widened, or the row goes."""
    open_close, high, low = bars[["open", "close"]].to_numpy(), bars["high"].to_numpy(), bars["low"].to_numpy()
    top, bottom = open_close.max(axis=1), open_close.min(axis=1)
    excess = np.maximum(top / high, low / bottom) - 1
    outside, slight = excess > 0, (excess > 0) & (excess <= thresholds.range_slack)
    if not outside.any():
        return bars

    def describe(row: dict) -> str:
        return "open {open:.8g} or close {close:.8g} outside [{low:.8g}, {high:.8g}]".format(**row)

    widened = [describe(row) + ": range widened" for row in bars[slight].to_dict("records")]
    findings.add(bars, slight, "outside_range", "repaired", widened)
    bars = bars.assign(
        high=np.where(slight, np.maximum(high, top), high), low=np.where(slight, np.minimum(low, bottom), low)
    )
    return _reject(bars, outside & ~slight, findings, "outside_range", describe)


def _check_amount(bars: pd.DataFrame, findings: Findings) -> pd.DataFrame:
    """A traded bar has an amount, if the source gives amounts at all."""
    if "amount" not in bars:
        return bars
    wrong = ~_positive(bars, "amount")
    if not wrong.any():
        return bars
    findings.add(bars, wrong, "missing_amount", "repaired", "volume · mean of the four prices")
    estimate = amount_from_volume(*(bars[name].to_numpy() for name in (*PRICES, "volume")))
    return bars.assign(amount=np.where(wrong, estimate, bars["amount"]))
