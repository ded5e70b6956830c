"""The small market that tests of every part read."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

if TYPE_CHECKING:
    from kronos_lab.data.market import Market

SESSIONS, KNOWN_FUTURE = 400, 30
FIRST_SESSION = "2023-07-03"
SYMBOLS = [f"SH6000{n:02d}" for n in range(40)]
LATE_LISTING, DELISTED, SUSPENDED, JOINER, LEAVER, LIMIT_UP_OPEN = SYMBOLS[3:9]
INDICES = ("SH000300", "SH000905", "SH000906", "SH000852")


def write_small_market(folder: Path, seed: int = 7) -> Path:
    """40 stocks × 400 sessions from 2023-07-03 (to 2025-01-10), 30 known sessions after them, 4 indices.

    csi300 holds the first 15 symbols, csi500 the next 15, csi800 both, csi1000 the last 10. By position in the
    calendar: `LATE_LISTING` is listed at 250, `DELISTED` trades to 349, `SUSPENDED` rests 150..155 and 330..332,
    `JOINER` moves from csi500 to csi300 at 200 and `LEAVER` back, `LIMIT_UP_OPEN` opens at its upper limit at 300.
    Limits are ±10 % of the reference close in whole ticks; every fifth stock pays a dividend (2 %) at 120 and splits
    2 for 1 at 260.
    """
    from kronos_lab.data.store import StoreWriter

    rng = np.random.default_rng(seed)
    stamps = pd.bdate_range(FIRST_SESSION, periods=SESSIONS + KNOWN_FUTURE)
    calendar, future = stamps[:SESSIONS], stamps[SESSIONS:]
    market_L = rng.normal(0.0003, 0.01, SESSIONS)
    change_LN = np.empty((SESSIONS, len(SYMBOLS)))
    with StoreWriter(folder, calendar, future) as writer:
        for n, symbol in enumerate(SYMBOLS):
            frame = _small_stock(
                rng, market_L, calendar, has_ex_rights=n % 5 == 0, opens_at_limit=symbol == LIMIT_UP_OPEN
            )
            change_LN[:, n] = frame["change"].fillna(0)
            suspended = [*range(150, 156), *range(330, 333)] if symbol == SUSPENDED else []
            first = 250 if symbol == LATE_LISTING else 0
            last = 350 if symbol == DELISTED else SESSIONS
            writer.add(symbol, frame.iloc[first:last].drop(calendar[suspended]))
        level_L = 3000 * np.cumprod(1 + change_LN.mean(axis=1))
        for index in INDICES:
            prices = dict.fromkeys(("open", "high", "low", "close"), level_L)
            writer.add(index, pd.DataFrame({**prices, "volume": 1e8, "amount": 1e9}, index=calendar))
        for universe, rows in _small_memberships(calendar, future[-1]).items():
            writer.add_spans(universe, pd.DataFrame(rows, columns=["symbol", "start", "end"]))
        return writer.finish({"name": "small", "made_by": "tests/conftest.py", "indices": list(INDICES)})


def _small_stock(
    rng: np.random.Generator,
    market_L: np.ndarray,
    calendar: pd.DatetimeIndex,
    has_ex_rights: bool,
    opens_at_limit: bool,
) -> pd.DataFrame:
    """One stock over the whole calendar: raw prices in ticks of 0.01 inside the limits, stored adjusted."""
    step = np.ones(SESSIONS)  # factor of the session / factor of the one before
    if has_ex_rights:
        step[120], step[260] = 1 / 0.98, 2.0
    factor = np.cumprod(step)
    raw = np.empty((SESSIONS, 7))  # open, high, low, close, limit_up, limit_down, reference
    close = np.round(rng.uniform(8, 40), 2)
    for t in range(SESSIONS):
        reference = np.round(close / step[t], 2)
        up, down = np.round(reference * 1.1, 2), np.round(reference * 0.9, 2)
        gap, body = rng.normal(0, 0.004), market_L[t] + rng.normal(0, 0.015)
        open_ = up if opens_at_limit and t == 300 else np.clip(np.round(reference * (1 + gap), 2), down, up)
        close = np.clip(np.round(open_ * (1 + body), 2), down, up)
        high, low = max(open_, close) * (1 + rng.exponential(0.004)), min(open_, close) * (1 - rng.exponential(0.004))
        raw[t] = (
            open_,
            np.clip(np.round(high, 2), None, up),
            np.clip(np.round(low, 2), down, None),
            close,
            up,
            down,
            reference,
        )
    shares = np.round(rng.lognormal(13, 0.4, SESSIONS), -2)
    columns = ["open", "high", "low", "close", "limit_up", "limit_down"]
    frame = pd.DataFrame(raw[:, :6] * factor[:, None], index=calendar, columns=columns)
    frame["volume"] = shares / factor
    frame["amount"] = shares * raw[:, :4].mean(axis=1)
    frame["factor"] = factor
    frame["change"] = raw[:, 3] / raw[:, 6] - 1
    frame.loc[calendar[0], "change"] = np.nan  # no session before it
    return frame


def _small_memberships(calendar: pd.DatetimeIndex, last: pd.Timestamp) -> dict[str, list[tuple]]:
    """Rows (symbol, start, end) of every universe but `all`, which the writer makes."""
    first, before, turn = calendar[0], calendar[199], calendar[200]
    whole = {symbol: (symbol, first, last) for symbol in SYMBOLS}
    stay = [symbol for symbol in SYMBOLS if symbol not in (JOINER, LEAVER)]
    csi300, csi500, csi1000 = SYMBOLS[:15], SYMBOLS[15:30], SYMBOLS[30:]
    return {
        "csi300": [*(whole[s] for s in csi300 if s in stay), (JOINER, turn, last), (LEAVER, first, before)],
        "csi500": [*(whole[s] for s in csi500 if s in stay), (JOINER, first, before), (LEAVER, turn, last)],
        "csi800": [whole[s] for s in csi300 + csi500],
        "csi1000": [whole[s] for s in csi1000],
    }


@pytest.fixture(scope="session")
def small_market(tmp_path_factory: pytest.TempPathFactory) -> "Market":
    from kronos_lab.data.market import Market

    folder = tmp_path_factory.mktemp("markets")
    return Market(write_small_market(folder / "small market"), cache=folder / "cache")
