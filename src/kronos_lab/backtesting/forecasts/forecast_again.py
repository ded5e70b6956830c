"""Single days of a finished backtest, forecast once more as it did, perhaps on another market."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from hydra.utils import instantiate
from lightning.pytorch import Trainer
from omegaconf import DictConfig

from kronos_lab.backtesting.finished_backtest import checkpoint_of
from kronos_lab.backtesting.forecasts.candidates import Candidate, find_candidates
from kronos_lab.backtesting.forecasts.configured_forecast import configured_forecast
from kronos_lab.backtesting.forecasts.forecast_shards import score_forecasts, scores_in_turn
from kronos_lab.backtesting.forecasts.universe_forecast import universe_windows
from kronos_lab.backtesting.scores.signals import Signal
from kronos_lab.data.market import Market
from kronos_lab.errors import InputError
from kronos_lab.runs.configured_forecaster import configured_sampling
from kronos_lab.runs.provenance import WindowSettings
from kronos_lab.runs.ranks import rank


@dataclass(frozen=True)
class ForecastAgain:
    """Raw scores of a day, made of new forecasts.

    Attributes:
        universe: whose members are forecast.
        window: what a forecast sees.
        signal: makes scores of the forecasts.
        candidates: the weights that were traded, and for each `forecast_universe` but for folder, market, windows and
            rows.
    """

    universe: str
    window: WindowSettings
    signal: Signal
    candidates: Sequence[tuple[Candidate, Callable[..., None]]]

    def __call__(self, folder: Path, market: Market, day: pd.Timestamp) -> pd.Series | None:
        """Scores [N] of the day's members, higher is better; None on all ranks but the one that writes.

        Args:
            folder: new, for the forecasts.
            market: with the bars and members to forecast.
            day: a signal day.
        """
        only = f"{day:%Y-%m-%d}"
        windows, _ = universe_windows(market, self.universe, self.window, only, only)
        folders = []
        for candidate, forecast in self.candidates:
            rows = candidate.rows(windows, windows.signal_rows(np.arange(len(windows))))
            if len(rows):  # of several that take turns, one forecasts the day
                folders.append(folder / candidate.folder)
                forecast(folders[-1], market=market, windows=windows, row_S=rows)
        return score_forecasts(folders, self.signal).T[day] if rank() == 0 else None


def forecast_again(
    folder: Path,
    was: DictConfig,
    market: Market,
    score_LN: pd.DataFrame,
    outputs: Path,
    make_trainer: Callable[..., Trainer],
) -> tuple[ForecastAgain, pd.DataFrame]:
    """What makes the raw scores of a finished backtest once more, and those that it made, [L, N].

    Args:
        folder: of the backtest.
        was: its configuration, see `load_rule`.
        market: as it was then.
        score_LN: what it traded.
        outputs: folder of all runs.
        make_trainer: Lightning's Trainer, to be called with the arguments that are ours to choose.

    Raises:
        InputError: its weights or its forecasts are not there any more.
    """
    window, signal = WindowSettings(**was.data), instantiate(was.signal)
    try:
        checkpoint, expected = checkpoint_of(folder, was, outputs)
        found = find_candidates(checkpoint, was.tokenizer, outputs, market.name, market.fingerprint, with_parent=False)
        candidates = found.during(score_LN.index[0], score_LN.index[-1])
        raw_LN = scores_in_turn([[folder / one.folder for one in turn] for turn in candidates.turns], signal)
        loaded, weights = candidates.load()
        if weights != expected:
            raise InputError(f"{candidates.title} has other weights now")
    except InputError as error:
        raise InputError(f"its days cannot be forecast again ({error}): lookahead_days=0 leaves that out") from error
    drawn = {"sampling": configured_sampling(was.forecast), "paths": was.forecast.paths}
    forecasts = [
        (candidate, partial(configured_forecast(was, market, window, candidate, models, make_trainer), **drawn))
        for candidate, models in zip(candidates.own, loaded, strict=True)
    ]
    return ForecastAgain(was.universe.name, window, signal, forecasts), raw_LN
