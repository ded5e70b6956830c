"""Forecast every member of a universe day after day, trade the forecasts, and report what came out.

python backtest.py universe=csi500
python backtest.py universe=csi300 checkpoint=outputs/train/demo strategy.topk=30 backtest.end=2024-12-31
python backtest.py checkpoint=NeoQuasar/Kronos-small forecast.paths=10 logger=csv
"""

import logging

import hydra
from omegaconf import DictConfig

from kronos_lab.runs.errors import one_line_errors
from kronos_lab.runs.folder import register_resolvers, save_config, this_run_folder
from kronos_lab.runs.market import open_market
from kronos_lab.runs.sweep_jobs import own_process_in_sweeps
from kronos_lab.runs.threads import let_idle_threads_sleep

register_resolvers()
let_idle_threads_sleep()
log = logging.getLogger("backtest")


@one_line_errors
@hydra.main(version_base="1.3", config_path="conf", config_name="backtest")
@own_process_in_sweeps
def main(cfg: DictConfig) -> None:
    """Run one backtest as configured by `conf/backtest.yaml`."""
    import time
    from dataclasses import asdict
    from pathlib import Path
    from typing import Any, cast

    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from kronos_lab.backtesting import optional_figures
    from kronos_lab.backtesting.alpha158.rival import Rival
    from kronos_lab.backtesting.baselines import LIGHTGBM, OURS, PARENT, baseline_scores, on_rows_of, trade_each
    from kronos_lab.backtesting.forecasts.candidates import find_candidates
    from kronos_lab.backtesting.forecasts.configured_forecast import configured_forecast
    from kronos_lab.backtesting.forecasts.coverage import coverage_warnings
    from kronos_lab.backtesting.forecasts.forecast_shards import check_store, scores_in_turn
    from kronos_lab.backtesting.forecasts.universe_forecast import universe_windows
    from kronos_lab.backtesting.outcome import finish_backtest
    from kronos_lab.backtesting.results import benchmarks, evaluate
    from kronos_lab.backtesting.scores.signals import check_signal
    from kronos_lab.backtesting.trading.portfolio import check_tradable
    from kronos_lab.backtesting.trading.random_portfolios import random_portfolios
    from kronos_lab.data.settings import positive_number, switch, whole_number
    from kronos_lab.runs.configured_forecaster import configured_sampling
    from kronos_lab.runs.console import quiet_libraries
    from kronos_lab.runs.folder_lock import keep_folder
    from kronos_lab.runs.laps import Laps
    from kronos_lab.runs.ranks import prepare_ranks, rank
    from kronos_lab.runs.search_trial import refuse_search_of_one_run

    refuse_search_of_one_run(cfg)
    lap = Laps()
    started, folder, outputs = time.time(), this_run_folder(), Path(cfg.paths.outputs)
    quiet_libraries()
    prepare_ranks()
    keep_folder(folder, cfg.name)
    market, universe = open_market(cfg, folder), cfg.universe.name
    for key in ("reuse", "parent", "baselines", "lightgbm"):
        switch(f"backtest.{key}", cfg.backtest[key])
    candidates = find_candidates(
        cfg.checkpoint, cfg.tokenizer, outputs, market.name, market.fingerprint, with_parent=cfg.backtest.parent
    )
    window = candidates.window(cfg.data, cfg.data_without_run)
    cfg.data = asdict(window)
    account = positive_number("backtest.account", cfg.backtest.account)
    check_store(cfg.backtest.store)
    portfolios = whole_number("backtest.random_portfolios", cfg.backtest.random_portfolios, 0)
    if rank() == 0:
        save_config(folder, cfg)
    sampling = configured_sampling(cfg.forecast)
    signal, cross_section, strategy, exchange = (
        instantiate(part) for part in (cfg.signal, cfg.cross_section, cfg.strategy, cfg.exchange)
    )

    # What can be refused is refused before the forecasts are made.
    check_signal(signal, cfg.forecast.paths, window.horizon)
    windows, coverage = universe_windows(market, universe, window, cfg.backtest.start, cfg.backtest.end)
    candidates = candidates.during(coverage.index[0], coverage.index[-1])
    warnings = candidates.warnings(window, coverage.index[0])
    warnings += coverage_warnings(coverage, universe, cfg.universe.allow_partial)
    check_tradable(market, coverage["scored"], strategy, exchange)
    warnings += cross_section.check(market, universe, coverage.index)
    rival = None
    if cfg.backtest.lightgbm:
        rival = Rival.before(
            coverage.index[0],
            instantiate(cfg.lightgbm),
            market,
            universe,
            instantiate(cfg.split),
            window.horizon,
            cfg.backtest.reuse,
        )
    against = benchmarks(market, universe, cfg.universe.benchmark)
    made = {
        optional_figures.INDEX: "index" in against,
        optional_figures.RANDOM_PORTFOLIOS: portfolios > 0,
        optional_figures.CALIBRATION: cfg.calibration.days != 0,
        optional_figures.RIVALS: cfg.backtest.baselines or rival is not None,
        optional_figures.LIGHTGBM: rival is not None,
    }
    optional_figures.check_has_figure(cfg.get("objective"), window.horizon, made)
    calibration = instantiate(cfg.calibration).sample(market, universe, window, coverage.index, sampling)

    loaded, weights = candidates.load()
    lap("load")
    for candidate, models in zip(candidates.all, loaded, strict=True):
        earlier = outputs if cfg.backtest.reuse else None
        forecast = configured_forecast(cfg, market, window, candidate, models, instantiate(cfg.trainer), earlier)
        to = folder / candidate.folder
        forecast(to, windows=windows, row_S=candidate.rows(windows), sampling=sampling, paths=cfg.forecast.paths)
        lap("predict")
        if candidate in candidates.own:
            calibration.forecast(folder / candidate.calibration_folder, forecast, candidate.rows)
            lap("predict for calibration")
    if rank() != 0:  # a further process of this job: its forecasts are written
        return

    folders = {OURS: [[folder / candidate.folder for candidate in turn] for turn in candidates.turns]}
    if candidates.parent:
        folders[PARENT] = [[folder / candidates.parent.folder]]
    scores = {name: cross_section(scores_in_turn(of, signal), market, universe) for name, of in folders.items()}
    if candidates.parent:  # a path of few may leave either without a score where the other has one
        scores[PARENT] = on_rows_of(scores[OURS], scores[PARENT])
    lap("signals")
    if cfg.backtest.baselines:
        scores |= baseline_scores(market, scores[OURS])
    made_of = None
    if rival:
        scores[LIGHTGBM], made_of, of_rival = rival.score(scores[OURS])
        warnings += of_rival
        lap("lightgbm")
    traded = trade_each(market, scores, strategy, exchange, account)
    random = random_portfolios(market, scores[OURS], traded[OURS].ledger, exchange, account, portfolios, cfg.seed)
    lap("simulation")
    sampled = [[folder / candidate.calibration_folder for candidate in turn] for turn in candidates.turns]
    calibrated = calibration.measure(sampled, cfg.seed)
    results = evaluate(
        market, traded, against, coverage, window.horizon, warnings, cfg.seed, random, calibrated, made_of
    )
    lap("statistics")
    finish_backtest(
        folder,
        results,
        settings=cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True)),
        market=market,
        weights=weights,
        candidates=candidates,
        parts=[window, sampling, signal, cross_section, strategy, exchange],
        logger=instantiate(cfg.logger, folder=str(folder)),
        started=started,
        lap=lap,
    )


if __name__ == "__main__":
    main()
