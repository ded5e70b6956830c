"""`python forecast.py` as people type it, and mistype it: one line, exit code 1, nothing forecast."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

from kronos_lab.errors import InputError
from kronos_lab.forecasting.devices import available_devices, fastest_device, resolve_device
from kronos_lab.forecasting.file_forecast import forecast_file, read_series_file
from kronos_lab.forecasting.forecaster import Forecaster
from kronos_lab.forecasting.token_sampling import Sampling
from kronos_lab.models.predictor import Kronos
from kronos_lab.models.tokenizer import KronosTokenizer
from many_commands import assert_refused, run_commands

ROOT = Path(__file__).parents[2]
PREDICTOR = ROOT / "tests" / "data" / "golden" / "tiny" / "predictor"
HEADER = "timestamps,open,high,low,close,volume\n"
# What is refused, and words of the line that says so.
REFUSED: dict[str, tuple[list[str], str]] = {
    "device": (["device=foo"], "device=foo is not to be had on this machine: choose "),
    "ninth gpu": (["device=cuda:99"], "device=cuda:99 is not to be had on this machine: choose "),
    "no bars ahead": (["horizon=0"], "horizon=0"),
    "text ahead": (["horizon=foo"], "horizon=foo"),
    "the year 2300": (["horizon=200000"], "end after the year 2262"),
    "one bar": (["lookback=1"], "lookback=1"),
    "text behind": (["lookback=foo"], "lookback=foo"),
    "no context": (["max_context=0"], "max_context=0"),
    "text for context": (["max_context=foo"], "max_context=foo"),
    "no paths": (["forecast.paths=0"], "forecast.paths=0"),
    "cold": (["forecast.temperature=0"], "temperature=0 must be a number above 0"),
    "text for heat": (["forecast.temperature=foo"], "temperature=foo must be a number above 0"),
    "text for top_k": (["forecast.top_k=foo"], "top_k=foo must be a whole number"),
    "overflow": (["forecast.overflow=jump"], "overflow=jump: choose one of exact, hop"),
    "precision": (["forecast.precision=float8"], "precision=float8: choose one of float32, bfloat16"),
    "columns": (["columns=5"], "columns=5: name them one by one"),
    "text for a switch": (["rescale=perhaps"], "rescale=perhaps must be true or false"),
    "a folder": (["file=folder.csv"], "file=folder.csv is no file"),
    "empty": (["file=empty.csv"], "empty.csv cannot be read as CSV"),
    "header": (["file=header.csv"], "header.csv has no row of bars"),
    "header of Parquet": (["file=header.parquet"], "header.parquet has no row of bars"),
    "a single row": (["file=one.csv"], "one.csv: 1 bars until the end are too few"),
    "other kind": (["file=bars.txt"], "bars.txt is of no known kind"),
    "no column": (["columns.close=last"], "bars.csv: no column 'last' for close"),
}
TREND = ["file=trend.csv", "device=cpu"]
COMMANDS: dict[str, list[str]] = {
    "own names": ["file=renamed.csv", "columns.stamp=when", "columns.close=last", "device=cpu"],
    "of a run": [*TREND, "checkpoint=run"],
    "of its predictor": [*TREND, "checkpoint=run/predictor"],
    "of a run, but": [*TREND, "checkpoint=run", "lookback=50", "rescale=false"],
    "a day later": ["file=a_day_later.csv", "device=cpu", "checkpoint=run"],
    "of a model": [*TREND, "max_context=64"],
    "short file": ["checkpoint=run", "file=one_month.csv", "device=cpu"],
}
TRAINED = {"lookback": 32, "horizon": 3, "max_gap": 20, "clip": 0.5, "rescale": True}


def trend() -> pd.DataFrame:
    """1,000 daily bars that rise from 10 to 60."""
    close = np.linspace(10, 60, 1000) + np.sin(np.arange(1000) / 5)
    prices = {"open": close, "high": close + 1, "low": close - 1, "close": close}
    return pd.DataFrame(prices, index=pd.bdate_range("2020-01-01", periods=1000))


def write_run(folder: Path) -> None:
    """A finished training run with the tiny golden model, trained with `TRAINED`."""
    shutil.copytree(PREDICTOR.parent, folder)
    OmegaConf.save({"data": TRAINED, "split": {"val_end": "2022-12-30"}}, folder / "config.yaml")
    summary = {
        "kind": "train", "name": "run", "finished": "2026-01-01T00:00:00+00:00", "market": {"name": "demo"},
        "weights": {}, "seen_until": "2023-11-01",
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("forecasts")
    close = 10 + np.sin(np.arange(40) / 5)
    stamps = pd.bdate_range("2024-01-01", periods=40)
    bars = pd.DataFrame({"timestamps": stamps, "open": close, "high": close + 1, "low": close - 1, "close": close})
    bars.to_csv(folder / "bars.csv", index=False)
    bars.rename(columns={"timestamps": "when", "close": "last"}).to_csv(folder / "renamed.csv", index=False)
    bars.iloc[:20].to_csv(folder / "one_month.csv", index=False)
    trend().to_csv(folder / "trend.csv", index_label="timestamps")
    trend().shift(freq="B").to_csv(folder / "a_day_later.csv", index_label="timestamps")
    write_run(folder / "run")
    bars.iloc[:0].to_parquet(folder / "header.parquet")
    texts = {"empty.csv": "", "header.csv": HEADER, "one.csv": f"{HEADER}2024-01-01,1,1,1,1,1\n", "bars.txt": "bars"}
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "folder.csv").mkdir()

    common = ["file=bars.csv", "horizon=3", f"checkpoint='{PREDICTOR}'", "forecast.paths=2", "paths.outputs=out"]
    asked = {name: arguments for name, (arguments, _) in REFUSED.items()} | COMMANDS
    commands = {name: [*common, f"name='{name}'", *arguments] for name, arguments in asked.items()}
    return {"folder": folder, **run_commands("forecast.py", commands, folder)}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_forecast_is_one_line(runs: dict[str, Any], name: str) -> None:
    assert_refused(runs[name], REFUSED[name][1])
    assert not (runs["folder"] / "out" / "forecast" / name).exists()


def test_columns_of_other_names_are_mapped_as_the_readme_says(runs: dict[str, Any]) -> None:
    assert runs["own names"]["code"] == 0, runs["own names"]["err"]
    table = pd.read_csv(runs["folder"] / "out" / "forecast" / "own names" / "forecast.csv")
    assert len(table) == 3


@pytest.mark.parametrize(
    ("name", "line", "lookback", "clip", "rescale"),
    [
        ("of a run", "lookback    32 bars, as in training", 32, 0.5, True),
        ("of its predictor", "lookback    32 bars, as in training", 32, 0.5, True),
        ("of a run, but", "lookback    50 bars, 32 in training", 50, 0.5, False),
        ("of a model", "lookback    64 bars", 64, 5.0, False),
    ],
)
def test_bars_are_seen_as_in_training(
    runs: dict[str, Any], name: str, line: str, lookback: int, clip: float, rescale: bool
) -> None:
    assert runs[name]["code"] == 0, runs[name]["err"]
    assert line in runs[name]["out"].splitlines()
    folder = runs["folder"] / "out" / "forecast" / name
    config = OmegaConf.load(folder / "config.yaml")
    assert (config.lookback, config.rescale) == (lookback, rescale)

    tokenizer = KronosTokenizer.from_pretrained(str(PREDICTOR.parent / "tokenizer"))
    forecaster = Forecaster(tokenizer, Kronos.from_pretrained(str(PREDICTOR)), 64, clip, rescale)
    bars = read_series_file(runs["folder"] / "trend.csv", None, {}, None, 3).shortened(lookback)
    expected_PHF = forecast_file(forecaster, bars, Sampling(0.6, 0.9, 0), paths=2, seed=100)
    found = pd.read_parquet(folder / "paths.parquet")["close"].to_numpy()
    np.testing.assert_allclose(found, expected_PHF[:, :, 3].ravel(), rtol=1e-5)


def test_days_that_the_weights_have_seen_are_marked(runs: dict[str, Any]) -> None:
    (line,) = runs["of a run"]["err"].splitlines()
    assert line.startswith("inside training: the forecast starts on 2023-11-01, and these weights (run run, itself")
    assert line.endswith("saw days up to 2023-11-01")
    assert runs["a day later"]["err"] == ""


def test_a_file_shorter_than_the_lookback_says_so(runs: dict[str, Any]) -> None:
    assert "lookback    20 bars, 32 in training" in runs["short file"]["out"].splitlines(), runs["short file"]["err"]


def test_devices_are_those_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert available_devices() == ["cuda", "cuda:0", "cuda:1", "cpu"]
    assert fastest_device() == "cuda"
    assert resolve_device(None) == torch.device("cuda")
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(InputError, match=r"device=cuda:2 .* choose cuda, cuda:0, cuda:1, cpu$"):
        resolve_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device(None) == torch.device("cpu")
    with pytest.raises(InputError, match=r"device=cuda is not to be had on this machine: choose cpu$"):
        resolve_device("cuda")
