"""The pictures of a backtest, each a matplotlib figure built from series, without pyplot's global state."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from kronos_lab.backtesting.luck import growth_band
from kronos_lab.backtesting.performance import drawdown, equity_curve
from kronos_lab.backtesting.report.calibration_figure import calibration_figure
from kronos_lab.backtesting.report.drawing import (
    BEFORE_COST,
    BENCHMARK_COLOURS,
    MUTED,
    PORTFOLIO,
    WIDTH,
    bare,
    date_panels,
    finish,
    line,
)
from kronos_lab.backtesting.report.months import months_figure
from kronos_lab.backtesting.results import Results

EQUAL_WEIGHT = "equal weight"
BENCHMARK_NAMES = {"equal_weight": EQUAL_WEIGHT, "index": "price index"}
COVERAGE_COLOURS = ("#c3d4e5", "#e3e8ec", "#d9822b", "#f0c08a")
STYLE_COLOURS = (PORTFOLIO, *BENCHMARK_COLOURS, "#6a9a5b")
ROLLING_DAYS = 20


def draw_figures(results: Results) -> dict[str, Figure]:
    """All figures of the report by name."""
    daily, random = results.ledger.daily, results.random
    net, gross = daily["net_return"], daily["gross_return"]
    returns = {
        BENCHMARK_NAMES[name]: benchmark.returns.reindex(net.index).fillna(0.0)
        for name, benchmark in results.against.items()
    }
    main = results.metrics["ranking"]["open_to_open"]
    rank_ic = {
        which.horizon: values
        for which, values in results.quality.daily.items()
        if which.kind == "rank_ic" and which.label == "open_to_open" and str(which.horizon) in main
    }
    figures = {
        "equity": equity_figure(net, gross, returns, None if random is None else growth_band(random.net_return_LR)),
        "excess": excess_figure(net, gross, returns),
        "months": months_figure({"Return with cost": net, "Excess over equal weight": net - returns[EQUAL_WEIGHT]}),
        "rank_ic": rank_ic_figure(rank_ic),
        "order": order_figure(results.metrics["decay"], results.metrics["groups"]["mean"]),
        "trading": trading_figure(daily),
        "styles": styles_figure(results.styles),
        "coverage": coverage_figure(results.coverage),
    }
    if "sample" in results.metrics.get("calibration", {}):
        figures["calibration"] = calibration_figure(results.metrics["calibration"])
    return figures


def equity_figure(
    net: pd.Series, gross: pd.Series, benchmarks: Mapping[str, pd.Series], band: pd.DataFrame | None = None
) -> Figure:
    """Growth of 1 with and without cost beside the benchmarks, and the falls below the highest point so far.

    Args:
        net: daily returns after costs.
        gross: daily returns before costs.
        benchmarks: daily returns by label, on the same days.
        band: of the growth of random portfolios, see `growth_band`; None for none.
    """
    figure, (growth, falls) = date_panels(rows=2, height=5.2, ratios=(2.2, 1))
    line(growth, equity_curve(net), color=PORTFOLIO, linewidth=1.8, label="portfolio, with cost", zorder=3)
    line(growth, equity_curve(gross), color=BEFORE_COST, linewidth=1.2, label="portfolio, before cost")
    line(falls, 100 * drawdown(net), color=PORTFOLIO, linewidth=1.2, zorder=3)
    falls.fill_between(net.index, 100 * drawdown(net), 0, color=PORTFOLIO, alpha=0.2, linewidth=0)
    for (label, returns), colour in zip(benchmarks.items(), BENCHMARK_COLOURS, strict=False):
        line(growth, equity_curve(returns), color=colour, linewidth=1.2, label=label)
        line(falls, 100 * drawdown(returns), color=colour, linewidth=0.9)
    if band is not None:
        style: dict[str, Any] = {"color": MUTED, "alpha": 0.18, "linewidth": 0, "zorder": 0}
        growth.fill_between(band.index, band["low"], band["high"], label="random portfolios, 5–95 %", **style)
    falls.yaxis.set_major_formatter(PercentFormatter())
    finish(growth, "Growth of 1", level=1)
    finish(falls, "Below the highest point so far")
    return figure


def excess_figure(net: pd.Series, gross: pd.Series, benchmarks: Mapping[str, pd.Series]) -> Figure:
    """Sum of the daily differences to each benchmark, with cost (solid) and before cost (thin)."""
    figure, (axes,) = date_panels(rows=1, height=2.9)
    for (label, returns), colour in zip(benchmarks.items(), BENCHMARK_COLOURS, strict=False):
        line(axes, 100 * (gross - returns).cumsum(), color=colour, linewidth=0.8, alpha=0.7)
        line(axes, 100 * (net - returns).cumsum(), color=colour, linewidth=1.6, label=f"over {label}")
    axes.yaxis.set_major_formatter(PercentFormatter())
    finish(axes, "Excess return, summed (thin: before cost)", level=0)
    return figure


def rank_ic_figure(daily: Mapping[int, pd.Series]) -> Figure:
    """Daily rank IC of the shortest horizon with its rolling mean, and the running sum for every horizon.

    Args:
        daily: rank IC per signal day by horizon in sessions.
    """
    figure, (bars, running) = date_panels(rows=2, height=4.8, ratios=(1.2, 1))
    first = min(daily)
    values = daily[first].dropna()
    bars.bar(values.index, values, width=1.0, color=BEFORE_COST, linewidth=0)
    label = f"mean of {ROLLING_DAYS} days"
    line(bars, values.rolling(ROLLING_DAYS).mean(), color=PORTFOLIO, linewidth=1.6, label=label)
    for horizon, colour in zip(sorted(daily), (PORTFOLIO, BENCHMARK_COLOURS[0]), strict=False):
        total = daily[horizon].dropna().cumsum()
        line(running, total, color=colour, linewidth=1.4, label=f"{horizon}-session label")
    finish(bars, f"Rank IC of the {first}-session label, day by day", level=0)
    finish(running, "Rank IC, summed", level=0)
    return figure


def order_figure(decay: Mapping[str, Mapping[str, float]], groups: Mapping[str, Mapping[str, float]]) -> Figure:
    """Rank IC by sessions ahead, and what groups of names by score earned over the next session, with intervals.

    Args:
        decay: mean, low and high by sessions.
        groups: mean, low and high by group, the lowest scores first; fractions.
    """
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    by_sessions, by_group = figure.subplots(1, 2)
    _bars(by_sessions, decay, scale=1)
    _bars(by_group, groups, scale=100)
    by_group.yaxis.set_major_formatter(PercentFormatter(decimals=2))
    for axes, title, below in (
        (by_sessions, "Rank IC by sessions ahead", "sessions from the next open"),
        (by_group, "Next session, less the mean of all names", "groups by score, lowest to highest"),
    ):
        bare(axes)
        axes.set_xlabel(below, fontsize=9, color=MUTED)
        finish(axes, title, level=0)
    return figure


def _bars(axes: Axes, figures: Mapping[str, Mapping[str, float]], scale: float) -> None:
    """A bar for each mean, its interval as a line; both times `scale`."""
    for place, of in enumerate(figures.values()):
        axes.bar(place, scale * of["mean"], color=BEFORE_COST, linewidth=0)
        axes.plot([place, place], [scale * of["low"], scale * of["high"]], color=PORTFOLIO, linewidth=1.4)
    axes.set_xticks(range(len(figures)), figures.keys())


def trading_figure(ledger_daily: pd.DataFrame) -> Figure:
    """Turnover of each session and the share of the account that lay in cash at its close."""
    figure, (turnover, cash) = date_panels(rows=2, height=3.8)
    turnover.bar(ledger_daily.index, 100 * ledger_daily["turnover"], width=1.0, color=PORTFOLIO, linewidth=0)
    share = 100 * ledger_daily["cash"] / ledger_daily["account"]
    cash.fill_between(share.index, share, 0, color=BEFORE_COST, linewidth=0)
    for axes, title in ((turnover, "Turnover (bought + sold)"), (cash, "Cash at the close")):
        axes.yaxis.set_major_formatter(PercentFormatter())
        axes.set_ylim(bottom=0)
        finish(axes, f"{title}, share of the account")
    return figure


def styles_figure(styles: pd.DataFrame) -> Figure:
    """Percentiles of what is held, a line for each style; by lot it would be half.

    Args:
        styles: see `portfolio_styles`.
    """
    figure, (axes,) = date_panels(rows=1, height=2.6)
    for name, colour in zip(styles, STYLE_COLOURS, strict=False):
        line(axes, 100 * styles[name], color=colour, linewidth=1.3, label=name)
    axes.set_ylim(0, 100)
    axes.yaxis.set_major_formatter(PercentFormatter())
    finish(axes, "Holdings among the scored names, percentile", level=50)
    return figure


def coverage_figure(coverage: pd.DataFrame) -> Figure:
    """Members of each day by what became of them."""
    figure, (axes,) = date_panels(rows=1, height=2.4)
    counts = [coverage[part] for part in ("scored", "suspended", "no_bars", "short_lookback")]
    labels = ["scored", "suspended", "without bars", "lookback too short"]
    axes.stackplot(coverage.index, *counts, labels=labels, colors=COVERAGE_COLOURS, linewidth=0)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    finish(axes, "Members of each day, number of names")
    return figure
