"""How good are the forecasts of a checkpoint, and are they better than another's?

python finetune/evaluate_forecasts.py checkpoint=outputs/train/<run> parent=NeoQuasar/Kronos-small
python finetune/evaluate_forecasts.py checkpoint=<a> parent=<b> evaluation.test.days=null evaluation.test.names=null
python finetune/evaluate_forecasts.py checkpoint=<run> parent=untrained oracle=true
"""

import logging
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig

from kronos_lab.runs.errors import one_line_errors
from kronos_lab.runs.folder import register_resolvers
from kronos_lab.runs.sweep_jobs import own_process_in_sweeps
from kronos_lab.runs.threads import let_idle_threads_sleep

if TYPE_CHECKING:
    from kronos_lab.evaluation.close_paths import ClosePaths
    from kronos_lab.models.predictor import Kronos
    from kronos_lab.models.tokenizer import KronosTokenizer

register_resolvers()
let_idle_threads_sleep()
log = logging.getLogger("evaluate_forecasts")


@one_line_errors
@hydra.main(version_base="1.3", config_path="../conf", config_name="evaluate_forecasts")
@own_process_in_sweeps
def main(cfg: DictConfig) -> None:
    """Compare forecasts as configured by `conf/evaluate_forecasts.yaml`."""
    import copy
    import time
    from dataclasses import asdict
    from pathlib import Path
    from typing import Any, cast

    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from kronos_lab.data.settings import switch
    from kronos_lab.data.split import parse_day
    from kronos_lab.errors import InputError
    from kronos_lab.evaluation.comparison import PARENT, UNTRAINED, compare
    from kronos_lab.evaluation.daily_figures import Outcome
    from kronos_lab.evaluation.manifest import Manifest
    from kronos_lab.evaluation.on_ranks import forecast_on_ranks
    from kronos_lab.evaluation.oracle import oracle_scores
    from kronos_lab.evaluation.run_outcome import finish_evaluation
    from kronos_lab.runs.checkpoint import find_checkpoint
    from kronos_lab.runs.console import quiet_libraries
    from kronos_lab.runs.folder import save_config, this_run_folder
    from kronos_lab.runs.folder_lock import keep_folder
    from kronos_lab.runs.market import open_market
    from kronos_lab.runs.provenance import (
        knowledge_warnings,
        random_start,
        training_config,
        window_settings,
        window_warnings,
    )
    from kronos_lab.runs.ranks import prepare_ranks, rank

    started, folder = time.time(), this_run_folder()
    quiet_libraries()
    prepare_ranks()
    keep_folder(folder, cfg.name)
    market, outputs = open_market(cfg, folder), Path(cfg.paths.outputs)
    checkpoint = find_checkpoint(cfg.checkpoint, cfg.tokenizer, outputs, market.name, market.fingerprint)
    log.info("checkpoint  %s", checkpoint.title)
    is_given = cfg.parent not in (None, UNTRAINED)
    if cfg.parent_tokenizer is not None and not is_given:
        raise InputError("parent_tokenizer= is the tokenizer of a predictor: give parent= too")
    parent = find_checkpoint(cfg.parent, cfg.parent_tokenizer, outputs, None) if is_given else None
    trained = training_config(checkpoint)
    window = window_settings(cfg.data, trained, cfg.data_without_run)
    cfg.data = asdict(window)
    if rank() == 0:
        save_config(folder, cfg)
    settings = instantiate(cfg.evaluation)
    settings.test_size.check("evaluation.test", least_days=1)
    test_start, test_end = instantiate(cfg.split).days("test")
    start = test_start if cfg.start is None else parse_day("start", cfg.start)
    end = test_end if cfg.end is None else parse_day("end", cfg.end)
    manifest = Manifest(market, cfg.universe.name, window, start, end, settings.test_size)
    scores = {"oracle": oracle_scores(manifest)} if switch("oracle", cfg.oracle) else {}
    warnings = [*checkpoint.warnings, *knowledge_warnings(checkpoint, trained, manifest.days[0])]
    warnings += window_warnings(window, trained)
    if parent is not None:
        log.info("parent      %s", parent.title)
        learned = training_config(parent)
        known = knowledge_warnings(parent, learned, manifest.days[0]) + window_warnings(window, learned)
        warnings += [f"parent: {line}" for line in known]

    def forecast(models: "tuple[KronosTokenizer, Kronos]") -> "ClosePaths":
        forecaster = settings.forecaster(*models, window, cfg.forecast.precision)
        return forecast_on_ranks(instantiate(cfg.trainer), forecaster, manifest, settings.path_settings)

    models = checkpoint.load()
    before, forecasts = None, forecast(copy.deepcopy(models))  # the copy takes on forecast.precision
    if parent is not None:
        before = PARENT, forecast(parent.load())
    elif cfg.parent == UNTRAINED:
        before = UNTRAINED, forecast(random_start(models, trained, cfg.seed))
    if rank() != 0:
        return
    finish_evaluation(
        folder,
        compare(Outcome(manifest, settings.level_neutral), forecasts, before, scores, settings.seed),
        settings=cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True)),
        market=market,
        models=models,
        titles={"checkpoint": checkpoint.title, "parent": cfg.parent if parent is None else parent.title},
        warnings=warnings,
        started=started,
    )


if __name__ == "__main__":
    main()
