"""Does the machinery of a backtest see what is there, and nothing where nothing is?

python backtest/run_placebos.py run=outputs/backtest/<run>
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
log = logging.getLogger("run_placebos")


@one_line_errors
@one_run_only
@hydra.main(version_base="1.3", config_path="../conf", config_name="run_placebos")
def main(cfg: DictConfig) -> None:
    """Trade placebos as configured by `conf/run_placebos.yaml`."""
    import time
    from pathlib import Path
    from typing import Any, cast

    import pandas as pd
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from kronos_lab.backtesting.baselines import against_baselines, trade_each
    from kronos_lab.backtesting.finished_backtest import find_backtest, load_rule, read_scores
    from kronos_lab.backtesting.forecasts.forecast_again import forecast_again
    from kronos_lab.backtesting.lookahead import days_to_repeat, look_ahead
    from kronos_lab.backtesting.performance import sessions_per_year
    from kronos_lab.backtesting.placebos import (
        PLACEBOS_FILE,
        excess_before_cost,
        findings,
        placebo_scores,
        save_placebos,
    )
    from kronos_lab.backtesting.results import benchmarks
    from kronos_lab.data.settings import whole_number
    from kronos_lab.errors import InputError
    from kronos_lab.runs.console import quiet_libraries
    from kronos_lab.runs.folder import save_config, this_run_folder
    from kronos_lab.runs.ranks import prepare_ranks, rank
    from kronos_lab.runs.summary import read_summary, write_summary

    started, folder, outputs = time.time(), this_run_folder(), Path(cfg.paths.outputs)
    quiet_libraries()
    prepare_ranks()
    whole_number("shuffles", cfg.shuffles, least=0)
    whole_number("lookahead_days", cfg.lookahead_days, least=0)
    earlier = find_backtest(cfg.run, outputs)
    was, summary = load_rule(earlier), read_summary(earlier)
    assert summary is not None
    log.info("backtest    %s", earlier)
    market = instantiate(was.market)
    if market.fingerprint != summary["market"]["fingerprint"]:
        raise InputError(f"market {market.name} is not what it was when {earlier} was made: run the backtest again")
    if rank() == 0:
        save_config(folder, cfg)
    score_LN, lookahead = read_scores(earlier), None
    if cfg.lookahead_days:
        days = days_to_repeat(market, pd.DatetimeIndex(score_LN.index), cfg.lookahead_days)
        again, raw_LN = forecast_again(earlier, was, market, score_LN, outputs, instantiate(cfg.trainer))
        universe, cross_section = was.universe.name, instantiate(was.cross_section)
        lookahead = look_ahead(folder / "lookahead", market, universe, days, raw_LN, score_LN, again, cross_section)
    if rank() != 0:  # a further process of this job: its forecasts are written
        return

    scores = placebo_scores(market, score_LN, cfg.shuffles, cfg.seed)
    traded = trade_each(market, scores, instantiate(was.strategy), instantiate(was.exchange), was.backtest.account)
    equal = benchmarks(market, was.universe.name, None)["equal_weight"].returns
    per_year = sessions_per_year(market.calendar)
    table = against_baselines(market, traded, equal, was.data.horizon, per_year, cfg.seed)
    before_cost = excess_before_cost(traded, equal)
    headline = save_placebos(folder, table, before_cost, per_year)
    sentences = findings(table, before_cost, per_year)
    if lookahead is not None:
        sentences.append(lookahead.finding)
        headline |= lookahead.figures
    for sentence in sentences:
        log.info("%s", sentence)
    write_summary(
        folder,
        kind="placebos",
        name=cfg.name,
        config=cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True)),
        seed=cfg.seed,
        market=market.name,
        market_fingerprint=market.fingerprint,
        weights=summary["weights"],
        started=started,
        headline=headline,
        further={"backtest": str(earlier), "findings": sentences},
    )
    log.info("table       %s", folder / PLACEBOS_FILE)


if __name__ == "__main__":
    main()
