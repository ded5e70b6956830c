"""`python backtest.py -m`: jobs side by side share their weights and their forecasts."""

import json
import os
from pathlib import Path

import pytest
from backtest_commands import ROOT, SMALL, summary_of
from meeting_trainer import FOLDER_VARIABLE

from finetuned_run import finetuned_run
from kronos_lab.runs.sweep_folder import SweepFolder
from many_commands import run_commands


@pytest.mark.slow
def test_strategies_side_by_side_forecast_once_and_with_the_same_weights(small_market, tmp_path, monkeypatch):
    outputs, meeting = tmp_path / "out puts", tmp_path / "meeting"
    meeting.mkdir()
    newest = finetuned_run(outputs, "newest")
    monkeypatch.setenv(FOLDER_VARIABLE, str(meeting))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
    arguments = [
        "-m",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        "market=qlib",
        f"market.store='{small_market.store}'",
        "market.name=elsewhere",
        f"paths.outputs='{outputs}'",
        f"paths.cache='{tmp_path / 'cache'}'",
        "universe=csi300",
        "logger=csv",
        "trainer._target_=meeting_trainer.meet",
        *SMALL,
        "name=sweep",
        "strategy.topk=4,5",
        "backtest.start=2024-12-16",
        "backtest.parent=false",
        "backtest.baselines=false",
        "backtest.random_portfolios=0",
        "forecast.paths=2",
        "calibration.days=0",
    ]  # SMALL has a topk too: the last one counts
    done = run_commands("backtest.py", {"sweep": arguments}, ROOT)["sweep"]
    assert done["code"] == 0, done["err"]
    jobs = [outputs / "backtest" / "sweep" / str(number) for number in range(2)]
    manifests = [json.loads((job / "forecasts" / "manifest.json").read_text()) for job in jobs]
    made, taken = sorted(range(2), key=lambda number: bool(manifests[number]["taken_over"]))
    assert manifests[made]["taken_over"] == {}
    assert manifests[taken]["taken_over"] == {str(jobs[made] / "forecasts"): manifests[made]["batch_plan"]["batches"]}

    assert SweepFolder(jobs[0].parent).read_command().settled == [f"checkpoint='{newest}'"]
    summaries = [summary_of(job) for job in jobs]
    assert [summary["config"]["checkpoint"] for summary in summaries] == [str(newest)] * 2
    assert [summary["config"]["strategy"]["topk"] for summary in summaries] == [4, 5]
    assert summaries[0]["weights"] == summaries[1]["weights"]
