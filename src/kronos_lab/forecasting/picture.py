"""Pictures of forecasts: K-lines of the past, a fan of sampled closes, and what happened where it is known.

Bars are drawn against their number: nights, holidays and suspensions take no room.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from kronos_lab.data.bars import FIELDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HISTORY, TRUTH, FORECAST = "#5f6b7a", "#1f5fbf", "#c62828"
BAND = (0.05, 0.95)  # quantiles of the paths
INNER_BAND = (0.25, 0.75)
MOST_COLUMNS = 3
_CLOSE, _VOLUME = FIELDS.index("close"), FIELDS.index("volume")


class ForecastCase(NamedTuple):
    """One forecast to draw.

    Attributes:
        title: above it.
        history: past bars, columns `FIELDS`, indexed by stamp.
        paths_PHF: sampled futures, fields in the order of `FIELDS`.
        stamps: their H stamps.
        truth: bars at the first of those stamps, as far as they are known; NaN where there is no bar; may be empty.
    """

    title: str
    history: pd.DataFrame
    paths_PHF: np.ndarray
    stamps: pd.DatetimeIndex
    truth: pd.DataFrame


def forecast_figure(case: ForecastCase) -> "Figure":
    """One forecast: prices above, volume below; twice as many past bars as are forecast, and at least 60."""
    from matplotlib.figure import Figure

    case = _last_bars(case, max(60, 2 * len(case.stamps)))
    figure = Figure(figsize=(11, 6), layout="constrained")
    price, volume = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    _draw_prices(price, case)
    _draw_volume(volume, case)
    _label_stamps(volume, case, 7)
    price.set_title(case.title, loc="left")
    price.set_ylabel("price")
    price.legend(loc="best", frameon=False, fontsize=9)
    return figure


def forecasts_figure(title: str, cases: list[ForecastCase]) -> "Figure":
    """Several forecasts side by side, prices only; three times as many past bars as are forecast, 24 to 60."""
    from matplotlib.figure import Figure

    columns = min(MOST_COLUMNS, len(cases))
    rows = -(-len(cases) // columns)
    figure = Figure(figsize=(1 + 4.4 * columns, 0.9 + 3.1 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, case in zip(panels, cases, strict=False):
        shown = _last_bars(case, min(max(24, 3 * len(case.stamps)), 60))
        _draw_prices(axes, shown)
        _label_stamps(axes, shown, 3)
        axes.set_title(case.title, loc="left", fontsize=10)
        axes.tick_params(labelsize=8)
    for axes in panels[len(cases) :]:
        axes.remove()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure


def _last_bars(case: ForecastCase, count: int) -> ForecastCase:
    return case._replace(history=case.history.iloc[-count:])


def _draw_prices(axes: "Axes", case: ForecastCase) -> None:
    """K-lines before and after the last known bar, which is at −1, and the fan of closes."""
    _draw_fan(axes, case.paths_PHF[:, :, _CLOSE], float(case.history["close"].iloc[-1]))
    _draw_candles(axes, np.arange(-len(case.history), 0), case.history, HISTORY, "history (hollow: rose)")
    if len(case.truth):
        _draw_candles(axes, np.arange(len(case.truth)), case.truth, TRUTH, "what happened")
    # Bars hold on to the edge they stand on, which may cut off candles below it.
    bands = np.quantile(case.paths_PHF[:, :, _CLOSE], BAND, axis=0)
    known = pd.concat([case.history, case.truth])
    low, high = min(known["low"].min(), bands.min()), max(known["high"].max(), bands.max())
    room = 0.05 * (high - low) or 0.01 * high
    axes.set_ylim(low - room, high + room)
    _style(axes)


def _draw_candles(axes: "Axes", position: np.ndarray, bars: pd.DataFrame, colour: str, label: str) -> None:
    """A body from open to close, hollow where the price rose, and a line from low to high."""
    known = bars["close"].notna().to_numpy()
    position, bars = position[known], bars[known]
    low, high = np.minimum(bars["open"], bars["close"]), np.maximum(bars["open"], bars["close"])
    axes.vlines(position, bars["low"], low, color=colour, linewidth=0.8, zorder=3)
    axes.vlines(position, high, bars["high"], color=colour, linewidth=0.8, zorder=3)
    rose = (bars["close"] >= bars["open"]).to_numpy()
    for chosen, fill, name in ((rose, "white", None), (~rose, colour, label)):
        body: dict[str, Any] = {"bottom": low[chosen], "width": 0.64, "edgecolor": colour, "linewidth": 0.8}
        axes.bar(position[chosen], (high - low)[chosen], facecolor=fill, label=name, zorder=3, **body)


def _draw_fan(axes: "Axes", close_PH: np.ndarray, last_close: float) -> None:
    """Median and bands of quantiles of the sampled closes, all from the last known close on."""
    paths, horizon = close_PH.shape
    position = np.arange(-1, horizon)
    close_PH = np.concatenate((np.full((paths, 1), last_close), close_PH), axis=1)
    if paths > 1:
        for quantiles, alpha in ((BAND, 0.16), (INNER_BAND, 0.26)):
            low, high = np.quantile(close_PH, quantiles, axis=0)
            name = f"{quantiles[0]:.0%}–{quantiles[1]:.0%} of {paths} paths"
            axes.fill_between(position, low, high, color=FORECAST, alpha=alpha, linewidth=0, label=name, zorder=1)
    median = np.median(close_PH, axis=0)
    axes.plot(position, median, color=FORECAST, linewidth=1.6, label="median of the paths", zorder=4)


def _draw_volume(axes: "Axes", case: ForecastCase) -> None:
    """Volume of the same bars: columns for what is known, median and band of the paths."""
    volume_PH = case.paths_PHF[:, :, _VOLUME]
    future = np.arange(volume_PH.shape[1])
    axes.bar(np.arange(-len(case.history), 0), case.history["volume"], width=0.64, color=HISTORY, alpha=0.7)
    if len(case.truth):
        axes.bar(np.arange(len(case.truth)), case.truth["volume"], width=0.64, color=TRUTH, alpha=0.7)
    if len(volume_PH) > 1:
        low, high = np.quantile(volume_PH, BAND, axis=0)
        axes.fill_between(future, low, high, color=FORECAST, alpha=0.16, linewidth=0)
    axes.plot(future, np.median(volume_PH, axis=0), color=FORECAST, linewidth=1.6)
    axes.set_ylabel("volume")
    _style(axes)


def _style(axes: "Axes") -> None:
    axes.axvline(-0.5, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)


def _label_stamps(axes: "Axes", case: ForecastCase, count: int) -> None:
    stamps = pd.DatetimeIndex(case.history.index.append(case.stamps))
    ticks = np.linspace(0, len(stamps) - 1, count).round().astype(int)
    intraday = bool((stamps != stamps.normalize()).any())
    text = stamps[ticks].strftime("%Y-%m-%d\n%H:%M" if intraday else "%Y-%m-%d")
    axes.set_xticks(ticks - len(case.history), text)
