"""Retrain every few months, and backtest the days after each training with its weights, as one backtest.

python finetune/walk_forward.py name=walk walk_forward.plan_only=true
python finetune/walk_forward.py name=walk walk_forward.window=rolling walk_forward.jobs=2
python finetune/walk_forward.py "train=['model=kronos_small','tuning=lora']" "backtest=['strategy.topk=30']"

The same command with the same name goes on after an interruption.
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
log = logging.getLogger("walk_forward")


@one_line_errors
@one_run_only
@hydra.main(version_base="1.3", config_path="../conf", config_name="walk_forward")
def main(cfg: DictConfig) -> None:
    """Walk forward as configured by `conf/walk_forward.yaml`."""
    import time
    from pathlib import Path
    from typing import Any, cast

    from hydra import compose
    from hydra.core.hydra_config import HydraConfig
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from kronos_lab.backtesting.finished_backtest import METRICS_FILE
    from kronos_lab.backtesting.walk_forward_checks import check_backtest, check_trainings
    from kronos_lab.backtesting.walk_forward_outcome import finish_walk_forward
    from kronos_lab.runs.console import quiet_libraries
    from kronos_lab.runs.folder import make_paths_absolute, this_run_folder
    from kronos_lab.runs.processes import only_one_at_work
    from kronos_lab.runs.summary import read_summary, write_summary
    from kronos_lab.runs.walk_forward.commands import check_overrides, shared_overrides
    from kronos_lab.runs.walk_forward.folder import begin_walk_forward, is_finished
    from kronos_lab.runs.walk_forward.plan import as_planned, folds_table, plan_folds, print_folds, save_folds
    from kronos_lab.runs.walk_forward.work import WalkForward

    started, folder = time.time(), this_run_folder()
    quiet_libraries()
    make_paths_absolute(cfg)
    settings, train = instantiate(cfg.walk_forward), check_overrides("train", cfg.train)
    backtest, choices = check_overrides("backtest", cfg.backtest), HydraConfig.get().runtime.choices
    plain = compose("train", [f"{group}={choices[group]}" for group in ("market", "universe")])
    shared = shared_overrides(cfg, choices, plain)
    training, trading = compose("train", [*shared, *train]), compose("backtest", [*shared, *backtest])
    market = instantiate(cfg.market)

    # What can be refused is refused before anything is trained.
    newest, horizon = market.newest_day(cfg.universe.name), training.data.horizon
    settings = as_planned(settings, folder)
    folds = plan_folds(settings, market.calendar, newest, horizon)
    outputs, data = Path(cfg.paths.outputs), market.fingerprint
    walk = WalkForward(cfg.name, folder, outputs, folds, settings.start_from, shared, train, backtest, data)
    windows = check_trainings(market, cfg.universe.name, training, folds)
    check_backtest(market, cfg.universe.name, training, trading, folds)
    table = folds_table(folds, market.calendar).assign(train_windows=windows)
    print_folds(table, settings.least_embargo(horizon))
    with only_one_at_work(walk.lock_file) as lock:
        begin_walk_forward(cfg, folder, [*walk.runs, walk.backtest_run])
        save_folds(folder, table)
        walk.save_commands()
        log.info("plan        %s", folder)
        if settings.plan_only:
            return
        if not is_finished(folder):
            walk.train(settings.jobs, lock)
            walk.backtest(lock)
        figures = finish_walk_forward(folder, market, walk.backtest_run, table, cfg.seed)
    joined = read_summary(walk.backtest_run)
    assert joined is not None
    if is_finished(folder):
        return
    write_summary(
        folder,
        kind="walk_forward",
        name=str(cfg.name),
        config=cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True)),
        seed=cfg.seed,
        market=market.name,
        market_fingerprint=market.fingerprint,
        weights=joined["weights"],
        started=started,
        headline=joined["headline"],
        further={**figures, "training_runs": walk.runs, "backtest": walk.backtest_run},
    )
    log.info("table       %s", folder / METRICS_FILE)


if __name__ == "__main__":
    main()
