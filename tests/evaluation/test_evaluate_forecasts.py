"""`python finetune/evaluate_forecasts.py` as typed, on the small market with the tiny golden model."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from many_commands import ROOT, assert_refused, run_commands

TINY = ROOT / "tests" / "data" / "golden" / "tiny"
REFUSED = {
    "evaluation.test.days=0": "evaluation.test.days=0 must be a whole number, at least 1",
    "evaluation.test.names=2": "evaluation.test.names=2 must be a whole number, at least 5",
    "forecast.temperature=0": "temperature=0 must be a number above 0",
    "evaluation.paths=0": "evaluation.paths=0 must be a whole number, at least 1",
    "oracle=true": "oracle=true: only of the built-in market",
    "parent=nowhere": "there is no nowhere: give a run folder",
    "start=2025-01-08": "nothing to compare: universe csi300 of market small",
    "start=2025": "start=2025 is no date",
    "parent_tokenizer=somewhere": "parent_tokenizer= is the tokenizer of a predictor: give parent= too",
    "trainer.devices=0": "trainer.devices=0: ",
    "evaluation.tset.days=1": "there is no setting or group 'evaluation.tset.days'",
}


@pytest.fixture(scope="module")
def done(small_market, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    common = [
        "market=qlib", f"market.store={small_market.store}", "market.name=small", f"paths.outputs={folder}",
        f"paths.cache={folder / 'cache'}", f"checkpoint={TINY}", "data.lookback=24", "data.horizon=4",
        "trainer.accelerator=cpu", "evaluation.test.days=30", "evaluation.test.names=6", "evaluation.paths=3",
    ]  # fmt: skip
    commands = {argument: [*common, argument, "name=refused"] for argument in REFUSED}
    commands["untrained"] = [*common, "name=untrained", "parent=untrained"]
    commands["itself"] = [*common, "name=itself", f"parent={TINY}", "evaluation.batch_size=30"]
    commands["alone"] = [*common, "name=alone", "evaluation.test.days=2", "forecast.precision=bfloat16"]
    return {"folder": folder / "evaluate", **run_commands("finetune/evaluate_forecasts.py", commands, folder)}


@pytest.mark.parametrize(("argument", "words"), REFUSED.items(), ids=REFUSED)
def test_is_refused_in_one_line_and_leaves_nothing(done, argument, words):
    assert_refused(done[argument], words)
    assert not (done["folder"] / "refused").exists()


def table(done, name: str) -> pd.DataFrame:
    assert done[name]["code"] == 0, done[name]
    return pd.read_csv(done["folder"] / name / "evaluation.csv", index_col="row")


def test_a_run_leaves_table_summary_and_daily_figures(done):
    folder: Path = done["folder"] / "untrained"
    rows = list(table(done, "untrained").index)
    assert rows == ["untrained", "finetuned", "finetuned − untrained", "persistence", "random scores", "equal weight"]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["kind"] == "evaluate" and list(summary["evaluation"]["rows"]) == rows
    assert (summary["evaluation"]["pairs"], summary["evaluation"]["days"]) == (180, 30)
    assert summary["evaluation"]["rows"]["persistence"]["coverage"] is None
    assert "untrained weights" in summary["evaluation"]["verdict"]
    assert summary["evaluation"]["verdict"] in done["untrained"]["out"]
    assert set(pd.read_parquet(folder / "evaluation_by_day.parquet")["row"]) == set(rows)
    assert (folder / "config.yaml").is_file()
    assert "unknown training days" in (folder / "evaluate_forecasts.log").read_text()


def test_a_checkpoint_is_no_better_than_itself(done):
    found = table(done, "itself")
    difference = found.loc["finetuned − parent"].drop(["rank_ic_h_t", "rank_ic_h_p"])
    assert (difference.dropna() == 0).all() and len(difference.dropna()) > 6
    assert json.loads((done["folder"] / "itself" / "summary.json").read_text())["evaluation"]["verdict"].endswith(
        "cannot be told from its parent on this test"
    )


def test_the_size_of_a_batch_changes_no_figure(done):
    """Random numbers belong to the pair: 10 series at once or 333 differ in the last bits of a kernel at the most."""
    np.testing.assert_allclose(
        table(done, "itself").loc["finetuned"].dropna(), table(done, "untrained").loc["finetuned"].dropna(), rtol=1e-3
    )


def test_without_a_parent_and_with_few_days(done):
    assert list(table(done, "alone").index) == ["finetuned", "persistence", "random scores", "equal weight"]
    assert "no intervals and no p-values: 2 days hold" in done["alone"]["out"]


def test_the_summary_names_the_weights_as_they_are_on_disk(done):
    """Whatever precision they were forecast with."""
    from kronos_lab.models.hub import weights_fingerprint
    from kronos_lab.models.predictor import Kronos

    for name in ("untrained", "alone"):
        summary = json.loads((done["folder"] / name / "summary.json").read_text())
        assert summary["weights"]["predictor"] == weights_fingerprint(Kronos.from_pretrained(TINY / "predictor"))
