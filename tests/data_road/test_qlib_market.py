"""A foreign qlib folder: opened as it is, completed beside itself, never written to."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kronos_lab.data.market import Market
from kronos_lab.data.qlib_market import open_qlib_market
from kronos_lab.errors import InputError
from small_market_store import LATE_LISTING, LIMIT_UP_OPEN, SYMBOLS, write_small_market

DERIVED = ["amount", "change", "limit_up", "limit_down"]


def foreign_folder(folder: Path, without: list[str], seed: int = 7) -> Path:
    """The small market as another vendor would leave it: no market.json, indices among all, fields missing."""
    write_small_market(folder, seed)
    (folder / "market.json").unlink()
    (folder / "calendars" / "day_future.txt").unlink()
    with (folder / "instruments" / "all.txt").open("a") as file:
        file.write("SH000300\t2023-07-03\t2025-01-10\n")
    for path in (folder / "features").rglob("*.bin"):
        if path.name.split(".")[0] in without:
            path.unlink()
    for symbol in ("sh600000", "sh600001"):  # a field of the vendor's own
        (folder / "features" / symbol / "vwap.day.bin").write_bytes(
            (folder / "features" / symbol / "close.day.bin").read_bytes()
        )
    return folder


def state(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return foreign_folder(tmp_path_factory.mktemp("vendor") / "cn_data", DERIVED)


@pytest.fixture(scope="module")
def market(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Market:
    return open_qlib_market(folder, cache=tmp_path_factory.mktemp("cache"))


def test_missing_fields_are_derived(market: Market, small_market: Market) -> None:
    ours, theirs = (m.wide([*DERIVED, "close"], SYMBOLS) for m in (market, small_market))
    for field in DERIVED:
        known = ours[field].notna()
        np.testing.assert_allclose(ours[field][known], theirs[field][known], rtol=1e-6, atol=1e-6)
    traded = ours["close"].notna()
    assert ours["amount"].notna().equals(traded)
    unlimited = (traded & ours["limit_up"].isna()).sum()
    assert unlimited[LATE_LISTING] == 5  # the first sessions of a listing since 2023-04-10
    assert (unlimited.drop(LATE_LISTING) == 1).all()  # nothing before the first bar to measure from


def test_qlib_reads_derived_and_own_fields_and_sees_the_price_at_its_limit(market: Market) -> None:
    market.serve_qlib()
    from qlib.data import D

    days = market.calendar[299:302]
    frame = D.features([LIMIT_UP_OPEN], ["$open >= $limit_up"], days[0], days[-1])
    assert frame.iloc[:, 0].tolist() == [0, 1, 0]
    assert (D.features(["SH600000"], ["$vwap/$close"]).iloc[:, 0] == 1).all()
    assert len(D.calendar(future=True)) > len(market.calendar)


def test_indices_listed_among_the_stocks_are_none(market: Market) -> None:
    assert market.symbols("all") == SYMBOLS
    assert "SH000300" in market.indices
    assert market.name == "cn_data"


def test_the_folder_is_only_read(folder: Path, tmp_path: Path) -> None:
    before = state(folder)
    market = open_qlib_market(folder, cache=tmp_path)
    market.bars("csi300")
    market.wide(["limit_up"], SYMBOLS)
    assert state(folder) == before


def test_the_overlay_is_made_once_and_again_when_the_folder_changes(tmp_path: Path) -> None:
    folder = foreign_folder(tmp_path / "data", DERIVED)
    first = open_qlib_market(folder, cache=tmp_path / "cache")
    made = (first.store / "market.json").stat().st_mtime_ns
    again = open_qlib_market(folder, cache=tmp_path / "cache")
    assert (again.store / "market.json").stat().st_mtime_ns == made
    assert again.fingerprint == first.fingerprint

    instruments = folder / "instruments" / "csi300.txt"
    instruments.write_text(instruments.read_text() + "SH600039\t2024-01-01\t2024-02-01\n")
    changed = open_qlib_market(folder, cache=tmp_path / "cache")
    assert changed.fingerprint != first.fingerprint
    assert "SH600039" in changed.symbols("csi300")


def test_what_cannot_be_derived_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = foreign_folder(tmp_path / "data", [*DERIVED, "factor"])
    with caplog.at_level(logging.WARNING):
        market = open_qlib_market(folder, cache=tmp_path / "cache")
    assert "no price limits: it has no factor" in caplog.text
    assert [market.has_field(field) for field in (*DERIVED, "factor")] == [True, True, False, False, False]
    bare = open_qlib_market(folder)
    assert "can be derived" in caplog.text
    assert bare.store == folder


def test_a_complete_folder_is_taken_as_it_is(tmp_path: Path, small_market: Market) -> None:
    folder = foreign_folder(tmp_path / "data", [])
    market = open_qlib_market(folder, cache=tmp_path / "cache")
    for field, table in market.wide(DERIVED, SYMBOLS).items():
        pd.testing.assert_frame_equal(table, small_market.wide([field], SYMBOLS)[field])


def test_what_is_no_market_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere does not exist: give market\.store="):
        open_qlib_market(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no field volume"):
        open_qlib_market(foreign_folder(tmp_path / "data", ["volume"]))
