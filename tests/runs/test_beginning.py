"""With which settings a run begins: new ones, those of an attempt before it, those of a run that it repeats."""

import json
import logging

import pytest
from omegaconf import OmegaConf

from kronos_lab.errors import InputError
from kronos_lab.runs.beginning import begin_run
from kronos_lab.runs.folder import load_config, run_name
from kronos_lab.runs.repetition import compared_with, warn_of_differences


@pytest.fixture
def job(monkeypatch):
    """A Hydra job with these overrides."""
    from hydra.core.hydra_config import HydraConfig

    def begin(*overrides):
        job = OmegaConf.create({"overrides": {"task": list(overrides)}})
        monkeypatch.setattr(HydraConfig, "get", staticmethod(lambda: job))
        given = dict(override.split("=") for override in overrides)
        return OmegaConf.create({"resume": None, "from_run": None, "seed": 1} | given)

    return begin


def test_a_new_run_keeps_its_configuration_and_a_resumed_one_takes_it(tmp_path, job):
    assert begin_run(job("seed=5"), tmp_path).seed == "5"
    resumed = begin_run(job(f"resume={tmp_path}", "debug=true"), tmp_path)
    assert resumed == {"resume": None, "from_run": None, "seed": "5"}


def test_a_run_keeps_absolute_paths_and_nothing_else_becomes_one(tmp_path, job, monkeypatch):
    for made in ("start/predictor", "bars", "members.txt"):
        (tmp_path / made).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    cfg = job("seed=5")
    cfg.paths = {"data": "new", "cache": "${.data}/cache", "outputs": "/out"}
    cfg.model = {"pretrained": "start", "pretrained_tokenizer": "NeoQuasar/Kronos-Tokenizer-base"}
    cfg.market = {"store": "${paths.data}/files", "bars": "bars", "memberships": ["members.txt"], "indices": None}
    begin_run(cfg, tmp_path)
    saved = load_config(tmp_path)
    assert saved.paths == {"data": f"{tmp_path}/new", "cache": f"{tmp_path}/new/cache", "outputs": "/out"}
    assert saved.model.pretrained == f"{tmp_path}/start"
    assert saved.model.pretrained_tokenizer == "NeoQuasar/Kronos-Tokenizer-base"
    assert saved.market.bars == f"{tmp_path}/bars" and saved.market.memberships == [f"{tmp_path}/members.txt"]
    assert (saved.market.store, saved.market.indices) == (f"{tmp_path}/new/files", None)
    cfg.model.pretrained = 20240701  # a run by its name
    (other := tmp_path / "other").mkdir()
    begin_run(cfg, other)
    assert load_config(other).model.pretrained == 20240701


def test_ranks_told_the_folder_of_an_earlier_attempt_go_on_there(tmp_path, job):
    """As of a Slurm job that is started again: the same command, only the time in the usual name is another."""
    first = job("seed=5")
    first.update(name="at noon", debug=False, title="${name}")
    begin_run(first, tmp_path)
    again = job("seed=5")
    again.update(name="later", debug=True, title="${name}")
    assert begin_run(again, tmp_path) == load_config(tmp_path) == {**first, "title": "at noon"}
    again.update(seed=6, new=1)
    with pytest.raises(InputError, match=f"^{tmp_path} holds a run with another seed, new: choose another folder$"):
        begin_run(again, tmp_path)
    assert load_config(tmp_path).seed == "5"
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(InputError, match="has finished"):
        begin_run(first, tmp_path)


