"""A store is written whole or not at all, and exactly in qlib's layout."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kronos_lab.data.store import StoreWriter, feature_folder, store_fingerprint
from kronos_lab.errors import InputError

CALENDAR = pd.bdate_range("2024-01-01", periods=6)
FUTURE = pd.bdate_range("2024-01-09", periods=2)


def bars(close: list[float], days: pd.DatetimeIndex = CALENDAR) -> pd.DataFrame:
    prices = {field: np.array(close) for field in ("open", "high", "low", "close")}
    return pd.DataFrame({**prices, "volume": 100.0}, index=days[: len(close)])


def write(folder: Path, close: list[float]) -> Path:
    with StoreWriter(folder, CALENDAR, FUTURE) as writer:
        writer.add("SH600000", bars(close))
        return writer.finish({"name": "two"})


def test_files_are_what_qlib_expects(tmp_path: Path) -> None:
    frame = bars([1.0, 2.0, np.nan, 4.0, np.nan]).iloc[1:]  # listed on the second day, suspended on the third
    with StoreWriter(tmp_path / "store", CALENDAR, FUTURE) as writer:
        writer.add("SH600000", frame)
        writer.add("SH000300", bars([10.0] * 6))
        writer.add_spans(
            "csi300", pd.DataFrame({"symbol": ["SH600000"], "start": ["2024-01-01"], "end": ["2024-01-31"]})
        )
        writer.attach("report.md", b"found nothing")
        store = writer.finish({"name": "two", "indices": ["SH000300"]})

    content = np.fromfile(store / "features" / "sh600000" / "close.day.bin", dtype="<f4")
    np.testing.assert_array_equal(content, np.array([1, 2, np.nan, 4], dtype="<f4"))  # position 1, then to the last bar
    assert np.isnan(np.fromfile(store / "features" / "sh600000" / "volume.day.bin", dtype="<f4")[2])  # like its close
    assert (store / "calendars" / "day.txt").read_text().splitlines() == [f"{day:%Y-%m-%d}" for day in CALENDAR]
    assert (store / "calendars" / "day_future.txt").read_text().splitlines()[-2:] == ["2024-01-09", "2024-01-10"]
    assert (store / "instruments" / "csi300.txt").read_text() == "SH600000\t2024-01-01\t2024-01-31\n"
    assert (store / "instruments" / "all.txt").read_text() == "SH600000\t2024-01-02\t2024-01-04\n"  # no index
    assert (store / "report.md").read_text() == "found nothing"
    description = json.loads((store / "market.json").read_text())
    assert description["universes"] == ["all", "csi300"]
    assert description["fields"] == ["open", "high", "low", "close", "volume"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store", "store.lock"]


def test_an_error_leaves_the_previous_store_as_it_was(tmp_path: Path) -> None:
    store = write(tmp_path / "store", [1.0, 2.0])
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    with pytest.raises(RuntimeError), StoreWriter(store, CALENDAR, FUTURE) as writer:
        writer.add("SH600000", bars([5.0]))
        raise RuntimeError("disk full")
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "store.partial").exists()


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path: Path) -> None:
    store = write(tmp_path / "store", [1.0, 2.0])
    store.rename(tmp_path / "store.previous")
    with StoreWriter(store, CALENDAR, FUTURE):
        assert (store / "market.json").is_file()


def test_a_finished_store_replaces_the_previous_one_whole(tmp_path: Path) -> None:
    write(tmp_path / "store", [1.0, 2.0])
    with StoreWriter(tmp_path / "store", CALENDAR, FUTURE) as writer:
        writer.add("SZ000001", bars([5.0]))
        store = writer.finish({})
    assert [path.name for path in (store / "features").iterdir()] == ["sz000001"]


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    def recorded(store: Path) -> str:
        return json.loads((store / "market.json").read_text())["fingerprint"]

    first, same, other = (
        write(tmp_path / str(n), close) for n, close in enumerate([[1.0, 2.0], [1.0, 2.0], [1.0, 3.0]])
    )
    assert recorded(first) == recorded(same) == store_fingerprint(first)
    assert recorded(first) != recorded(other)


@pytest.mark.parametrize(
    ("symbol", "frame", "message"),
    [
        ("SH600001", bars([1.0]).assign(vwap=1.0), "SH600001: unknown column vwap"),
        ("SH600001", bars([1.0]).drop(columns="close"), "SH600001: no column close"),
        ("SH600001", bars([np.nan]), "no bar with a close"),
        ("SH600001", bars([1.0, 2.0]).iloc[::-1], "sorted and without duplicates"),
        ("SH600001", bars([1.0], pd.DatetimeIndex(["2024-01-06"])), "stamps must be in the calendar"),
        ("sh600000", bars([1.0]), "differs by case only"),
        ("BTC/USDT", bars([1.0]), "cannot be a folder's name"),
    ],
)
def test_bars_that_cannot_be_stored_are_refused_by_name(
    tmp_path: Path, symbol: str, frame: pd.DataFrame, message: str
) -> None:
    with StoreWriter(tmp_path / "store", CALENDAR, FUTURE) as writer:
        writer.add("SH600000", bars([1.0]))
        with pytest.raises(InputError, match=message):
            writer.add(symbol, frame)


def test_memberships_and_descriptions_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    backwards = pd.DataFrame({"symbol": ["SH600000"], "start": ["2024-01-05"], "end": ["2024-01-01"]})
    with StoreWriter(tmp_path / "store", CALENDAR, FUTURE) as writer:
        with pytest.raises(InputError, match="csi300: a membership of SH600000 ends before it starts"):
            writer.add_spans("csi300", backwards)
        with pytest.raises(InputError, match="csi300: no members"):
            writer.add_spans("csi300", backwards.iloc[:0])
        with pytest.raises(InputError, match="no symbol was added"):
            writer.finish({})
        with pytest.raises(InputError, match="SH000300 is described but was not added"):
            writer.finish({"indices": ["SH000300"]})
    assert not (tmp_path / "store").exists()
    with pytest.raises(InputError, match="`future` must follow"):
        StoreWriter(tmp_path / "store", CALENDAR, CALENDAR[:1])


def test_names_of_devices_get_the_folder_that_qlib_looks_for() -> None:
    from qlib.utils import code_to_fname

    for symbol in ("CON", "PRN", "COM1", "SH600000", "COST"):
        assert feature_folder(symbol) == code_to_fname(symbol).lower()


def open_tiny_demo(folder: Path) -> str:
    from kronos_lab.data.demo_market import demo_market
    from kronos_lab.data.demo_stocks import DemoSize

    size = DemoSize(sessions=30, listed=12, listings=0, delistings=0, index_members=(2, 3, 4))
    return demo_market(folder / "store", size=size).fingerprint


def test_processes_that_arrive_together_write_one_store(tmp_path: Path) -> None:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        one, other = pool.map(open_tiny_demo, [tmp_path] * 2)
    assert one == other
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store", "store.lock"]
