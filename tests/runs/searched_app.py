"""A Hydra application whose objective is a formula, to be searched as train.py is.

It leaves a line in `jobs.txt` as it begins, and ends, waits or fails as it is told; with `side_by_side=2` it waits
until another job has begun too. With `own_processes=true` each job is a process of its own, as those of the root
scripts are, and leaves a summary.
"""

import json
import os
import time
from pathlib import Path

import hydra
from omegaconf import DictConfig

from kronos_lab.runs.errors import one_line_errors
from kronos_lab.runs.folder import register_resolvers, this_run_folder
from kronos_lab.runs.search_trial import PRUNED, open_trial
from kronos_lab.runs.sweep_jobs import own_process_in_sweeps

register_resolvers()


def figure(cfg: DictConfig) -> float | None:
    trial = cfg.hparams_search.trial
    begun = Path(cfg.paths.outputs) / "jobs.txt"
    with begun.open("a") as jobs:
        jobs.write(f"{trial} {cfg.x!r} {cfg.kind_of!r} {os.getpid()}\n")
    until = time.monotonic() + 60
    while begun.read_text().count("\n") % cfg.side_by_side:
        if time.monotonic() > until:
            raise TimeoutError("no other job has begun")
        time.sleep(0.02)
    if trial == cfg.wait_in:
        time.sleep(60)
    if trial in cfg.fail_in or cfg.kind_of == "broken":
        raise ValueError(f"no luck\nin trial {trial}")
    if trial in cfg.nothing_in:
        return None
    if trial in cfg.nan_in:
        return float("nan")
    return (cfg.x - 0.3) ** 2 + {"a": 0.0, "b": 1.0}[cfg.kind_of]


@own_process_in_sweeps
def run(cfg: DictConfig) -> None:
    summary = {"headline": {"value": figure(cfg)}}
    if cfg.hparams_search.trial in cfg.prune_in:
        open_trial(cfg.hparams_search.storage, cfg.hparams_search.trial).set_user_attr(PRUNED, True)
        summary = {"status": "pruned", "headline": {"another": 1.0}}
    (this_run_folder() / "summary.json").write_text(json.dumps(summary))


@one_line_errors
@hydra.main(version_base="1.3", config_path=None, config_name="searched")
def main(cfg: DictConfig) -> float | None:
    return run(cfg) if cfg.own_processes else figure(cfg)


if __name__ == "__main__":
    main()
