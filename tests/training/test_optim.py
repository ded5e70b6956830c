"""Optimiser and schedule of a stage, as the configuration describes them."""

import pytest

from kronos_lab.errors import InputError
from kronos_lab.runs.folder import project_root, register_resolvers


def optimisation(stage, *overrides):
    from hydra import compose, initialize_config_dir
    from hydra.utils import instantiate

    register_resolvers()
    with initialize_config_dir(str(project_root() / "conf"), version_base="1.3"):
        cfg = compose("train", overrides=list(overrides))
    return instantiate(cfg.optim[stage])


def parameters():
    import torch

    return [torch.nn.Parameter(torch.zeros(1))]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_a_share_of_the_steps_is_no_matter_of_the_check(share):
    optimisation("tokenizer", f"optim.tokenizer.schedule.pct_start={share}").check("optim.tokenizer")


def test_a_rise_of_a_single_step_is_refused_in_one_line():
    hundredth = optimisation("tokenizer", "optim.tokenizer.schedule.pct_start=0.01")
    with pytest.raises(InputError, match="over 100 steps: change the schedule's pct_start"):
        hundredth.configure(parameters(), total_steps=100)


@pytest.mark.parametrize("stage", ["tokenizer", "predictor"])
def test_a_stage_without_schedule_keeps_its_rate_and_the_other_one_its_schedule(stage):
    without = f"optim.{stage}.schedule=null"
    for other in ("tokenizer", "predictor"):
        chosen = optimisation(other, without, "optim.one_cycle.div_factor=5")
        chosen.check(f"optim.{other}")
        made = chosen.configure(parameters(), total_steps=100)
        assert isinstance(made, dict) == (other != stage)
        if other != stage:
            rise = chosen.schedule.keywords
            assert (rise["pct_start"], rise["div_factor"], rise["cycle_momentum"]) == (0.03, 5, False)


def test_the_predictor_follows_the_schedule_of_the_tokenizer():
    changed = optimisation("predictor", "optim.tokenizer.schedule.pct_start=0.2")
    assert changed.schedule.keywords["pct_start"] == 0.2
