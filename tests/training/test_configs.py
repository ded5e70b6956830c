"""Every configuration of train.py composes, and what it names can be built."""

import inspect
import json

import pytest

from kronos_lab.runs.folder import project_root, register_resolvers

CONF = project_root() / "conf"


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml") if path.stem != "default")


def compose(*overrides: str):
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra_compose("train", overrides=list(overrides))


@pytest.mark.parametrize("model", options("model"))
def test_every_model_builds_a_pair_that_fits(model):
    import torch
    from hydra.utils import instantiate

    from kronos_lab.models.pair import check_pair

    cfg = compose(f"model={model}")
    with torch.device("meta"):
        tokenizer, predictor = instantiate(cfg.model.tokenizer), instantiate(cfg.model.predictor)
    check_pair(predictor, tokenizer)
    assert cfg.model.name == model
    if model != "tiny":
        published = json.loads((project_root() / "tests/data/golden/checkpoints.json").read_text())
        for network, where in ((tokenizer, cfg.model.pretrained_tokenizer), (predictor, cfg.model.pretrained)):
            name, revision = where.split("@")
            assert network.config == published[name]["config"]
            assert len(revision) == 40  # pinned to a commit


@pytest.mark.parametrize("experiment", options("experiment"))
def test_every_experiment_composes_and_names_what_exists(experiment):
    from hydra.utils import instantiate

    cfg = compose(f"experiment={experiment}", "market.store=somewhere")
    for stage in (cfg.optim.tokenizer, cfg.optim.predictor):
        optimisation = instantiate(stage)
        assert optimisation.optimizer.keywords["lr"] == optimisation.schedule.keywords["max_lr"]
    data = instantiate(cfg.data, _partial_=True)
    inspect.signature(data.func).bind(**data.keywords, market=None, universe="csi300", split=instantiate(cfg.split))
    trainer = instantiate(cfg.trainer)
    inspect.signature(trainer.func).bind(**trainer.keywords)
    assert not trainer.keywords["use_distributed_sampler"]
    assert set(instantiate(cfg.callbacks)) == {"progress", "learning_rate", "system", "forecasts"}


def test_an_experiment_that_another_script_cannot_use_is_one_line():
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import ConfigCompositionException

    from kronos_lab.runs.explanation import explain

    with (
        initialize_config_dir(str(CONF), version_base="1.3"),
        pytest.raises(ConfigCompositionException) as error,
    ):
        hydra_compose("backtest", overrides=["experiment=csi300_daily"])
    line = explain(error.value)
    assert line is not None
    assert line.startswith("experiment=csi300_daily is for another command: it chooses model=,")


def test_what_a_bare_command_means():
    cfg = compose()
    assert (cfg.model.name, cfg.stage, cfg.model.pretrained, cfg.universe.name) == ("tiny", "both", None, "csi300")
    assert cfg.data.batch_size == 50 and cfg.seed == 100
    assert cfg.optim.predictor.optimizer.lr > 1e-4


def test_trained_weights_mean_the_predictor_only_at_a_small_rate():
    for cfg in (compose("model=kronos_small"), compose("model.pretrained=outputs/train/mine")):
        assert cfg.stage == "predictor" and cfg.optim.predictor.optimizer.lr == 1e-5
    assert compose("model=kronos_small", "stage=both").optim.tokenizer.optimizer.lr == 2e-4
    assert compose("model=kronos_base").data.windows_per_epoch == 100_000


def test_the_original_recipe():
    """2,000 batches of 50 for 30 epochs; rates, decay, clips and schedule of the spec."""
    cfg = compose("experiment=csi300_daily", "market.store=somewhere")
    assert cfg.data.windows_per_epoch == 2000 * cfg.data.batch_size and cfg.trainer.max_epochs == 30
    assert cfg.data.val_windows == 400 * cfg.data.batch_size
    assert (cfg.data.lookback, cfg.data.horizon, cfg.data.clip, cfg.seed) == (90, 10, 5.0, 100)
    assert (cfg.optim.tokenizer.optimizer.lr, cfg.optim.predictor.optimizer.lr) == (2e-4, 4e-5)
    assert (cfg.optim.tokenizer.gradient_clip, cfg.optim.predictor.gradient_clip) == (2.0, 3.0)
    assert list(cfg.optim.predictor.optimizer.betas) == [0.9, 0.95]
    for stage in (cfg.optim.tokenizer, cfg.optim.predictor):
        assert stage.optimizer.weight_decay == 0.1
        assert (stage.schedule.pct_start, stage.schedule.div_factor) == (0.03, 10)
        assert stage.schedule.cycle_momentum and stage.decay_all
    assert cfg.s1_conditioning == "sampled"


def test_tiny_is_as_small_as_it_is_said_to_be():
    from hydra.utils import instantiate

    cfg = compose()
    tokenizer, predictor = instantiate(cfg.model.tokenizer), instantiate(cfg.model.predictor)
    size = sum(p.numel() for network in (tokenizer, predictor) for p in network.parameters())
    assert round(size / 1e6, 2) == 0.30, size


def test_help_lists_the_options_there_are():
    text = (CONF / "hydra" / "help" / "train.yaml").read_text()
    for group in ("market", "universe", "model", "logger", "experiment", "optim", "tuning", "callbacks"):
        assert f"{group}={'|'.join(options(group))}" in text


OF_STAGES = [f"{stage}/{metric}" for metric in ("val_loss", "<metric>") for stage in ("tokenizer", "predictor")]


@pytest.mark.parametrize(("script", "stages"), [("train", OF_STAGES), ("evaluate_forecasts", [])])
def test_what_an_objective_may_name_is_what_the_runs_have(script, stages):
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    from kronos_lab.evaluation.comparison import HEADLINE, in_headline

    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        sweep = hydra_compose(script, return_hydra_config=True).hydra.callbacks.sweep
    assert list(sweep.figures) == [*(in_headline(figure) for figure in HEADLINE), *stages]
    assert (CONF.parent / sweep.listed).is_file()
