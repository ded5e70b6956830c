"""Commands of a walk-forward are what Hydra reads, and have the market and the paths that it has."""

import shlex

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from kronos_lab.errors import InputError
from kronos_lab.runs.folder import project_root, register_resolvers
from kronos_lab.runs.walk_forward.commands import as_typed, check_overrides, shared_overrides, typed_value


@pytest.mark.parametrize(
    "value",
    [None, True, 3, 0.5, "csi300", "/a/b c", "it's", "20240701", "2024-07-01", "a=b", "a\\b", ["x y", 1], {"a": "b c"}],
)
def test_a_value_is_read_back_as_it_was(value):
    assert OverridesParser.create().parse_override(f"key={typed_value(value)}").value() == value


def test_another_command_has_the_same_market_universe_and_paths():
    register_resolvers()
    given = [
        "market=files", "market.bars='/some where/bars.csv'", "market.renamed={SZ300114: SZ302132}", "market.freq=5min",
        "universe=csi500", "universe.benchmark=null", "+market.checks.spike=0.3", "paths.outputs='/out puts'",
    ]  # fmt: skip
    choices = {"market": "files", "universe": "csi500"}
    with initialize_config_dir(str(project_root() / "conf"), version_base="1.3"):
        walk = compose("walk_forward", given)
        plain = compose("train", ["market=files", "universe=csi500"])
        shared = shared_overrides(walk, choices, plain)
        typed = shlex.split(as_typed(["train.py", *shared]))[2:]
        for name in ("train", "backtest"):
            other = compose(name, typed)
            for group in ("market", "universe", "paths"):
                assert OmegaConf.to_container(other[group], resolve=True) == OmegaConf.to_container(
                    walk[group], resolve=True
                )
        assert shared_overrides(plain, choices, plain) == ["market=files", "universe=csi500"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["name=a"], "train: name=a is for the walk-forward to say: leave it out, and give name="),
        (["split.val_end=2024-01-01"], "and give walk_forward.*"),
        (["split=ratio"], "split=ratio is for the walk-forward"),
        (["+market.x=1"], "give market= without this list around it"),
        (["resume=a"], "the same command with the same name=, which goes on"),
        (["backtest.start=2024-01-01"], "give walk_forward.first="),
        ("model=tiny", "train=model=tiny is no list of overrides: write \"train=['model=kronos_small'"),
        (["model"], "is no list of overrides"),
        ([{"model": "tiny"}], "is no list of overrides"),
    ],
)
def test_what_a_walk_forward_says_itself_is_refused_in_its_lists(given, words):
    value = OmegaConf.create(given) if isinstance(given, list) else given
    with pytest.raises(InputError) as refused:
        check_overrides("train", value)
    assert words in str(refused.value)


def test_names_that_begin_alike_may_be_given():
    given = ["named=1", "splitting.x=2", "~logger=comet", "backtest.store=closes"]
    assert check_overrides("backtest", OmegaConf.create(given)) == given
