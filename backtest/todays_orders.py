"""What would the rule of a backtest buy and sell in the next session?

python backtest/todays_orders.py run=outputs/backtest/<run> holdings=holdings.csv cash=250000
python backtest/todays_orders.py universe=csi500 holdings=holdings.csv cash=250000
"""

import logging

import hydra
from omegaconf import DictConfig

from kronos_lab.runs.errors import one_line_errors
from kronos_lab.runs.folder import register_resolvers
from kronos_lab.runs.sweep_jobs import one_run_only
from kronos_lab.runs.threads import let_idle_threads_sleep

register_resolvers()
let_idle_threads_sleep()
log = logging.getLogger("todays_orders")

# Settings that may be typed beside run=, and those of a backtest that mean nothing here.
BESIDE_RUN = (
    "run", "holdings", "cash", "day", "name", "debug", "checkpoint", "tokenizer", "backtest_batch_size", "trainer.",
    "paths.outputs",
)  # fmt: skip
OF_BACKTESTS = (
    "backtest.start=", "backtest.end=", "backtest.reuse=", "backtest.baselines=", "backtest.parent=",
    "backtest.random_portfolios=", "backtest.lightgbm=", "lightgbm", "calibration", "logger=", "objective=",
)  # fmt: skip


@one_line_errors
@one_run_only
@hydra.main(version_base="1.3", config_path="../conf", config_name="todays_orders")
def main(cfg: DictConfig) -> None:
    """Write the orders of one day as configured by `conf/todays_orders.yaml`."""
    import time
    from dataclasses import asdict
    from pathlib import Path
    from typing import Any, cast

    import pandas as pd
    from hydra.core.hydra_config import HydraConfig
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from kronos_lab.backtesting.finished_backtest import find_backtest, take_over_rule
    from kronos_lab.backtesting.forecasts.candidates import find_candidates
    from kronos_lab.backtesting.forecasts.configured_forecast import configured_forecast
    from kronos_lab.backtesting.forecasts.coverage import coverage_warnings
    from kronos_lab.backtesting.forecasts.forecast_shards import check_store, score_forecasts
    from kronos_lab.backtesting.forecasts.universe_forecast import universe_windows
    from kronos_lab.backtesting.scores.signals import check_signal
    from kronos_lab.backtesting.trading.holdings import cash_beside, no_holdings, read_holdings
    from kronos_lab.backtesting.trading.next_session import next_session, session_warnings, signal_day
    from kronos_lab.backtesting.trading.order_files import ORDERS_FILE, print_orders, save_orders
    from kronos_lab.backtesting.trading.orders import plan_orders
    from kronos_lab.backtesting.trading.portfolio import check_rules
    from kronos_lab.errors import InputError
    from kronos_lab.runs.configured_forecaster import configured_sampling
    from kronos_lab.runs.console import quiet_libraries
    from kronos_lab.runs.folder import save_config, this_run_folder
    from kronos_lab.runs.market import open_market
    from kronos_lab.runs.ranks import prepare_ranks, rank
    from kronos_lab.runs.summary import write_summary

    started, folder, outputs = time.time(), this_run_folder(), Path(cfg.paths.outputs)
    quiet_libraries()
    prepare_ranks()
    typed = list(HydraConfig.get().overrides.task)
    useless = [one for one in typed if one.startswith(OF_BACKTESTS)]
    if useless:
        raise InputError(f"{useless[0]} is for backtest.py: this is one day, which day= chooses, and not tracked")
    backtest = None if cfg.run is None else find_backtest(cfg.run, outputs)
    expected = {} if backtest is None else take_over_rule(cfg, backtest, typed, BESIDE_RUN)
    if backtest is not None:
        log.info("backtest    %s", backtest)
    market, universe = open_market(cfg, folder), cfg.universe.name
    candidates = find_candidates(
        cfg.checkpoint, cfg.tokenizer, outputs, market.name, market.fingerprint, with_parent=False
    )
    window = candidates.window(cfg.data, cfg.data_without_run)
    cfg.data = asdict(window)
    if rank() == 0:
        save_config(folder, cfg)
    sampling = configured_sampling(cfg.forecast)
    signal, cross_section, strategy, exchange = (
        instantiate(part) for part in (cfg.signal, cfg.cross_section, cfg.strategy, cfg.exchange)
    )

    # What can be refused is refused before the forecasts are made.
    check_store(cfg.backtest.store)
    check_signal(signal, cfg.forecast.paths, window.horizon)
    day = signal_day(market, universe, cfg.day)
    held, unsaid = no_holdings(), list[str]()
    if cfg.holdings is not None:
        held, unsaid = read_holdings(cfg.holdings, market, day, whole=exchange.trade_unit is not None)
    cash, warnings = cash_beside(cfg.cash, held, cfg.backtest.account)
    strategy.check_held(len(held))
    candidates = candidates.during(day, day)
    windows, coverage = universe_windows(market, universe, window, f"{day:%Y-%m-%d}", f"{day:%Y-%m-%d}")
    warnings += [
        *unsaid,
        *candidates.choice_warnings,
        *coverage_warnings(coverage, universe, cfg.universe.allow_partial),
    ]
    check_rules(market, coverage["scored"], strategy, exchange)
    warnings += cross_section.check(market, universe, pd.DatetimeIndex(coverage.index))
    session = next_session(market, day)
    exchange.check_dates(session.stamp)
    warnings += session_warnings(session, pd.Timestamp.now().normalize() if cfg.day is None else session.stamp)

    loaded, weights = candidates.load()
    if expected and not weights.items() <= expected.items():  # of several that take turns one is loaded
        raise InputError(f"{candidates.title} has other weights than {backtest} used: give checkpoint= if it is meant")
    for candidate, models in zip(candidates.own, loaded, strict=True):
        forecast = configured_forecast(cfg, market, window, candidate, models, instantiate(cfg.trainer))
        forecast(folder / candidate.folder, windows=windows, sampling=sampling, paths=cfg.forecast.paths)
    if rank() != 0:  # a further process of this job: its forecasts are written
        return

    folders = [folder / candidate.folder for candidate in candidates.own]
    score_N = cross_section(score_forecasts(folders, signal), market, universe).loc[day]
    plan = plan_orders(market, score_N, held, cash, strategy, exchange, session)
    settings = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    facts = {
        "market": {"name": market.name, "fingerprint": market.fingerprint},
        "universe": universe,
        **candidates.facts,
        "weights": weights,
        "settings": settings,
    }
    save_orders(folder, plan, warnings, facts)
    write_summary(
        folder,
        kind="orders",
        name=cfg.name,
        config=settings,
        seed=cfg.seed,
        market=market.name,
        market_fingerprint=market.fingerprint,
        weights=weights,
        started=started,
        headline={"orders": len(plan.orders), "cash_after": plan.cash_after},
        further={"day": f"{day:%Y-%m-%d}", "backtest": None if backtest is None else str(backtest)},
    )
    print_orders(plan, warnings)
    log.info("orders      %s", folder / ORDERS_FILE)


if __name__ == "__main__":
    main()
