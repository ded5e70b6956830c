"""`conf/experiment/*.yaml`: of the commands that are written beside them and were recorded, and differences only."""

import json
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from experiment_folders import CONFIGURATIONS, CONFIGURED, EXPERIMENTS, ROOT, commands_of
from kronos_lab.runs.folder import register_resolvers

MISSING = object()
# Of walk_forward.yaml: lists of overrides of the scripts that it runs.
TYPED_TO_OTHERS = ("train", "backtest")


def composed(script: str, overrides: list[str]) -> DictConfig:
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(script, overrides, return_hydra_config=True)


def selected(cfg: DictConfig, key: str) -> Any:
    """A setting or the choice of a group; `MISSING` where there is none."""
    choices = cfg.hydra.runtime.choices
    if key in choices:
        return choices[key]
    parent, _, last = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    if not isinstance(node, DictConfig) or last not in node or OmegaConf.is_missing(node, last):
        return MISSING
    value = node[last]
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def written_in(name: str) -> tuple[list[str], dict[str, str], dict[str, Any]]:
    """Experiments that one is made from, the groups it chooses, and its settings by dotted key."""
    content = OmegaConf.to_container(OmegaConf.load(CONFIGURATIONS / f"{name}.yaml"))
    assert isinstance(content, dict)
    defaults = content.pop("defaults", [])
    chosen = {
        key.removeprefix("override ").lstrip("/"): option
        for one in defaults
        if isinstance(one, dict)
        for key, option in one.items()
    }
    return [one for one in defaults if isinstance(one, str)], chosen, dict(leaves(content))


def leaves(content: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Dotted keys and values of nested mappings."""
    if not isinstance(content, dict):
        return [(prefix, content)]
    return [leaf for key, value in content.items() for leaf in leaves(value, f"{prefix}.{key}" if prefix else str(key))]


def commands_with(name: str) -> list[tuple[str, list[str]]]:
    """Script, by the name of its configuration, and overrides of the experiment's commands that name it."""
    typed = [one for one in commands_of(EXPERIMENTS / name) if f"experiment={name}" in one]
    return [(script.rpartition("/")[2].removesuffix(".py"), overrides) for script, *overrides in typed]


@pytest.mark.parametrize("name", CONFIGURED)
def test_every_configuration_is_of_commands_that_are_written_beside_it(name: str) -> None:
    commands = commands_with(name)
    assert commands, f"no command of experiments/{name} has experiment={name}"
    for script, overrides in commands:
        composed(script, overrides)


@pytest.mark.parametrize("name", CONFIGURED)
def test_a_configuration_holds_differences_only(name: str) -> None:
    """From each script it is typed to, with the groups it chooses: what follows from a group need not be said again."""
    parents, chosen, settings = written_in(name)
    known, repeated = set(), []
    for script in dict(commands_with(name)):
        begins = [f"experiment={parent}" for parent in parents]
        usual = composed(script, begins)
        repeated += [key for key, option in chosen.items() if selected(usual, key) == option]
        with_groups = composed(script, [*begins, *(f"{key}={option}" for key, option in chosen.items())])
        found = {key: selected(with_groups, key) for key in settings}
        known |= {key for key, value in found.items() if value is not MISSING}
        repeated += [key for key, value in found.items() if value == settings[key]]
        if script == "walk_forward":
            repeated += [one for key in TYPED_TO_OTHERS for one in repeats_default(key, settings[key])]
    assert not repeated, f"{name}: the default is the same: {repeated}"
    assert known == set(settings), f"{name}: no script it is typed to has {sorted(set(settings) - known)}"


def repeats_default(script: str, overrides: list[str]) -> list[str]:
    usual = composed(script, [])
    composed(script, overrides)
    parsed = [(one.get_key_element(), one.value()) for one in OverridesParser.create().parse_overrides(overrides)]
    return [f"{script}: {key}" for key, value in parsed if selected(usual, key) == value]


RECORDED = [(name, file) for name in CONFIGURED for file in sorted((EXPERIMENTS / name).glob("results/*_summary.json"))]


@pytest.mark.parametrize(("name", "file"), RECORDED, ids=[file.stem for _, file in RECORDED])
def test_what_was_recorded_is_of_the_configuration_there_is(name: str, file: Any) -> None:
    """All settings of the experiment, and the names of what its groups choose."""
    summary = json.loads(file.read_text())
    _, script, *overrides = summary["command"]
    assert f"experiment={name}" in overrides
    now, recorded = (
        composed(script.rpartition("/")[2].removesuffix(".py"), overrides),
        OmegaConf.create(summary["config"]),
    )
    _, chosen, settings = written_in(name)
    for key in [*settings, *(f"{group}.name" for group in chosen)]:
        assert OmegaConf.select(recorded, key) == OmegaConf.select(now, key), key
