"""How each figure of a backtest is meant, in words that stand beside it."""

from collections.abc import Mapping
from typing import Any

from kronos_lab.evaluation.inference import INDEPENDENT_STRETCHES


def conventions(per_year: float) -> dict[str, str]:
    """How each kind of figure is computed, in words that stand beside it."""
    return {
        "annual_return": f"arithmetic mean per session × {per_year:.1f} sessions per year (the market's own calendar)",
        "annual_volatility": f"standard deviation per session × √{per_year:.1f}",
        "information_ratio": "annual return (or excess) over its annual volatility; cash at 0 % for returns that are "
        "no excess",
        "max_drawdown": "of the compounded equity, from its highest point so far",
        "excess": "daily difference of returns; benchmarks pay no costs; an index is a price index, dividends excluded",
        "equal_weight": "members of each day in equal parts, rebalanced daily, dividends included; suspended names "
        "carry 0 until they trade",
        "first_session": "the portfolio begins with cash at the open after the first signal; benchmarks count from "
        "the close before it",
        "turnover": "bought plus sold value over the account of the day before (two-sided)",
        "cost_per_value": "costs over the value bought and sold; at break-even the portfolio would have earned what "
        "equal weight earned",
        "styles": "mean percentile of what is held, weighted by value, among the names scored that day (50 %: as drawn "
        "by lot): beta and volatility of 60 sessions, mean traded value and return of 20",
        "limits": "prices of the market's store, by board and date; 5 % for stocks under special treatment (ST) on the "
        "main boards only where imported files mark them (column st), else as their board",
        "lots": "exchange.trade_unit=by_board: purchases, and sales of a part, are of 100 shares and multiples, on "
        "STAR of 200 shares or more, in Beijing of 100 or more; a whole holding is sold at once",
        "participation": "value of a fill over what the market traded of its name that day; fills of unknown amounts "
        "left out",
        "open_to_open": "open(t+1+h) / open(t+1) − 1, adjusted; suspended at entry: no label; at exit: first open "
        "afterwards",
        "close_to_close": "close(t+h) / close(t) − 1, adjusted; not tradable, for the signal needs close(t)",
        "t": "mean over its HAC standard error (Newey and West, lag max(h − 1, ⌈1.3 √days⌉)); p and the least rank IC "
        "that could be told from 0 come from the distribution that this t has where nothing is known (fixed-b); "
        "t apart: plain t of every h-th day, mean over all starts",
        "interval": "95 %, stationary block bootstrap by day, stretched to hold a true mean of 0 as often as it says; "
        f"none, and no p, under {INDEPENDENT_STRETCHES} horizons side by side",
        "groups": "names of a day in ten groups by score, open to open over the next session, less the mean of all "
        "names; long-short is a diagnostic: shares cannot be sold short at will, and nothing is paid",
        "baselines": "on the rows that were forecast, from closes up to the signal day, with the same strategy, "
        "exchange and account; a name a rule knows nothing of has its median score",
        "random_portfolios": "names drawn by lot from the rows that were forecast; on each session about the share of "
        "the holdings is sold that the portfolio sold, and as many names and as much cash are held; same exchange",
        "superiority": "Hansen's test for superior predictive ability (SPA) of net excess, stationary bootstrap with "
        "blocks of at least the horizon; p is twice the smaller of two: that one rule at least (or equal weight) is as "
        "good, and that none is better",
        "deflated_sharpe_ratio": "Bailey and López de Prado (2014), of the net excess over equal weight per session; "
        "trials are the different evaluations on this market, of any universe, on sessions that overlap these, as "
        "outputs/trials.jsonl lists them (their ratios as if they had lasted as long as this one): what was tried "
        "elsewhere is not known; of one trial it is the probabilistic Sharpe ratio; takes sessions as independent",
        "hit_rate": "share of names whose next session lies on the same side of the day's median as their score",
        "coverage": "members scored / members not suspended that day",
    }


def calibration_conventions() -> dict[str, str]:
    """How the figures of calibration are computed, see `conventions`."""
    return {
        "calibration": "close to close, on a fixed sample of the series that were forecast (days evenly spread, names "
        "by a hash); means over names, then days; error and p as of t; of 20 days, few of them with a shock, perfect "
        "paths look too wide in up to 8 of 100 samples",
        "intervals": "from order statistics of the paths, beside what they hold where paths and outcome come from one "
        "distribution: with P paths the outcome falls into each of P + 1 gaps alike",
        "historical_volatility": "root mean square of the lookback's log returns × √sessions, as a normal distribution "
        "around no change: what needs no model",
        "CRPS": "of the whole distribution, in the unit of returns, without what few paths add (fair; Ferro, 2014); "
        "skill: 1 − its ratio to that of the historical volatility",
        "PIT": "rank of the outcome among the paths, in (0, 1), drawn between two of them; flat where all is well, "
        "high at both ends where paths spread too little, in the middle where too much",
        "rise": "share of paths above the last close, of pairs whose close moved; Brier score (fair) beside that of "
        "the sample's own base rate",
        "volatility": "root of the mean over paths of the sum of squared log returns of the horizon, beside what came; "
        "R²: 1 − squared errors over those of the sample's own mean; QLIKE: of variances, r/f − log(r/f) − 1",
    }


def lightgbm_convention(made_of: Mapping[str, Any]) -> str:
    """How the scores of LightGBM came about, see `Rival.score`."""
    train, val = ({**made_of[part], "rows": f"{made_of[part]['rows']:,}"} for part in ("train", "val"))
    return (
        "qlib's Alpha158 and LGBModel on members of the universe, label open(t+1+h) / open(t+1) − 1 in deviations of "
        f"its day, learned from signals of {train['first']} to {train['last']} ({train['days']} days, {train['rows']} "
        f"rows), stopped after {made_of['trees']} trees by those of {val['first']} to {val['last']} ({val['days']} "
        f"days, {val['rows']} rows); no label reaches into the next part; {made_of['vwap']}; same rows, strategy, "
        f"exchange and account; rows without a score: {made_of['unscored']}"
    )
