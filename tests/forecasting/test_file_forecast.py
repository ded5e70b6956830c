"""`forecast.py`: one file in; CSV, paths and picture out; what is wrong with a file in one line."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kronos_lab.errors import InputError
from kronos_lab.forecasting.file_forecast import FileSeries, read_series_file

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "data" / "golden"
REAL_FILE = ROOT.parent / "shared" / "data" / "XSHG_5min_600977.csv"


def write_bars(path: Path, stamps: pd.DatetimeIndex, **columns: object) -> Path:
    close = 10 + np.sin(np.arange(len(stamps)) / 5)
    frame = pd.DataFrame({"timestamps": stamps, "open": close, "high": close + 0.1, "low": close - 0.1, "close": close})
    frame = frame.assign(volume=1000.0, **columns)
    frame.to_csv(path, index=False)
    return path


def session_bars(days: int) -> pd.DatetimeIndex:
    """Half-hour bars of a day with a lunch break."""
    times = ["10:00", "10:30", "11:00", "11:30", "13:30", "14:00", "14:30", "15:00"]
    return pd.DatetimeIndex(
        [day + pd.Timedelta(f"{time}:00") for day in pd.bdate_range("2024-03-04", periods=days) for time in times]
    )


def read(path: Path, horizon: int = 10, **options: object) -> FileSeries:
    arguments = {"symbol": None, "columns": {}, "until": None} | options
    return read_series_file(path, horizon=horizon, **arguments)


def test_future_stamps_follow_the_files_own_sessions(tmp_path: Path) -> None:
    stamps = session_bars(12)
    series = read(write_bars(tmp_path / "bars.csv", stamps[:-3]), horizon=11)
    expected = [*stamps[-3:], *(s + pd.Timedelta(days=1) for s in stamps[-8:])]  # the 12th day is a Tuesday
    assert list(series.future_stamps) == expected
    assert series.truth.empty


def test_until_keeps_the_truth_apart_and_the_history_can_be_shortened(tmp_path: Path) -> None:
    stamps = session_bars(12)
    path = write_bars(tmp_path / "bars.csv", stamps)
    series = read(path, until="2024-03-15", horizon=20).shortened(30)
    assert series.history.index[-1] == pd.Timestamp("2024-03-15 15:00")
    assert len(series.history) == 30
    assert list(series.truth.index) == list(series.future_stamps[: len(series.truth)])
    assert series.truth.index[0] == pd.Timestamp("2024-03-18 10:00")
    assert len(series.future_stamps) == 20
    assert read(path, until="2024-03-15 11:30").history.index[-1] == pd.Timestamp("2024-03-15 11:30")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"until": "2020-01-01"}, "0 bars until 2020-01-01"),
        ({"until": "soon"}, "until=soon is no date"),
        ({"symbol": "SZ000001"}, "has no symbol SZ000001"),
        ({"columns": {"close": "last"}}, "no column 'last' for close"),
        ({"horizon": 0}, "horizon=0 must be a whole number, at least 1"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, options: dict, message: str) -> None:
    path = write_bars(tmp_path / "bars.csv", session_bars(5))
    with pytest.raises(InputError, match=message):
        read(path, **options)


def test_several_symbols_need_a_choice_and_duplicates_are_refused(tmp_path: Path) -> None:
    stamps = session_bars(4)
    two = write_bars(tmp_path / "two.csv", stamps, symbol=["SH600000", "SH600004"] * 16)
    with pytest.raises(InputError, match="holds 2 symbols: choose one with symbol="):
        read(two)
    for spelling in ("SH600004", "sh600004", "600004.SH"):
        assert read(two, symbol=spelling).symbol == "SH600004"
    assert len(read(two, symbol="SH600004").history) == 16
    digits = write_bars(tmp_path / "digits.csv", stamps, symbol=["600000", "600001"] * 16)
    assert read(digits, symbol=600001).symbol == "600001"  # as Hydra hands it over
    twice = write_bars(tmp_path / "twice.csv", stamps.append(stamps[-1:]))
    with pytest.raises(InputError, match="has two bars at 2024-03-07 15:00:00"):
        read(twice)
    with pytest.raises(InputError, match="column close has nan in row 3"):
        holes = pd.read_csv(write_bars(tmp_path / "holes.csv", stamps))
        holes.loc[3, "close"] = np.nan
        holes.to_csv(tmp_path / "holes.csv", index=False)
        read(tmp_path / "holes.csv")


def run_forecast(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "forecast.py"), f"paths.outputs={cwd / 'out puts'}", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("real", [False, True])
def test_command_writes_forecast_paths_and_picture(tmp_path: Path, real: bool) -> None:
    if real and not REAL_FILE.is_file():
        pytest.skip("real K-lines are not beside this checkout (../shared/data)")
    file = REAL_FILE if real else write_bars(tmp_path / "my bars.csv", session_bars(20))
    done = run_forecast(f"file={file}", "horizon=24", f"checkpoint={GOLDEN / 'tiny' / 'predictor'}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "out puts" / "forecast").iterdir()
    table = pd.read_csv(folder / "forecast.csv", parse_dates=["stamp"])
    assert len(table) == 24
    assert {"open", "high", "low", "close", "volume", "amount", "close_q05", "close_q95"} <= set(table.columns)
    assert table["stamp"].is_monotonic_increasing
    paths = pd.read_parquet(folder / "paths.parquet")
    assert len(paths) == 5 * 24
    np.testing.assert_allclose(paths.groupby("stamp")["close"].mean(), table["close"], rtol=1e-5)
    assert (folder / "forecast.png").read_bytes().startswith(b"\x89PNG")


def test_command_fails_in_one_line(tmp_path: Path) -> None:
    done = run_forecast("file=missing.csv", "horizon=5", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip() == "error: file=missing.csv is no file: give a CSV or Parquet file of bars"
