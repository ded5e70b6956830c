"""Forecasts of a universe as a backtest is configured to make them, whoever asks for them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from lightning.pytorch import Trainer
from omegaconf import DictConfig

from kronos_lab.backtesting.forecasts.candidates import Candidate, fingerprints
from kronos_lab.backtesting.forecasts.forecast_shards import check_store
from kronos_lab.backtesting.forecasts.universe_forecast import forecast_universe
from kronos_lab.data.market import Market
from kronos_lab.models.predictor import Kronos
from kronos_lab.models.tokenizer import KronosTokenizer
from kronos_lab.runs.configured_forecaster import configured_forecaster
from kronos_lab.runs.provenance import WindowSettings


def configured_forecast(
    cfg: DictConfig,
    market: Market,
    window: WindowSettings,
    candidate: Candidate,
    models: tuple[KronosTokenizer, Kronos],
    make_trainer: Callable[..., Trainer],
    earlier: Path | None = None,
) -> Callable[..., None]:
    """`forecast_universe` with all arguments but folder, windows, rows, sampling and paths.

    Args:
        cfg: of a backtest.
        market: with the bars.
        window: what a forecast sees.
        candidate: whose random numbers are drawn.
        models: its tokenizer and predictor.
        make_trainer: Lightning's Trainer, to be called with the arguments that are ours to choose.
        earlier: folder of all runs, where the same forecasts may have been made before; None: they are not looked for.
    """
    universe = cfg.universe.name
    return partial(
        forecast_universe,
        make_trainer=make_trainer,
        market=market,
        forecaster=configured_forecaster(*models, window, cfg.forecast),
        horizon=window.horizon,
        batch_size=cfg.backtest_batch_size,
        seed=cfg.seed + candidate.number,
        store=check_store(cfg.backtest.store),
        origin={"weights": fingerprints(*models), "market": market.fingerprint, "universe": universe},
        earlier=earlier,
    )
