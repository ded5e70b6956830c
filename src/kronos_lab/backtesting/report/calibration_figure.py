"""The picture of calibration: coverage against its aim, ranks of the outcomes, reliability of the rise."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kronos_lab.backtesting.calibration_sample import SAMPLED
from kronos_lab.backtesting.report.drawing import BENCHMARK_COLOURS, MUTED, PORTFOLIO, WIDTH, bare, finish

COLOURS = (PORTFOLIO, BENCHMARK_COLOURS[0])
LARGEST_DOT = 60.0  # square points


def calibration_figure(calibration: Mapping[str, Any]) -> Figure:
    """Three panels over the whole horizon, a colour for each sampling, a broken line for a perfect forecaster.

    Args:
        calibration: figures of a sample, as `CalibrationSample.measure` gives them.
    """
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    coverage, ranks, rise = figure.subplots(1, 3)
    horizon = str(calibration["sample"]["horizon"])
    shown = {words: calibration[name]["returns"][horizon] for name, words in SAMPLED.items() if name in calibration}
    for place, ((words, figures), colour) in enumerate(zip(shown.items(), COLOURS, strict=False)):
        _coverage(coverage, figures["coverage"], colour, 0.8 * (place - (len(shown) - 1) / 2))
        shares = 100 * np.array(figures["pit"])
        ranks.stairs(shares, np.linspace(0, 1, len(shares) + 1), color=colour, linewidth=1.6, label=words)
        _reliability(rise, figures["rise"]["bins"], colour)
    ranks.axhline(100 / len(shares), color=MUTED, linewidth=0.9, linestyle="--")
    ranks.set_ylim(bottom=0)
    for axes, top in ((coverage, 100), (rise, 1)):
        axes.plot([0, top], [0, top], color=MUTED, linewidth=0.9, linestyle="--", zorder=1)
        axes.set(xlim=(0, top), ylim=(0, top))
    for axes, title, below in (
        (coverage, "Outcomes held, %", "perfect forecaster, %"),
        (ranks, "Ranks of the outcomes, %", "share of the paths below"),
        (rise, "Rises that came", "probability forecast"),
    ):
        bare(axes)
        axes.set_xlabel(below, fontsize=9, color=MUTED)
        finish(axes, title)
    if legend := ranks.get_legend():
        legend.remove()
    figure.legend(*ranks.get_legend_handles_labels(), loc="outside lower center", frameon=False, fontsize=8.5, ncols=2)
    return figure


def _coverage(axes: Axes, coverage: Mapping[str, Any], colour: str, aside: float) -> None:
    """What each interval holds, with 95 % where it is known, a little aside of where others stand."""
    for held in coverage.values():
        ideal = 100 * held["ideal"] + aside
        axes.plot(ideal, 100 * held["mean"], "o", color=colour, markersize=4.5, zorder=3)
        if np.isfinite(held["low"]):
            axes.plot([ideal, ideal], [100 * held["low"], 100 * held["high"]], color=colour, linewidth=1.3)


def _reliability(axes: Axes, bins: list[dict[str, float]], colour: str) -> None:
    """A dot for each bin, as large as it has pairs."""
    forecast, observed, count = (np.array([row[name] for row in bins]) for name in ("forecast", "observed", "count"))
    axes.plot(forecast, observed, color=colour, linewidth=0.9, alpha=0.6)
    size = LARGEST_DOT * count / max(count.max(initial=0), 1)
    axes.scatter(forecast, observed, s=size, color=colour, zorder=3, clip_on=False)  # 0 and 1 lie on the edge
