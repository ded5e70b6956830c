"""What can be known of a walk-forward's commands before the first of them is run."""

from collections.abc import Sequence
from dataclasses import asdict

from hydra.utils import instantiate
from omegaconf import DictConfig

from kronos_lab.backtesting.forecasts.coverage import coverage_warnings
from kronos_lab.backtesting.forecasts.forecast_shards import check_store
from kronos_lab.backtesting.forecasts.universe_forecast import universe_windows
from kronos_lab.backtesting.results import benchmarks
from kronos_lab.backtesting.scores.signals import check_signal
from kronos_lab.backtesting.trading.portfolio import check_tradable
from kronos_lab.data.market import Market
from kronos_lab.data.split import Part
from kronos_lab.data.windows import WindowIndex
from kronos_lab.errors import InputError
from kronos_lab.runs.configured_forecaster import configured_sampling
from kronos_lab.runs.provenance import WindowSettings, window_settings
from kronos_lab.runs.walk_forward.plan import Fold


def check_trainings(market: Market, universe: str, training: DictConfig, folds: Sequence[Fold]) -> list[int]:
    """Number of training windows of each fold.

    Args:
        market: what is trained on.
        universe: whose members.
        training: configuration of `train.py`, but for the split.
        folds: the plan.

    Raises:
        InputError: a fold has no window to train on or to validate with.
    """
    own = WindowSettings(**{name: training.data[name] for name in WindowSettings.__dataclass_fields__})
    for fold in folds:
        _windows(market, universe, own, fold, "val")
    return [_windows(market, universe, own, fold, "train") for fold in folds]


def _windows(market: Market, universe: str, own: WindowSettings, fold: Fold, part: Part) -> int:
    start, end = fold.split.days(part)
    future, bars, spans = own.horizon + 1, market.bars(universe), market.spans(universe)
    index = WindowIndex(bars, spans, own.lookback, future, start, end, own.max_gap, label_end=end)
    if not len(index):
        raise InputError(
            f"fold {fold.number} has no {part} window of {own.lookback} + {own.horizon} + 1 bars with signal days "
            f"{start or 'from the first'} to {end} in universe {universe}: choose a later walk_forward.first, or more "
            f"walk_forward.{'years' if part == 'train' else 'val_months'}"
        )
    return len(index)


def check_backtest(
    market: Market, universe: str, training: DictConfig, trading: DictConfig, folds: Sequence[Fold]
) -> None:
    """Refuse a backtest that could not be traded, as `backtest.py` would after all the trainings.

    Args:
        market: what is traded.
        universe: whose members.
        training: configuration of `train.py`.
        trading: configuration of `backtest.py`.
        folds: the plan.

    Raises:
        InputError: of a setting that makes no sense.
    """
    window = window_settings(trading.data, training, trading.data_without_run)
    trading.data = asdict(window)  # some settings are those of the forecasts unless they are given
    configured_sampling(trading.forecast)
    if trading.backtest.lightgbm:
        raise InputError(
            "backtest.lightgbm=true: trained once, it would stand beside weights that are retrained for every fold: "
            "leave it out of a walk-forward"
        )
    check_store(trading.backtest.store)
    signal, strategy, exchange, cross_section, _ = (
        instantiate(trading[part]) for part in ("signal", "strategy", "exchange", "cross_section", "calibration")
    )
    check_signal(signal, trading.forecast.paths, window.horizon)
    start, end = folds[0].split.test_start, folds[-1].split.test_end
    _, coverage = universe_windows(market, universe, window, start, end)
    coverage_warnings(coverage, universe, trading.universe.allow_partial)
    check_tradable(market, coverage["scored"], strategy, exchange)
    cross_section.check(market, universe, coverage.index)
    benchmarks(market, universe, trading.universe.benchmark)
