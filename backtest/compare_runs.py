"""Backtests beside each other: which is best, and can that be told from another one and from luck?

python backtest/compare_runs.py runs=[first,second,third]
python backtest/compare_runs.py runs=outputs/backtest/<sweep> against=<run>
"""

import logging

import hydra
from omegaconf import DictConfig

from kronos_lab.runs.errors import one_line_errors
from kronos_lab.runs.folder import register_resolvers
from kronos_lab.runs.sweep_jobs import one_run_only

register_resolvers()
log = logging.getLogger("compare_runs")


@one_line_errors
@one_run_only
@hydra.main(version_base="1.3", config_path="../conf", config_name="compare_runs")
def main(cfg: DictConfig) -> None:
    """Compare finished backtests as configured by `conf/compare_runs.yaml`."""
    import time
    from contextlib import nullcontext
    from pathlib import Path
    from typing import Any, cast

    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from kronos_lab.backtesting.comparison.compared_run import read_compared_run
    from kronos_lab.backtesting.comparison.comparison import compare_runs
    from kronos_lab.backtesting.comparison.find_runs import find_runs
    from kronos_lab.backtesting.comparison.outcome import headline, save_comparison, show, track
    from kronos_lab.backtesting.comparison.verdict import verdict
    from kronos_lab.data.settings import switch, whole_number
    from kronos_lab.errors import InputError
    from kronos_lab.runs.console import quiet_libraries
    from kronos_lab.runs.folder import save_config, this_run_folder
    from kronos_lab.runs.summary import write_summary
    from kronos_lab.runs.tracking import facts_of_run, record_of, tracked
    from kronos_lab.runs.trials import read_trials

    started, folder, outputs = time.time(), this_run_folder(), Path(cfg.paths.outputs)
    quiet_libraries()
    switch("skip_unfinished", cfg.skip_unfinished)
    whole_number("seed", cfg.seed, least=0)
    settings = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    folders = find_runs(settings["runs"], outputs, cfg.skip_unfinished)
    against = folders[:1] if cfg.against is None else find_runs(cfg.against, outputs)
    if len(against) > 1:
        raise InputError(f"against={cfg.against} stands for {len(against)} runs: name one of them")
    runs = {one: read_compared_run(one, outputs) for one in dict.fromkeys([*folders, *against])}
    log.info("backtests   %d, against %s", len(runs), runs[against[0]].name)
    compared = compare_runs([*runs.values()], runs[against[0]], read_trials(outputs), cfg.seed)

    save_config(folder, cfg)
    save_comparison(folder, compared, settings)
    logger = instantiate(cfg.logger, folder=str(folder)) if cfg.get("logger") else None
    facts = facts_of_run(folder, None, against=compared.against.name, runs=" ".join(run.name for run in runs.values()))
    with nullcontext() if logger is None else tracked(logger, settings, facts):
        if logger is not None:
            track(logger, folder, compared)
    write_summary(
        folder,
        kind="compare",
        name=cfg.name,
        config=settings,
        seed=cfg.seed,
        market=compared.first.conditions.market,
        market_fingerprint=compared.first.conditions.fingerprint,
        weights={run.name: run.weights for run in runs.values()},
        started=started,
        headline=headline(compared),
        further={
            "verdict": verdict(compared),
            **compared.describe(),
            **({} if logger is None else record_of(logger)),
        },
    )
    show(folder, compared)


if __name__ == "__main__":
    main()
