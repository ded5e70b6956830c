"""A finished backtest as a comparison reads it from its folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kronos_lab.backtesting.comparison.settings import Settings, settings_of, weights_of, written
from kronos_lab.backtesting.finished_backtest import DAILY_FILE, PORTFOLIO_FILE, SIGNALS_FILE
from kronos_lab.errors import InputError
from kronos_lab.evaluation.selection import sharpe_ratio
from kronos_lab.runs.flat_settings import flat
from kronos_lab.runs.folder import METRICS_FILE
from kronos_lab.runs.summary import read_summary
from kronos_lab.runs.trials import Trial

EQUAL_WEIGHT = "equal_weight"


@dataclass(frozen=True)
class Conditions:
    """What must be the same for figures to stand in one table.

    Attributes:
        market: name.
        fingerprint: content hash of its store.
        universe: whose members were traded.
        horizon: sessions of the longer label.
        first: first signal day, ISO date.
        last: last signal day.
        trading: settings of exchange and account by dotted name, as they are shown.
    """

    market: str
    fingerprint: str
    universe: str
    horizon: int
    first: str
    last: str
    trading: tuple[tuple[str, str], ...]

    @property
    def title(self) -> str:
        """In words."""
        return f"{self.universe} of market {self.market}, signals of {self.first} to {self.last}"

    def unlike(self, other: "Conditions") -> list[str]:
        """In what they differ from others, in words."""
        found = []
        if (self.market, self.fingerprint) != (other.market, other.fingerprint):
            same_name = f" (another state of it, fingerprint {self.fingerprint})" if self.market == other.market else ""
            found.append(f"another market, {self.market}{same_name}")
        if self.universe != other.universe:
            found.append(f"another universe, {self.universe}")
        if self.horizon != other.horizon:
            found.append(f"another label, over {self.horizon} sessions")
        if (self.first, self.last) != (other.first, other.last):
            found.append(f"other days, {self.first} to {self.last}")
        theirs = dict(other.trading)
        trading = [f"{key} {value}" for key, value in self.trading if theirs.get(key) != value]
        trading += [f"{key} –" for key in theirs if key not in dict(self.trading)]
        if trading:
            found.append(f"other costs or rules of trading, {', '.join(trading)}")
        return found

    def shares_scores(self, other: "Conditions") -> bool:
        """Whether days that both have can be held against each other, one by one: same universe, same labels."""
        same = ("market", "fingerprint", "universe", "horizon")
        return all(getattr(self, name) == getattr(other, name) for name in same)


@dataclass(frozen=True)
class ComparedRun:
    """A finished backtest.

    Attributes:
        folder: its run folder.
        name: as it is called on the page: its folder, seen from that of all backtests.
        conditions: see there.
        settings: see `settings_of`; without those of `conditions.trading`.
        weights: see `weights_of`.
        metrics: as `metrics.json` holds them.
        daily: see `Results.daily`.
        net_return_L: after cost, on each session traded.
        scored_L: of each signal day the number of names with a score, `count`, and which they are, `names`: a hash
            that is the same for the same names.
        trial: this evaluation, as the ledger has it.
        revision: of the code.
    """

    folder: Path
    name: str
    conditions: Conditions
    settings: Settings
    weights: str
    metrics: Mapping[str, Any]
    daily: pd.DataFrame
    net_return_L: pd.Series
    scored_L: pd.DataFrame
    trial: Trial
    revision: str | None

    @property
    def excess_L(self) -> pd.Series:
        """Net return less equal weight, on the sessions that have both."""
        return excess(self.net_return_L, self.daily[EQUAL_WEIGHT])

    def rank_ic(self, sessions: int) -> pd.Series:
        """Of each signal day that has one."""
        return self.daily[f"rank_ic_{sessions}"].dropna()


def excess(net_return_L: pd.Series, benchmark_L: pd.Series) -> pd.Series:
    """Daily difference, on the sessions that have both."""
    return (net_return_L - benchmark_L.reindex(net_return_L.index)).dropna()


def read_compared_run(folder: Path, outputs: Path) -> ComparedRun:
    """Read a finished backtest.

    Args:
        folder: of the run.
        outputs: folder of all runs.

    Raises:
        InputError: a file is missing or cannot be read, or an earlier version of this code made the run.
    """
    summary = read_summary(folder)
    assert summary is not None
    metrics = _read_metrics(folder)
    if not (folder / DAILY_FILE).is_file() or "sessions_per_year" not in metrics:
        raise InputError(
            f"{folder} was made by an earlier version of this code, which left no {DAILY_FILE}: run the backtest again "
            "(its forecasts are taken over)"
        )
    if "trials" not in metrics:
        raise InputError(f"{folder} has no session with a return of equal weight: nothing can be compared")
    try:
        daily = _by_date(folder / DAILY_FILE)
        net_return_L = _by_date(folder / PORTFOLIO_FILE)["net_return"]
        scored_L = _scored(folder / SIGNALS_FILE)
        settings, settled = settings_of(summary), _trading(summary["config"])
        excess_L = excess(net_return_L, daily[EQUAL_WEIGHT])
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{folder} cannot be read ({reason}): run the backtest again") from error
    own = sharpe_ratio(excess_L)
    days, known = metrics["signal_days"], own.value == own.value
    universe = summary["config"]["universe"]["name"]
    market, fingerprint = summary["market"]["name"], summary["market"]["fingerprint"]
    horizon = max(int(sessions) for sessions in metrics["ranking"]["open_to_open"])
    conditions = Conditions(market, fingerprint, universe, horizon, days["first"], days["last"], settled)
    place = outputs.resolve()
    trial = Trial(
        time=summary["finished"],
        run=str(folder.relative_to(place) if folder.is_relative_to(place) else folder),
        universe=universe,
        market=market,
        market_fingerprint=fingerprint,
        start=f"{excess_L.index[0]:%Y-%m-%d}",
        end=f"{excess_L.index[-1]:%Y-%m-%d}",
        evaluated=metrics["trials"]["evaluated"],
        sharpe=own.value if known else None,
        sessions=own.sessions,
        skew=own.skew if known else None,
        kurtosis=own.kurtosis if known else None,
    )
    return ComparedRun(
        folder=folder,
        name=trial.run.removeprefix("backtest/"),
        conditions=conditions,
        settings={key: value for key, value in settings.items() if key not in dict(settled)},
        weights=weights_of(summary),
        metrics=metrics,
        daily=daily,
        net_return_L=net_return_L,
        scored_L=scored_L,
        trial=trial,
        revision=summary["git"]["revision"],
    )


def _read_metrics(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError) as error:
        raise InputError(f"{folder / METRICS_FILE} cannot be read ({error}): run the backtest again") from error


def _by_date(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path).set_index("date").sort_index()


def _scored(path: Path) -> pd.DataFrame:
    """See `ComparedRun.scored_L`; a hash, as many runs of a whole market are many names."""
    scores = pd.read_parquet(path, columns=["date", "symbol"])
    hash_B = pd.util.hash_pandas_object(scores["symbol"], index=False)
    by_day = hash_B.groupby(scores["date"])
    return pd.DataFrame({"count": by_day.size(), "names": by_day.sum()})


def _trading(config: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What a trade costs and how it is made, and with how much money: it decides whole lots and least fees."""
    settings = {f"exchange.{key}": value for key, value in flat(config["exchange"]).items()}
    settings = {key: value for key, value in settings.items() if not key.endswith("_target_")}
    settings["account"] = float(config["backtest"]["account"])
    return tuple(sorted((key, written(value)) for key, value in settings.items()))
