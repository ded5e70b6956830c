"""A market of 40 stocks with everything that can happen to one, for tests of every part."""

from pathlib import Path

import numpy as np
import pandas as pd

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
    Limits are ±10 % of the reference close in whole ticks, from the second bar on; every fifth stock pays a dividend
    (2 %) at 120 and splits 2 for 1 at 260.
    """
    from kronos_lab.data.store import StoreWriter

    rng = np.random.default_rng(seed)
    stamps = pd.bdate_range(FIRST_SESSION, periods=SESSIONS + KNOWN_FUTURE)
    calendar, future = stamps[:SESSIONS], stamps[SESSIONS:]
    market_L = rng.normal(0.0003, 0.01, SESSIONS)
    change_LN = np.zeros((SESSIONS, len(SYMBOLS)))
    with StoreWriter(folder, calendar, future) as writer:
        for n, symbol in enumerate(SYMBOLS):
            traded = np.arange(250 if symbol == LATE_LISTING else 0, 350 if symbol == DELISTED else SESSIONS)
            if symbol == SUSPENDED:
                traded = np.setdiff1d(traded, [*range(150, 156), *range(330, 333)])
            ex_rights = {120: 1 / 0.98, 260: 2.0} if n % 5 == 0 else {}
            limit_open = 300 if symbol == LIMIT_UP_OPEN else None
            frame = _small_stock(rng, market_L, traded, ex_rights, limit_open).set_index(calendar[traded])
            change_LN[traded, n] = frame["change"].fillna(0)
            writer.add(symbol, frame)
        level_L = 3000 * np.cumprod(1 + change_LN.mean(axis=1))
        for index in INDICES:
            prices = dict.fromkeys(("open", "high", "low", "close"), level_L)
            writer.add(index, pd.DataFrame({**prices, "volume": 1e8, "amount": 1e9}, index=calendar))
        for universe, rows in _small_memberships(calendar, future[-1]).items():
            writer.add_spans(universe, pd.DataFrame(rows, columns=["symbol", "start", "end"]))
        return writer.finish({"name": "small", "made_by": "tests/small_market_store.py", "indices": list(INDICES)})


def _small_stock(
    rng: np.random.Generator,
    market_L: np.ndarray,
    traded: np.ndarray,
    ex_rights: dict[int, float],
    limit_open: int | None,
) -> pd.DataFrame:
    """One stock's traded sessions: raw prices in ticks of 0.01 inside the limits, stored adjusted."""
    from kronos_lab.data.limits import limit_prices

    rows = []
    close, factor = float(np.round(rng.uniform(8, 40), 2)), 1.0
    for t in traded:
        before, reference = close * factor, np.round(close / ex_rights.get(t, 1.0), 2)
        factor *= close / reference
        up, down = (float(limit) for limit in limit_prices(reference, np.float64(0.1)))
        gap, body, above, below = rng.normal([0, market_L[t], 0, 0], [0.004, 0.015, 0.004, 0.004])
        open_ = up if t == limit_open else reference * (1 + gap)
        close = open_ * (1 + body)
        high, low = max(open_, close) * (1 + abs(above)), min(open_, close) * (1 - abs(below))
        open_, high, low, close = np.clip(np.round([open_, high, low, close], 2), down, up)
        shares = np.round(rng.lognormal(13, 0.4), -2)
        amount, change = shares * np.mean([open_, high, low, close]), close * factor / before - 1
        prices = np.array([open_, high, low, close, up, down]) * factor
        rows.append((*prices, shares / factor, amount, factor, change))
    columns = ["open", "high", "low", "close", "limit_up", "limit_down", "volume", "amount", "factor", "change"]
    frame = pd.DataFrame(rows, columns=columns)
    frame.loc[0, ["change", "limit_up", "limit_down"]] = np.nan  # nothing before it to measure from
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
