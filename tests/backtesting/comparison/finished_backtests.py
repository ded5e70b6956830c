"""Folders of finished backtests as `backtest.py` leaves them, made by hand of daily series."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kronos_lab.backtesting.comparison.compared_run import read_compared_run
from kronos_lab.backtesting.comparison.comparison import Line, RunComparison, compare_runs
from kronos_lab.backtesting.conventions import conventions
from kronos_lab.backtesting.luck import decisive_settings
from kronos_lab.backtesting.performance import performance
from kronos_lab.backtesting.scores.signals import long_format
from kronos_lab.evaluation.selection import sharpe_ratio
from kronos_lab.runs.trials import Trial, evaluation_hash

PER_YEAR, HORIZON = 240.0, 5
SESSIONS = pd.bdate_range("2024-07-02", periods=120)


def settings(outputs: Path, **changes: Any) -> dict[str, Any]:
    """A resolved configuration, with changes by dotted name (dots written as two underscores)."""
    found: dict[str, Any] = {
        "paths": {"outputs": str(outputs)},
        "universe": {"name": "csi300"},
        "data": {"lookback": 30, "horizon": HORIZON},
        "forecast": {"paths": 2, "temperature": 0.6},
        "signal": {"_target_": "kronos_lab.x.ExpectedReturn", "horizon": HORIZON},
        "cross_section": {"winsorise": None},
        "strategy": {"_target_": "kronos_lab.x.TopkDropout", "topk": 50, "n_drop": 5},
        "exchange": {"_target_": "kronos_lab.x.ExchangeSettings", "open_cost": 0.001, "stamp_duty": None},
        "backtest": {"account": 1e8},
        "seed": 100,
    }
    for name, value in changes.items():
        at = found
        *parents, last = name.split("__")
        for parent in parents:
            at = at[parent]
        at[last] = value
    return found


def finished(
    outputs: Path,
    name: str,
    *,
    excess: float = 0.0,
    rank_ic: float = 0.0,
    later_rank_ic: float | None = None,
    names: Sequence[str] = tuple("abcdefgh"),
    draw: int = 0,
    sessions: pd.DatetimeIndex = SESSIONS,
    market: tuple[str, str] = ("small", "abc"),
    weights: str = "w",
    training_run: Path | None = None,
    turns: str | None = None,
    **changes: Any,
) -> Path:
    """Leave `<outputs>/backtest/<name>`: exact mean excess per session and mean rank IC, noise around them.

    Args:
        outputs: folder of all runs.
        name: of the run.
        excess: mean net return per session less equal weight.
        rank_ic: mean, of both labels.
        later_rank_ic: mean of the longer label, where it is another one.
        names: that are scored on each day.
        draw: of the noise, 0.004 a session and 0.1 a day.
        sessions: that are traded; signals are of the business day before.
        market: name and fingerprint.
        weights: fingerprint of the predictor.
        training_run: that left the weights.
        turns: days from which weights that take turns forecast.
        changes: see `settings`.
    """
    random = np.random.default_rng(draw)
    config = settings(outputs, **changes)
    equal = pd.Series(np.random.default_rng(99).normal(0.0003, 0.01, 5000)[: len(sessions)], sessions)
    noise, ranked = random.normal(0, [[0.004], [0.1]], (2, len(sessions)))
    net = equal + noise - noise.mean() + excess
    days = sessions - pd.offsets.BDay(1)
    daily = pd.DataFrame({"rank_ic_1": ranked - ranked.mean() + rank_ic}, days)
    more = 0.0 if later_rank_ic is None else later_rank_ic - rank_ic
    daily[f"rank_ic_{config['data']['horizon']}"] = daily["rank_ic_1"] + more
    daily = daily.join(pd.DataFrame({"equal_weight": equal, "index": equal - 0.0001}), how="outer")
    folder = outputs / "backtest" / name
    folder.mkdir(parents=True)
    daily.rename_axis("date").reset_index().to_parquet(folder / "daily.parquet", index=False)
    portfolio = pd.DataFrame({"date": sessions, "net_return": net.to_numpy()})
    portfolio.to_parquet(folder / "portfolio.parquet", index=False)
    score_LN = pd.DataFrame(random.normal(size=(len(days), len(names))), days, list(names))
    long_format(score_LN).to_parquet(folder / "signals.parquet", index=False)
    difference = performance(net - equal, PER_YEAR)
    own = performance(net, PER_YEAR)
    metrics = {
        "sessions_per_year": PER_YEAR,
        "signal_days": {"first": f"{days[0]:%Y-%m-%d}", "last": f"{days[-1]:%Y-%m-%d}", "count": len(days)},
        "ranking": {"open_to_open": {"1": {}, str(config["data"]["horizon"]): {}}},
        "portfolio": {"with_cost": vars(own)},
        "excess": {"equal_weight": {"with_cost": vars(difference)}},
        "trading": {"turnover_per_session": 0.1, "annual_cost": 0.03},
        "conventions": conventions(PER_YEAR),
        "trials": {"evaluated": evaluation_hash([f"{weights} {turns}"], decisive_settings(config))},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    summary = {
        "kind": "backtest",
        "name": name,
        "finished": "2026-01-01T00:00:00+00:00",
        "market": {"name": market[0], "fingerprint": market[1]},
        "weights": {"predictor": weights, "tokenizer": "t", "predictor_parent": "p"},
        "git": {"revision": "r"},
        "config": config,
        **({} if training_run is None else {"training_run": str(training_run)}),
        **({} if turns is None else {"turns": turns}),
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    assert sharpe_ratio(net - equal).sessions == len(sessions)
    return folder


def trained(outputs: Path, name: str, weights: str, **changes: Any) -> Path:
    """Leave `<outputs>/train/<name>`: summary and configuration of a training run, without its weights."""
    folder = outputs / "train" / name
    folder.mkdir(parents=True)
    summary = {
        "kind": "train",
        "name": name,
        "finished": "2026-01-01T00:00:00+00:00",
        "market": {"name": "small", "fingerprint": "abc"},
        "weights": {"predictor": weights},
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    config = {
        "name": name,
        "seed": 1,
        "model": {"pretrained": None},
        "optim": {"lr": 1e-4},
        "data": {"seed": 1},
    } | changes
    config["data"] = {"seed": config["seed"]}
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    return folder


def compare(
    outputs: Path, names: Sequence[str], against: str | None = None, trials: Sequence[Trial] = ()
) -> RunComparison:
    """Compare finished backtests by name, against the first where no other is named."""
    runs = {name: read_compared_run((outputs / "backtest" / name).resolve(), outputs) for name in names}
    return compare_runs([*runs.values()], runs[against or names[0]], trials, seed=1)


def rows_of(compared: RunComparison, table: int = 0) -> dict[str, Line]:
    """Lines of a table by the name of their row."""
    return {line.row.name: line for line in compared.tables[table].lines}
