"""Finetune Kronos on a market: the tokenizer, then the predictor on its tokens.

python train.py
python train.py trainer.devices=4
python train.py model=kronos_small universe=csi300 market=qlib market.store=$HOME/.qlib/qlib_data/cn_data
python train.py resume=outputs/train/<run>
python train.py from_run=outputs/train/<run>
"""

import hydra
from omegaconf import DictConfig

from kronos_lab.runs.errors import one_line_errors
from kronos_lab.runs.folder import register_resolvers
from kronos_lab.runs.market import open_market
from kronos_lab.runs.sweep_jobs import own_process_in_sweeps
from kronos_lab.runs.threads import let_idle_threads_sleep

register_resolvers()
let_idle_threads_sleep()


@one_line_errors
@hydra.main(version_base="1.3", config_path="conf", config_name="train")
@own_process_in_sweeps
def main(cfg: DictConfig) -> None:
    """Train the stages that `conf/train.yaml` and the command line ask for."""
    from functools import partial
    from pathlib import Path
    from typing import Any, cast

    from hydra.utils import instantiate
    from lightning.pytorch import seed_everything
    from omegaconf import OmegaConf

    from kronos_lab.data.settings import switch, whole_number
    from kronos_lab.runs.beginning import begin_run
    from kronos_lab.runs.console import quiet_libraries
    from kronos_lab.runs.folder import this_run_folder
    from kronos_lab.runs.objective import check_objective
    from kronos_lab.runs.ranks import prepare_ranks
    from kronos_lab.runs.repetition import warn_of_differences
    from kronos_lab.runs.search_trial import refuse_search_of_one_run
    from kronos_lab.runs.tracking import record_of, tracked
    from kronos_lab.training.attempts import Attempts
    from kronos_lab.training.fit import fit_stage
    from kronos_lab.training.monitor import choose_monitor, known_metrics
    from kronos_lab.training.outcome import facts_of_training, finish_training, track_outcome
    from kronos_lab.training.parent_comparison import ParentComparison
    from kronos_lab.training.predictor_module import PredictorModule, check_loss_choices
    from kronos_lab.training.pruning import EndWherePruned
    from kronos_lab.training.starting_weights import load_starting_weights, stages_of
    from kronos_lab.training.tokenizer_module import TokenizerModule
    from kronos_lab.training.tuning import check_tuning

    refuse_search_of_one_run(cfg)
    attempts = Attempts(folder := this_run_folder())
    quiet_libraries()
    prepare_ranks()
    cfg = begin_run(cfg, folder)
    stages = stages_of(cfg.stage, cfg.model.pretrained, cfg.model.pretrained_tokenizer)
    check_loss_choices(cfg.s1_conditioning, cfg.loss_bars)
    metrics: list[str] = []
    for module in (TokenizerModule, PredictorModule):
        if module.stage in stages:
            of_stage = module.stage, module.validation_metrics, instantiate(cfg.callbacks).values()
            choose_monitor(cfg.monitor, *of_stage)
            metrics += [f"{module.stage}/{name}" for name in known_metrics(*of_stage)]
    optimisation = {stage: instantiate(cfg.optim[stage]) for stage in stages}
    switch("compile", cfg.compile)
    for stage, chosen in optimisation.items():
        chosen.check(f"optim.{stage}")
    seed_everything(whole_number("seed", cfg.seed, least=0, most=2**32 - 1), workers=True, verbose=False)

    market, split = open_market(cfg, folder), instantiate(cfg.split)  # in this order: it settles the split
    warn_of_differences(cfg.get("from_run"), market)
    data = instantiate(cfg.data, _partial_=True)(market=market, universe=cfg.universe.name, split=split)
    tokenizer, predictor = instantiate(cfg.model.tokenizer), instantiate(cfg.model.predictor)
    tuning = instantiate(cfg.tuning)
    check_tuning(tuning, predictor, stages, cfg.model.pretrained)
    starting_weights = load_starting_weights(
        tokenizer, predictor, cfg.model.pretrained, cfg.model.pretrained_tokenizer, Path(cfg.paths.outputs)
    )
    quality = ParentComparison(
        instantiate(cfg.evaluation), stages, tokenizer, predictor, cfg.model.pretrained, starting_weights
    )
    check_objective(cfg.get("objective"), metrics + quality.figures)  # a run that is older than the setting has none
    figures, logger = instantiate(cfg.figures), instantiate(cfg.logger, folder=str(folder))
    fit = partial(
        fit_stage,
        data=data,
        make_trainer=instantiate(cfg.trainer),
        make_callbacks=partial(instantiate, cfg.callbacks),
        logger=logger,
        folder=folder,
        monitor=cfg.monitor,
        checkpoint_every_n_steps=cfg.checkpoint_every_n_steps,
        attempts=attempts,
        compiled=cfg.compile,
    )
    window = {"lookback": data.lookback, "horizon": data.horizon, "seed": cfg.seed}
    settings = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    outcome: dict[str, float] = {}
    comparison, search = None, EndWherePruned(outcome)
    models = {"tokenizer": tokenizer, "predictor": predictor}
    with search, tracked(logger, settings, facts_of_training(folder, market, starting_weights)):
        if "tokenizer" in stages:
            outcome |= fit(TokenizerModule(tokenizer, optimisation["tokenizer"], **window))
        if "predictor" in stages:
            outcome |= fit(
                PredictorModule(
                    predictor,
                    tokenizer,
                    optimisation["predictor"],
                    cfg.s1_conditioning,
                    cfg.loss_bars,
                    tuning,
                    **window,
                )
            )
        comparison = quality.run(tokenizer, predictor, data, instantiate(cfg.trainer), logger, folder)
        track_outcome(logger, folder, models, data, figures)
    record = record_of(logger)
    finish_training(
        folder, settings, market, split, starting_weights, models, outcome, attempts, data, record, comparison, search
    )


if __name__ == "__main__":
    main()
