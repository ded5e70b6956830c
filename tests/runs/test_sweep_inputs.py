"""All jobs of a sweep use the same weights, and where their data were not the same it is said."""

import json

import pytest
import yaml
from omegaconf import OmegaConf
from searches import App

from finetuned_run import finetuned_run
from kronos_lab.errors import InputError
from kronos_lab.runs.sweep_folder import Job, SweepFolder
from kronos_lab.runs.sweep_inputs import differing_data, settle_weights

MARKET = {"_target_": "types.SimpleNamespace", "name": "elsewhere", "fingerprint": "f"}


def config(outputs, *overrides, params=None, **settings):
    hydra = {"overrides": {"task": list(overrides)}, "sweeper": {"params": params}}
    return OmegaConf.create({"paths": {"outputs": str(outputs)}, "market": MARKET, "hydra": hydra, **settings})


def finished_later(run):
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps(summary | {"finished": "2026-02-01T00:00:00+00:00"}))


def test_the_newest_run_is_settled_once(tmp_path, capsys):
    outputs = tmp_path / "the outputs"
    with pytest.raises(InputError, match="no finished training run on market elsewhere"):
        settle_weights(config(outputs, "seed=1,2", checkpoint=None), None)
    settled = [f"checkpoint='{finetuned_run(outputs, 'first')}'"]
    assert settle_weights(config(outputs, "seed=1,2", "checkpoint=null", checkpoint=None), None) == settled
    assert "checkpoint  run first, finished 2026-01-01 " in capsys.readouterr().out
    finished_later(finetuned_run(outputs, "second"))
    assert settle_weights(config(outputs, "seed=1,2", checkpoint=None), settled) == settled
    assert settle_weights(config(outputs, "seed=1,2", checkpoint=None), []) == []  # begun when it was not settled yet


@pytest.mark.parametrize("earlier", [None, ["checkpoint=first"]])
def test_weights_that_are_named_or_swept_stay_as_they_are(tmp_path, earlier):
    assert settle_weights(config(tmp_path, "seed=1,2", checkpoint="mine"), earlier) == []
    assert settle_weights(config(tmp_path, "seed=1,2"), earlier) == []
    assert settle_weights(config(tmp_path, "checkpoint=first,second", checkpoint=None), earlier) == []
    assert (
        settle_weights(config(tmp_path, params={"checkpoint": "mine", "seed": "1,2"}, checkpoint=None), earlier) == []
    )


def test_over_several_markets_nothing_is_settled_and_that_is_said(tmp_path, capsys):
    assert settle_weights(config(tmp_path, "market.name=one,another", checkpoint=None), None) == []
    assert "each job looks for the newest run anew, as market varies" in capsys.readouterr().out


def test_a_search_goes_on_with_the_weights_it_began_with(tmp_path):
    app = App(tmp_path / "app", own_processes=True)
    with (app.folder / "conf" / "searched.yaml").open("a") as file:
        file.write(f"checkpoint: null\nmarket: {json.dumps(MARKET)}\n")
    common = ["hydra.sweeper.n_jobs=1", "kind_of=a"]
    run = finetuned_run(app.outputs, "weights")
    first = app.run(first=[*common, "hydra.sweeper.n_trials=1"])["first"]
    assert first["code"] == 0, first["err"]
    finished_later(finetuned_run(app.outputs, "newer"))
    more = app.run(more=[*common, "hydra.sweeper.n_trials=2"], other=[*common, "checkpoint=newer"])
    assert more["more"]["code"] == 0, more["more"]["err"]
    assert more["other"]["code"] == 1 and "holds another search" in more["other"]["err"]
    folder = SweepFolder(app.outputs / "train" / "first")
    assert [job.settings()["checkpoint"] for job in folder.jobs()] == [f"'{run}'"] * 2
    best = yaml.safe_load((folder.path / "best.yaml").read_text())
    assert f"checkpoint='{run}'" in best["overrides"]


def test_data_that_changed_between_jobs_are_said(tmp_path):
    markets = [("a", "1"), ("a", "2"), ("b", "1"), ("a", "1"), None]
    jobs = [Job(number, str(number), [], status="finished") for number in range(len(markets))]
    for job, market in zip(jobs, markets, strict=True):
        (tmp_path / job.folder).mkdir()
        summary = {} if market is None else {"market": dict(zip(("name", "fingerprint"), market, strict=True))}
        (tmp_path / job.folder / "summary.json").write_text(json.dumps(summary))
    line = "market a had other data in jobs 0, 3 than in jobs 1: do not compare them"
    assert differing_data(SweepFolder(tmp_path), jobs) == line
    assert differing_data(SweepFolder(tmp_path), jobs[2:]) is None
