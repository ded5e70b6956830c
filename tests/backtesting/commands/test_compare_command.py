"""`python backtest/compare_runs.py` as people type it."""

import html
import re
import shutil
from typing import Any

import pandas as pd
import pytest
from backtest_commands import finished, messages_of, metrics_of, summary_of

from many_commands import assert_refused, run_commands

# What `compare_runs.py` refuses, and words of the line that says so.
INCOMPARABLE: dict[str, tuple[list[str], str]] = {
    "nothing given": ([], "runs=null: give finished backtests, runs=[first,second,...]"),
    "nowhere": (["runs=[csi300,nowhere]"], "runs: nowhere is no finished backtest: there is no "),
    "training": (["runs=[train/finetuned]"], "is a training run: backtest it with python backtest.py checkpoint=<run>"),
    "placebos": (["runs=[placebos/named]"], "is a run of kind 'placebos': finished backtests are compared"),
    "killed": (["runs=[csi300,killed]"], "killed is no finished backtest: it has no summary.json"),
    "half a sweep": (
        ["runs=sweep"],
        "is no finished backtest: it has no summary.json (of runs=sweep; skip_unfinished=true",
    ),
    "older": (
        ["runs=[csi300,older]"],
        "older was made by an earlier version of this code, which left no daily.parquet",
    ),
    "torn": (["runs=[csi300,torn]"], "torn cannot be read ("),
    "many": (["runs=csi300", "against=[csi300,cheaper]"], "against=['csi300', 'cheaper'] stands for 2 runs: name one"),
    "perhaps": (["runs=csi300", "skip_unfinished=perhaps"], "skip_unfinished=perhaps must be true or false"),
}


@pytest.fixture(scope="module")
def compared(runs, placebos) -> dict[str, Any]:
    backtests = runs["folder"] / "backtest"
    for name in ("killed", "sweep/1"):
        (backtests / name).mkdir(parents=True)
        shutil.copy(backtests / "csi300" / "config.yaml", backtests / name)
    for name in ("older", "torn", "sweep/0"):
        (backtests / name).mkdir(parents=True)
        for file in (backtests / "csi300").glob("*.*"):
            if file.suffix in {".yaml", ".json", ".parquet"}:
                shutil.copy(file, backtests / name)
    (backtests / "older" / "daily.parquet").unlink()
    (backtests / "torn" / "daily.parquet").write_bytes(b"PAR1")
    paths = [f"paths.outputs='{runs['folder']}'"]
    commands = {
        "all": [*paths, "runs=[csi300,cheaper,finetuned,ensemble,before]", "name=all"],
        "against": [*paths, "runs=[ensemble,cheaper,'fine*']", "against=csi300", "name=against", "logger=csv"],
        "sweep": [*paths, "runs=sweep", "skip_unfinished=true", "name=sweep", "~logger"],
        **{name: [*paths, *arguments, f"name='{name}'"] for name, (arguments, _) in INCOMPARABLE.items()},
    }
    return run_commands("backtest/compare_runs.py", commands, runs["folder"])


def test_backtests_stand_beside_each_other(runs, compared):
    """The same figures as in their own reports; the ensemble and the finetune share days and costs with the first."""
    assert compared["all"]["code"] == 0 and not compared["all"]["err"], compared["all"]["err"]
    folder = runs["folder"] / "compare" / "all"
    table = pd.read_csv(folder / "comparison.csv", index_col="row")
    assert table["table"].to_dict() | {"csi300": 1, "finetuned": 1, "ensemble": 1} == table["table"].to_dict()
    assert len(set(table["table"])) == 3 and "exchange.open_cost 0" in table.loc["cheaper", "unlike_table_1"]
    assert "other days, 2024-06-20 to 2024-06-25" in table.loc["before", "unlike_table_1"]
    for name in table.index:
        metrics = metrics_of(finished(runs, name))
        of_report = metrics["ranking"]["open_to_open"]["1"]["rank_ic"]
        excess = metrics["excess"]["equal_weight"]["with_cost"]
        assert table.loc[name, "rank_ic_1"] == pytest.approx(of_report["mean"])
        assert table.loc[name, "excess"] == pytest.approx(excess["annual_return"])
        if excess["annual_return_low"] is not None:
            assert table.loc[name, "excess_low"] == pytest.approx(excess["annual_return_low"])
            assert table.loc[name, "rank_ic_1_p"] == pytest.approx(of_report["p"])
    net = {
        name: pd.read_parquet(finished(runs, name) / "portfolio.parquet").set_index("date")["net_return"]
        for name in ("csi300", "cheaper")
    }
    per_year = metrics_of(finished(runs, "csi300"))["sessions_per_year"]
    assert table.loc["cheaper", "return_less"] == pytest.approx((net["cheaper"] - net["csi300"]).mean() * per_year)
    assert table.loc["cheaper", "rank_ic_1_less"] == 0  # the same forecasts
    page = (folder / "comparison.html").read_text()
    outside_pictures = re.sub(r"data:image/svg\+xml;base64,[A-Za-z0-9+/=]+", "", page)
    assert not re.search(r"https?://|<script|<link", outside_pictures) and "nan" not in outside_pictures.lower()
    assert page.count("data:image/svg+xml;base64,") == 2 and (folder / "equity.png").exists()
    summary = summary_of(folder)
    assert summary["kind"] == "compare" and summary["luck"]["trials"] >= 4  # csi300, cheaper, finetuned, ensemble
    assert summary["verdict"][0] in html.unescape(page)
    said = messages_of(folder)
    assert "compare/csi300/rank_ic_1" in said and "comparison.html" in said and "comparison.csv" in said


def test_runs_are_found_by_pattern_and_by_sweep(runs, compared):
    for name in ("against", "sweep"):
        assert compared[name]["code"] == 0 and not compared[name]["err"], compared[name]["err"]
    summary = summary_of(runs["folder"] / "compare" / "against")
    assert summary["against"] == "csi300"
    assert list(summary["weights"]) == ["ensemble", "cheaper", "finetuned", "csi300"]
    assert list((runs["folder"] / "compare" / "against" / "csv").rglob("metrics.csv"))
    table = pd.read_csv(runs["folder"] / "compare" / "sweep" / "comparison.csv")
    assert list(table["row"]) == ["sweep/0"] and "1, which did not finish" in compared["sweep"]["out"]


@pytest.mark.parametrize("name", INCOMPARABLE)
def test_what_cannot_be_compared_is_one_line(runs, compared, name):
    assert_refused(compared[name], INCOMPARABLE[name][1])
    assert not (runs["folder"] / "compare" / name).exists()
