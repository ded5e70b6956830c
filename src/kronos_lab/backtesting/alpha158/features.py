"""Alpha158: 158 figures of a bar and of at most 60 bars before it, as qlib defines and computes them.

L stamps of the calendar, N symbols, R rows (a symbol on a stamp), by stamp and then by symbol.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from kronos_lab.data.market import Market


class Vwap(NamedTuple):
    """The volume-weighted average price of a bar, which one of the 158 is made of.

    Attributes:
        expression: in qlib's language, adjusted as prices are.
        meaning: the same in words.
    """

    expression: str
    meaning: str


def vwap(market: Market) -> Vwap:
    """As the store has it; else amount / volume; else the mean of the four prices, where the amount is made of it."""
    if market.has_field("vwap"):
        return Vwap("$vwap", "vwap as stored")
    if market.has_field("amount") and "amount" not in market.description.get("derived", []):
        # The volume is adjusted (by one over the factor), the amount is not: their ratio is an adjusted price.
        return Vwap("($amount/$volume)", "vwap = amount / volume")
    return Vwap("(($open+$high+$low+$close)/4)", "no amounts in the store: for vwap the mean of the four prices")


def alpha158(market: Market, row_LN: pd.DataFrame, description: str) -> pd.DataFrame:
    """The features of chosen bars, which no later bar has a part in.

    Args:
        market: where the bars are.
        row_LN: whether a row is wanted, bool, stamps × symbols.
        description: of the progress bar.

    Returns:
        [R, 158] float32, index (datetime, instrument), columns by qlib's names; NaN where a figure needs bars that
        are not there, in a whole row where nothing is known.
    """
    from qlib.contrib.data.loader import Alpha158DL
    from qlib.data import D
    from rich.progress import Progress

    expressions, names = Alpha158DL.get_feature_config()
    expressions = [expression.replace("$vwap", vwap(market).expression) for expression in expressions]
    wanted_LN = row_LN.to_numpy()
    number_LN = np.cumsum(wanted_LN.ravel()).reshape(wanted_LN.shape) - 1  # of a wanted row
    values_RF = np.full((int(wanted_LN.sum()), len(names)), np.nan, dtype=np.float32)
    market.serve_qlib()
    with Progress(transient=True) as progress:
        for n, symbol in enumerate(progress.track(row_LN.columns, description=description)):
            wanted_L = wanted_LN[:, n]
            stamps = row_LN.index[wanted_L]
            if len(stamps):
                known = D.features([symbol], expressions, stamps[0], stamps[-1], freq=market.freq)
                known = known.droplevel("instrument").reindex(stamps)
                values_RF[number_LN[wanted_L, n]] = known.to_numpy(dtype=np.float32)
    at_L, at_N = np.nonzero(wanted_LN)
    index = pd.MultiIndex.from_arrays([row_LN.index[at_L], row_LN.columns[at_N]], names=["datetime", "instrument"])
    return pd.DataFrame(values_RF, index=index, columns=names)
