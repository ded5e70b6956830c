"""Raw and adjusted: from what a source gives to raw prices with a factor, and from those to the store's fields."""

import numpy as np
import pandas as pd

from kronos_lab.data.bars import PRICES
from kronos_lab.data.limits import adjusted_limits, raw_from_float32

TWO_FLOAT32_ROUNDINGS = 2.4e-7  # an adjusted price and a factor, each stored as float32


def to_raw(rows: pd.DataFrame, adjusted: bool, shares_per_unit: int) -> pd.DataFrame:
    """Raw prices, raw volume in shares, and a factor (1 where the source has none).

    Args:
        rows: prices and volume as in the source, perhaps factor.
        adjusted: whether price · factor and volume / factor were done already. Without a factor there is no way
            back: the prices stay what they are, and count as raw with factor 1.
        shares_per_unit: shares per unit of the source's volume.
    """
    rows = rows.assign(volume=rows["volume"] * shares_per_unit)
    if "factor" not in rows:
        return rows.assign(factor=1.0)
    if not adjusted:
        return rows
    factor = rows["factor"].where(rows["factor"] > 0, 1.0).to_numpy()  # the rest is rejected as bad_factor
    raw = {name: raw_from_float32(rows[name].to_numpy() / factor, TWO_FLOAT32_ROUNDINGS) for name in PRICES}
    return rows.assign(**raw, volume=rows["volume"] * factor)


def store_frame(symbol: str, bars: pd.DataFrame, listed: bool, with_limits: bool) -> pd.DataFrame:
    """The store's fields of one symbol's bars, float64, indexed by stamp.

    The reference close of `change` and of the limits is the last close of the session before, also for minute bars.
    A price at its raw limit equals the adjusted limit exactly, in float64 and after the cast to float32, because
    both are the same raw number times the same factor.

    Args:
        symbol: decides on the limits.
        bars: raw prices, raw volume, factor, perhaps amount and st (bool: under special treatment that session);
            sorted by stamp, traded bars only.
        listed: whether the first bar is the stock's listing (False: it was listed before).
        with_limits: whether the store has limits; a symbol that knows none gets NaN.
    """
    factor = bars["factor"].to_numpy()
    frame = pd.DataFrame({name: bars[name].to_numpy() * factor for name in PRICES})
    frame["volume"] = bars["volume"].to_numpy() / factor
    if "amount" in bars:
        frame["amount"] = bars["amount"].to_numpy()
    frame["factor"] = factor
    if "st" in bars:
        frame["st"] = bars["st"].to_numpy().astype(np.float64)

    day = bars["stamp"].to_numpy().astype("datetime64[D]")
    days, first_bar, bars_in = np.unique(day, return_index=True, return_counts=True)
    last_bar = first_bar + bars_in - 1
    close = bars["close"].to_numpy()[last_bar]
    session_factor = factor[last_bar]
    reference = np.r_[np.nan, (close * session_factor)[:-1]]
    frame["change"] = frame["close"].to_numpy() / np.repeat(reference, bars_in) - 1
    if with_limits:
        st = bars["st"].to_numpy()[first_bar] if "st" in bars else False
        limits = adjusted_limits(symbol, pd.DatetimeIndex(days), close, session_factor, listed, st)
        frame["limit_up"], frame["limit_down"] = (np.repeat(limit, bars_in) for limit in limits)
    return frame.set_axis(pd.DatetimeIndex(bars["stamp"].to_numpy()), axis=0)
