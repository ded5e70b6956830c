"""The picture of one forecast: history, mean path, band of paths, and what happened where it is known."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from kronos_lab.data.bars import FIELDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HISTORY, TRUTH, FORECAST = "#5f6b7a", "#1f5fbf", "#c62828"
BAND = (0.05, 0.95)  # quantiles of the paths
_CLOSE, _VOLUME = FIELDS.index("close"), FIELDS.index("volume")


def forecast_figure(
    title: str, history: pd.DataFrame, paths_PHF: np.ndarray, stamps: pd.DatetimeIndex, truth: pd.DataFrame
) -> "Figure":
    """Close above, volume below, against the number of the bar (nights and holidays take no room).

    Args:
        title: above the picture.
        history: past bars, indexed by stamp; the last ones are shown, twice as many as are forecast and at least 60.
        paths_PHF: sampled futures, fields in the order of `FIELDS`.
        stamps: their H stamps.
        truth: bars at those stamps as far as they are known, in order; may be empty.
    """
    from matplotlib.figure import Figure

    horizon = len(stamps)
    history = history.iloc[-max(60, 2 * horizon) :]
    figure = Figure(figsize=(11, 6), layout="constrained")
    price, volume = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    past, future = np.arange(-len(history), 0), np.arange(horizon)

    for axes, field, name in ((price, _CLOSE, "close"), (volume, _VOLUME, "volume")):
        last = history[name].iloc[-1:].to_numpy()
        axes.plot(past, history[name], color=HISTORY, linewidth=1.2, label="history")
        if len(paths_PHF) > 1:
            low, high = np.quantile(paths_PHF[:, :, field], BAND, axis=0)
            band = f"{BAND[0]:.0%}–{BAND[1]:.0%} of {len(paths_PHF)} paths"
            axes.fill_between(future, low, high, color=FORECAST, alpha=0.15, linewidth=0, label=band)
        if len(truth):
            known = np.concatenate((last, truth[name]))
            axes.plot(np.arange(-1, len(truth)), known, color=TRUTH, linewidth=1.4, label="what happened")
        mean = np.concatenate((last, paths_PHF[:, :, field].mean(axis=0)))
        axes.plot(np.arange(-1, horizon), mean, color=FORECAST, linewidth=1.6, label="forecast (mean of paths)")
        axes.axvline(-0.5, color="0.6", linewidth=0.8, linestyle=":")
        axes.set_ylabel(name)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)

    all_stamps = pd.DatetimeIndex(history.index.append(stamps))
    ticks = np.linspace(0, len(all_stamps) - 1, 7).round().astype(int)
    intraday = bool((all_stamps != all_stamps.normalize()).any())
    text = all_stamps[ticks].strftime("%Y-%m-%d\n%H:%M" if intraday else "%Y-%m-%d")
    volume.set_xticks(ticks - len(history), text)
    price.set_title(title, loc="left")
    price.legend(loc="best", frameon=False, fontsize=9)
    return figure
