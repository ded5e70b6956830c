"""Optimiser and schedule of a stage, as the configuration describes them."""

import re

import pytest

from kronos_lab.errors import InputError
from kronos_lab.runs.folder import project_root, register_resolvers

TRIAL = 997


def composed(*overrides):
    from hydra import compose, initialize_config_dir

    register_resolvers()
    with initialize_config_dir(str(project_root() / "conf"), version_base="1.3"):
        return compose("train", overrides=list(overrides))


def optimisation(stage, *overrides):
    from hydra.utils import instantiate

    return instantiate(composed(*overrides).optim[stage])


def layer():
    import torch

    return torch.nn.Linear(2, 1)


def rates(chosen, steps):
    """The learning rate of every step."""
    made = chosen.configure(layer(), total_steps=steps)
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    found = []
    for _ in range(steps):
        found.append({group["lr"] for group in optimizer.param_groups})
        optimizer.step()
        schedule.step()
    return [rate for (rate,) in found]  # both groups have the same


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_a_share_of_the_steps_is_no_matter_of_the_check(share):
    optimisation("tokenizer", f"optim.tokenizer.schedule.pct_start={share}").check("optim.tokenizer")


def test_a_rise_of_a_single_step_is_refused_in_one_line():
    hundredth = optimisation("tokenizer", "optim.tokenizer.schedule.pct_start=0.01")
    with pytest.raises(InputError, match="over 100 steps: change the schedule's pct_start"):
        hundredth.configure(layer(), total_steps=100)


@pytest.mark.parametrize("stage", ["tokenizer", "predictor"])
def test_a_stage_without_schedule_keeps_its_rate_and_the_other_one_its_schedule(stage):
    without = f"optim.{stage}.schedule=null"
    for other in ("tokenizer", "predictor"):
        chosen = optimisation(other, without, "optim.one_cycle.div_factor=5")
        chosen.check(f"optim.{other}")
        made = chosen.configure(layer(), total_steps=100)
        assert isinstance(made, dict) == (other != stage)
        if other != stage:
            rise = chosen.schedule.keywords
            assert (rise["pct_start"], rise["div_factor"], rise["cycle_momentum"]) == (0.03, 5, False)


def test_the_predictor_follows_the_schedule_of_the_tokenizer():
    changed = optimisation("predictor", "optim.tokenizer.schedule.pct_start=0.2")
    assert changed.schedule.keywords["pct_start"] == 0.2


def test_a_cosine_rises_for_its_warmup_and_falls_to_its_floor():
    import math

    settings = ("optim=adamw_cosine", "optim.tokenizer.optimizer.lr=0.5", "optim.cosine.warmup=0.2")
    chosen = optimisation("tokenizer", *settings)
    chosen.check("optim.tokenizer")
    found = rates(chosen, steps=51)  # 10 of them rise
    assert found[:11] == pytest.approx([0.5 * (step + 1) / 11 for step in range(11)])
    assert found[10] == 0.5 == max(found)
    assert found[30] == pytest.approx(0.5 * (0.1 + 0.9 / 2))
    assert found[20] == pytest.approx(0.5 * (0.1 + 0.9 * (1 + math.cos(math.pi / 4)) / 2))
    assert found[-1] == pytest.approx(0.05)


def test_a_cosine_without_warmup_begins_at_the_full_rate_and_may_end_at_nothing():
    chosen = optimisation("predictor", "optim=adamw_cosine", "optim.cosine.warmup=0", "optim.cosine.floor=0")
    found = rates(chosen, steps=11)
    assert (found[0], found[5], found[-1]) == pytest.approx((4e-3, 2e-3, 0))
    assert rates(chosen, steps=1) == pytest.approx([4e-3])


def test_one_cycle_rises_from_a_tenth_and_falls_to_nearly_nothing():
    found = rates(optimisation("predictor", "optim.one_cycle.pct_start=0.2"), steps=51)
    assert found[0] == pytest.approx(4e-4)  # div_factor
    assert max(found) == pytest.approx(4e-3, rel=1e-2)
    assert max(found) in found[9:11]
    assert found[-1] < 1e-6


def test_a_constant_rate_is_a_group_of_its_own():
    chosen = optimisation("predictor", "optim=adamw")
    chosen.check("optim.predictor")
    assert chosen.configure(layer(), total_steps=9).param_groups[0]["lr"] == 4e-3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["optim=adamw_cosine", "optim.cosine.warmup=1"], "optim.predictor: warmup=1 must be a share of all steps"),
        (["optim=adamw_cosine", "optim.cosine.floor=2"], "optim.predictor: floor=2 must be a share of the full rate"),
        (["optim.decay_all=maybe"], "optim.predictor.decay_all=maybe must be true or false"),
    ],
)
def test_settings_that_mean_nothing_are_one_line(settings, words):
    with pytest.raises(InputError, match=words):
        optimisation("predictor", *settings).check("optim.predictor")


def groups_of_kronos_small(stage, *overrides):
    """Names of the parameters by group, and the optimiser."""
    import torch
    from hydra.utils import instantiate

    cfg = composed("model=kronos_small", "stage=both", *overrides)
    with torch.device("meta"):
        network = instantiate(cfg.model[stage])
        made = instantiate(cfg.optim[stage]).configure(network, total_steps=TRIAL)
    optimizer = made["optimizer"]
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    by_group = {group["name"]: {names[id(p)] for p in group["params"]} for group in optimizer.param_groups}
    return by_group, optimizer, set(names.values())


@pytest.mark.parametrize("stage", ["tokenizer", "predictor"])
def test_weight_decay_is_on_the_matrices_of_linear_layers_alone(stage):
    by_group, optimizer, names = groups_of_kronos_small(stage)
    kinds = r"\.bias$|norm\d?\.weight$|emb_s[12]|time_emb"
    spared = {name for name in names if re.search(kinds, name)}
    assert by_group == {"decayed": names - spared, "not_decayed": spared}
    assert {group["name"]: group["weight_decay"] for group in optimizer.param_groups} == {
        "decayed": 0.1,
        "not_decayed": 0.0,
    }
    if stage == "predictor":
        assert {"embedding.emb_s1.weight", "time_emb.hour_embed.weight", "dep_layer.norm.weight"} < spared
        assert {"embedding.fusion_proj.weight", "head.proj_s1.weight", "transformer.7.ffn.w2.weight"} < names - spared


def test_the_original_decays_everything():
    for stage in ("tokenizer", "predictor"):
        by_group, optimizer, names = groups_of_kronos_small(stage, "experiment=csi300_daily", "market.store=somewhere")
        assert by_group == {"decayed": names}
        assert optimizer.param_groups[0]["weight_decay"] == 0.1


@pytest.mark.parametrize("optim", ["adamw", "adamw_cosine"])
def test_the_original_recipe_takes_another_schedule(optim):
    for stage in ("tokenizer", "predictor"):
        chosen = optimisation(stage, "experiment=csi300_daily", "market.store=somewhere", f"optim={optim}")
        chosen.check(f"optim.{stage}")
        assert (chosen.schedule is None) == (optim == "adamw")


def test_what_is_frozen_is_in_no_group():
    import torch

    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)).requires_grad_(False)
    network[1].weight.requires_grad_(True)
    optimizer = optimisation("predictor", "optim=adamw").configure(network, total_steps=9)
    assert [group["params"] for group in optimizer.param_groups] == [[network[1].weight]]
