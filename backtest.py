"""Forecast every member of a universe day after day, trade the forecasts, and report what came out.

python backtest.py universe=csi500
python backtest.py universe=csi300 checkpoint=outputs/train/demo strategy.topk=30 backtest.end=2024-12-31
python backtest.py checkpoint=NeoQuasar/Kronos-small forecast.paths=10 logger=csv
"""

import hydra
from omegaconf import DictConfig

from kronos_lab.runs.errors import one_line_errors
from kronos_lab.runs.folder import register_resolvers, save_config, this_run_folder

register_resolvers()


@one_line_errors
@hydra.main(version_base="1.3", config_path="conf", config_name="backtest")
def main(cfg: DictConfig) -> None:
    """Run one backtest as configured by `conf/backtest.yaml`."""
    import time
    from dataclasses import asdict
    from functools import partial
    from pathlib import Path

    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from kronos_lab.backtesting.coverage import coverage_warnings
    from kronos_lab.backtesting.forecast_shards import score_forecasts
    from kronos_lab.backtesting.portfolio import check_tradable, simulate
    from kronos_lab.backtesting.provenance import knowledge_warnings, training_config, window_settings
    from kronos_lab.backtesting.results import benchmarks, evaluate, headline
    from kronos_lab.backtesting.saving import describe, log_results, save_report, save_tables
    from kronos_lab.backtesting.universe_forecast import forecast_universe, signal_range, universe_windows
    from kronos_lab.forecasting.forecaster import Forecaster
    from kronos_lab.forecasting.token_sampling import Sampling
    from kronos_lab.models.hub import weights_fingerprint
    from kronos_lab.runs.checkpoint import find_checkpoint
    from kronos_lab.runs.summary import write_summary

    started, folder = time.time(), this_run_folder()
    market, universe = instantiate(cfg.market), cfg.universe.name
    checkpoint = find_checkpoint(cfg.checkpoint, cfg.tokenizer, Path(cfg.paths.outputs), market.name)
    print(f"checkpoint  {checkpoint.title}")
    trained = training_config(checkpoint)
    window = window_settings(cfg.data, trained, cfg.data_without_run)
    cfg.data = asdict(window)
    save_config(folder, cfg)

    # What can be refused is refused before the forecasts are made.
    first, last = signal_range(market, universe, cfg.backtest.start, cfg.backtest.end)
    windows, coverage = universe_windows(market, universe, window, first, last)
    warnings = knowledge_warnings(checkpoint, trained, first)
    warnings += coverage_warnings(coverage, universe, cfg.universe.allow_partial)
    signal, strategy, exchange = instantiate(cfg.signal), instantiate(cfg.strategy), instantiate(cfg.exchange)
    check_tradable(market, coverage["scored"], strategy, exchange)
    against = benchmarks(market, universe, cfg.universe.benchmark)

    tokenizer, predictor = checkpoint.load()
    weights = {"predictor": weights_fingerprint(predictor), "tokenizer": weights_fingerprint(tokenizer)}
    goes_on = forecast_universe(
        folder / "forecasts",
        partial(instantiate, cfg.trainer),
        market,
        windows,
        Forecaster(tokenizer, predictor, clip=window.clip, rescale=window.rescale),
        Sampling(cfg.forecast.temperature, cfg.forecast.top_p, cfg.forecast.top_k),
        horizon=window.horizon,
        paths=cfg.forecast.paths,
        batch_size=cfg.backtest_batch_size,
        seed=cfg.seed,
        origin={"weights": weights, "market": market.fingerprint, "universe": universe},
    )
    if not goes_on:
        return

    scores = score_forecasts(folder / "forecasts", signal)
    ledger = simulate(market, scores, strategy, exchange, cfg.backtest.account)
    results = evaluate(market, scores, ledger, against, coverage, window.horizon, warnings)
    save_tables(folder, results)
if __name__ == "__main__":
    main()