def test_what_cannot_be_resumed_is_refused(tmp_path, job):
    with pytest.raises(InputError, match="not the folder of a run"):
        begin_run(job(f"resume={tmp_path}"), tmp_path)
    with pytest.raises(InputError, match="leave out seed=2"):
        begin_run(job(f"resume={tmp_path}", "seed=2"), tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(InputError, match="has finished"):
        begin_run(job(f"resume={tmp_path}"), tmp_path)


@pytest.fixture
def earlier(tmp_path):
    """A finished training run of another machine."""
    folder = tmp_path / "out" / "train" / "first"
    folder.mkdir(parents=True)
    config = {
        "resume": None, "from_run": None, "seed": 7, "name": "first", "debug": True, "logger": {"old": 1},
        "paths": {"data": "/their/data", "outputs": "/their/outputs"},
    }  # fmt: skip
    summary = {
        "kind": "train", "config": config, "weights": {"predictor": "abc"}, "market": {"fingerprint": "f"},
        "versions": {"torch": "1.0"}, "git": {"revision": "r"},
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.mark.parametrize("by_name", [True, False], ids=["name", "folder"])
def test_a_run_is_repeated_with_its_settings_under_a_name_of_its_own(tmp_path, job, earlier, by_name):
    def command(*overrides):
        cfg = job(f"from_run={'first' if by_name else earlier}", *overrides)
        cfg.update(name="mine", debug=False, new=3, paths={"data": "here", "outputs": str(tmp_path / "out")})
        return cfg

    (new := tmp_path / "new").mkdir()
    repeated = begin_run(command("logger=csv"), new)
    assert repeated == load_config(new)
    assert (repeated.seed, repeated.name, repeated.debug, repeated.logger) == (7, "mine", False, "csv")
    assert repeated.paths == {"data": "/their/data", "outputs": str(tmp_path / "out")}
    assert (repeated.new, repeated.from_run) == (3, str(earlier))  # a setting that came later keeps its default
    assert begin_run(command(), new / "..").logger == {"old": 1}
    with pytest.raises(InputError, match=f"^from_run= repeats {earlier} as it was: leave out data.seed, seed, or type"):
        begin_run(command("seed=2", "+data.seed=1"), new)


def test_only_a_finished_training_run_is_repeated(tmp_path, job, earlier):
    (earlier / "summary.json").write_text('{"kind": "backtest"}')
    cfg = job("from_run=first")
    cfg.paths = {"outputs": str(tmp_path / "out")}
    with pytest.raises(InputError, match=r"^from_run=first is no finished training run: give its folder, or its name"):
        begin_run(cfg, tmp_path)
    (earlier / "summary.json").write_text('{"kind": "train", "status": "pruned"}')
    with pytest.raises(InputError, match=r"^from_run=first was pruned by its search"):
        begin_run(cfg, tmp_path)


def test_sampling_of_an_earlier_run_has_defaults_for_what_came_later():
    from kronos_lab.forecasting.token_sampling import Sampling
    from kronos_lab.runs.configured_forecaster import configured_sampling

    assert configured_sampling({"temperature": 0.6, "top_p": 0.9, "top_k": 0}) == Sampling(0.6, 0.9, 0, False)


def test_what_is_not_as_it_was_is_said(earlier, caplog):
    class Market:
        name, fingerprint = "demo", "g"

    warn_of_differences(None, Market)
    assert not caplog.records
    warn_of_differences(str(earlier), Market)
    said = caplog.text
    for words in (
        "market demo has other data than when",
        "torch is 2",
        "was 1.0",
        "was at r: its weights may be others",
    ):
        assert words in said


def test_the_weights_are_compared(earlier, caplog):
    caplog.set_level(logging.INFO)
    assert compared_with(None, {"predictor": "abc"}) == {}
    for weights, same in (({"predictor": "abc"}, True), ({"predictor": "abd"}, False)):
        assert compared_with(str(earlier), weights) == {"repeats": {"run": str(earlier), "same_weights": same}}
    assert f"those of {earlier}, to the bit" in caplog.text and f"not those of {earlier}" in caplog.text


def test_a_repetition_is_named_after_what_it_repeats():
    assert run_name(None, "usual") == "usual"
    assert run_name("out/train/first", "usual") == run_name("first", "usual") == "first_again"
    assert run_name(20240701, "usual") == "20240701_again"
