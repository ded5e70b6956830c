"""Single forecasts beside what happened: the highest score of a day, the lowest, and one drawn by lot."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kronos_lab.backtesting.forecasts.forecast_shards import read_forecasts
from kronos_lab.data.bars import FIELDS, PRICES
from kronos_lab.data.market import Market
from kronos_lab.forecasting.picture import ForecastCase, forecasts_figure

PARTS_OF_RANGE = (0.5, 1.0)  # which days are drawn: the middle and the last of those whose horizon is over
LEAST_NAMES = 3  # to have a highest, a lowest and one between them
PAST_BARS = 60


def fans_figure(
    market: Market, turns: Sequence[Sequence[Path]], score_LN: pd.DataFrame, horizon: int, seed: int
) -> Figure | None:
    """Fans of sampled closes and K-lines of what came; None where no horizon is over yet.

    Args:
        market: where the bars are.
        turns: folders of the forecasts, those whose paths are pooled, for each stretch of days.
        score_LN: what was traded, to choose from.
        horizon: bars forecast.
        seed: of the lot.
    """
    last_day = market.calendar[max(0, len(market.calendar) - 1 - horizon)]
    days = score_LN.index[(score_LN.index <= last_day) & (score_LN.notna().sum(axis=1) >= LEAST_NAMES)]
    if not len(days):
        return None
    chosen = {days[int(part * (len(days) - 1))] for part in PARTS_OF_RANGE}
    picks = [pick for day in sorted(chosen) for pick in _picks(day, score_LN.loc[day].dropna(), seed)]
    cases = [_case(market, turns, title, symbol, day, horizon) for title, symbol, day in picks]
    return forecasts_figure("Single forecasts, and what happened", cases)


def _picks(day: pd.Timestamp, score_N: pd.Series, seed: int) -> list[tuple[str, str, pd.Timestamp]]:
    """Title, symbol and day of the names that are drawn."""
    ordered = list(score_N.sort_values(kind="stable").index)
    by_lot = ordered[1 + int(np.random.default_rng([seed, day.toordinal()]).integers(len(ordered) - 2))]
    named = {"highest score": ordered[-1], "lowest score": ordered[0], "by lot": by_lot}
    return [(f"{symbol}, {day:%Y-%m-%d}, {what}", symbol, day) for what, symbol in named.items()]


def _case(
    market: Market, turns: Sequence[Sequence[Path]], title: str, symbol: str, day: pd.Timestamp, horizon: int
) -> ForecastCase:
    position = int(market.calendar.searchsorted(day))
    bars = market.wide(list(PRICES), [symbol])
    known = pd.DataFrame({field: bars[field][symbol] for field in PRICES})
    stamps = market.calendar[position + 1 : position + 1 + horizon]
    (close_PH,) = (paths for turn in turns if (paths := _close_paths(turn, symbol, day)) is not None)
    paths_PHF = np.full((*close_PH.shape, len(FIELDS)), np.nan, np.float32)
    paths_PHF[..., FIELDS.index("close")] = close_PH
    history = known.iloc[: position + 1].dropna(subset="close").iloc[-PAST_BARS:]
    return ForecastCase(title, history, paths_PHF, stamps, known.loc[stamps])


def _close_paths(folders: Sequence[Path], symbol: str, day: pd.Timestamp) -> np.ndarray | None:
    """Sampled closes [P, H] of one series, pooled; None where it is not forecast there."""
    only = [("symbol", "=", symbol), ("date", "=", day)]
    found_PH = [
        close_PH
        for folder in folders
        for shard in read_forecasts(folder, ("close",), only)
        for close_PH in shard.paths["close"]
    ]
    return np.concatenate(found_PH) if found_PH else None
