"""Backtests that all files here look at; `tests/conftest.py` sees to it that they are made once."""

import shutil
from typing import Any

import pytest
from backtest_commands import COMMANDS, PREDICTOR, REFUSED, ROOT

from finetuned_run import finetuned_run
from many_commands import run_commands


@pytest.fixture(scope="session")
def runs(small_market, tmp_path_factory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("backtests")
    finetuned_run(folder, "finetuned")
    finetuned_run(folder, "later")
    common = [
        "market=qlib",
        f"market.store='{small_market.store}'",
        "market.name=small",
        f"paths.outputs='{folder}'",
        f"paths.cache='{folder / 'cache'}'",
        f"checkpoint='{PREDICTOR}'",
        "universe=csi300",
        "backtest.start=2024-12-02",
        "forecast.paths=2",
        "calibration.days=4",
        "calibration.names=5",
        "calibration.paths=10",
    ]
    refused = {name: [f"name='{name}'", *arguments] for name, (arguments, _) in REFUSED.items()}
    commands = {name: [*common, *arguments] for name, arguments in (COMMANDS | refused).items()}
    return {"folder": folder, **run_commands("backtest.py", commands, ROOT)}


@pytest.fixture(scope="session")
def placebos(runs, small_market) -> dict[str, Any]:
    paths = [f"paths.outputs={runs['folder']}"]
    without_weights = runs["folder"] / "without weights"
    shutil.copytree(runs["folder"] / "backtest" / "csi300", without_weights)
    config = without_weights / "config.yaml"
    config.write_text(config.read_text().replace(str(PREDICTOR), "/gone/predictor"))
    commands = {
        "newest": [*paths, "name=newest", "shuffles=2"],
        "named": [*paths, "name=named", "run=csi300", "shuffles=0"],
        "ensemble": [*paths, "name=ensemble", "run=ensemble", "shuffles=0", "lookahead_days=1"],
        "treated": [*paths, "name=treated", "run=all", "shuffles=0", "lookahead_days=1"],
        "traded": [*paths, "name=traded", "run=csi300", "shuffles=0", "lookahead_days=0"],
        "nothing": [*paths, "run=nothing"],
        "half": [*paths, "shuffles=0.5"],
        "half a day": [*paths, "lookahead_days=0.5"],
        "no weights": [*paths, f"run='{without_weights}'"],
    }
    return run_commands("backtest/run_placebos.py", commands, runs["folder"])
