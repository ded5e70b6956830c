"""Imports of generated files: what the store holds, when it is made again, and what a user is told."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from generated_bars import PRICES, minutes, open_files, stock, write_sources

from kronos_lab.data.checks import Thresholds
from kronos_lab.data.import_report import read_report
from kronos_lab.data.readers import canonical_symbol
from kronos_lab.data.store import StoreWriter


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_sources(tmp_path)


def read_csv(folder: Path, symbol: str) -> pd.DataFrame:
    rows = pd.read_csv(folder / "bars.csv", parse_dates=["date"])
    return rows[rows["symbol"] == symbol].set_index("date")


# --- what the store holds


def test_the_store_holds_adjusted_bars_and_nan_on_suspension(folder: Path) -> None:
    market = open_files(folder)
    assert market.symbols("all") == ["SH600000", "SH688001", "SZ300001"]
    source = read_csv(folder, "SZ300001")
    fields = market.wide([*PRICES, "volume", "factor", "change"], ["SZ300001", "SH600000"])
    for name in PRICES:
        np.testing.assert_allclose(fields[name]["SZ300001"], source[name] * source["factor"], rtol=1e-7)
    np.testing.assert_allclose(fields["volume"]["SZ300001"], source["volume"] / source["factor"], rtol=1e-7)
    np.testing.assert_allclose(
        fields["change"]["SZ300001"], (source["close"] * source["factor"]).pct_change(), rtol=1e-4, atol=1e-7
    )
    suspended = {name: frame["SH600000"].iloc[20:22] for name, frame in fields.items()}
    assert all(values.isna().all() for values in suspended.values())
    assert not market.has_field("amount")
    assert len(market.bars().values_MF) == 58 + 60 + 20
    assert len(market.future) >= 100


def test_limits_of_the_store(folder: Path) -> None:
    limits = open_files(folder).wide(["limit_up", "limit_down", "factor"], ["SH600000", "SZ300001", "SH688001"])
    raw = {name: limits[name] / limits["factor"] for name in ("limit_up", "limit_down")}
    close = read_csv(folder, "SH600000")["close"]
    np.testing.assert_allclose(
        raw["limit_up"]["SH600000"].iloc[1], np.floor(close.iloc[0] * 110 + 0.5) / 100, rtol=1e-6
    )
    np.testing.assert_allclose(
        raw["limit_down"]["SH600000"].iloc[22], np.floor(close.iloc[19] * 90 + 0.5) / 100, rtol=1e-6
    )
    split = read_csv(folder, "SZ300001")
    reference = round(split["close"].iloc[29] * split["factor"].iloc[29] / split["factor"].iloc[30], 2)
    np.testing.assert_allclose(raw["limit_up"]["SZ300001"].iloc[30], np.floor(reference * 120 + 0.5) / 100, rtol=1e-6)
    assert limits["limit_up"]["SZ300001"].iloc[1:].notna().all(), "no listing: the data begin with it"
    fresh = limits["limit_up"]["SH688001"]
    assert fresh.iloc[:45].isna().all() and fresh.iloc[45:].notna().all(), "five sessions without limits"


def test_an_open_at_the_limit_is_at_the_limit_in_the_store(tmp_path: Path) -> None:
    stocks = []
    for n in range(30):
        rows = stock(f"SH6000{n:02d}", 40, n, factor=1.0 + 7.123456 * n).astype({"factor": np.float32})
        for session in range(5, 40, 10):  # locked at the limit all day, up and down in turn
            percent = 110 if (n + session // 10) % 2 else 90
            limit = (round(rows["close"][session - 1] * 100) * percent + 50) // 100 / 100
            rows.loc[session:, PRICES] = (rows.loc[session:, PRICES] + limit - rows["open"][session]).round(2)
            rows.loc[session, PRICES] = limit
        stocks.append(rows.astype(dict.fromkeys(PRICES, np.float32)))
    pd.concat(stocks).to_parquet(tmp_path / "bars.parquet")
    market = open_files(tmp_path, bars=tmp_path / "bars.parquet")
    fields = market.wide(["open", "limit_up", "limit_down"], market.symbols("all"))
    locked = slice(5, None, 10)
    at_limit = (fields["open"] >= fields["limit_up"]) | (fields["open"] <= fields["limit_down"])
    assert at_limit.iloc[locked].to_numpy().all()
    assert not at_limit.drop(at_limit.index[locked]).to_numpy().any()
    assert read_report(market.store)["checks"] == []


def test_memberships_and_indices(folder: Path) -> None:
    market = open_files(folder, memberships=str(folder / "members"), indices=folder / "index.csv.gz")
    assert market.universes() == ["all", "csi300"]
    assert market.symbols("csi300") == ["SH600000", "SZ000002", "SZ000003"]
    assert market.bars("csi300").symbols  # members without bars do no harm
    assert market.indices == ["SH000300"]
    assert "SH000300" not in market.symbols("all")
    assert len(market.index_close("SH000300")) == 60, "on the calendar of the bars, not its own"
    report = read_report(market.store)
    assert report["universes"] == {"csi300": {"symbols": 2, "without_bars": ["SZ000002"]}}  # one left before


def test_every_row_touched_is_in_the_report(folder: Path) -> None:
    rows = pd.read_csv(folder / "bars.csv")
    rows.loc[5, "close"] = -1.0
    pd.concat([rows, rows.iloc[[70]]]).to_csv(folder / "bars.csv", index=False)
    store = open_files(folder).store
    found = pd.read_csv(store / "import_report.csv")
    assert list(found.columns) == ["symbol", "date", "check", "action", "detail"]
    assert found["check"].tolist() == ["non_positive_price", "no_trade", "no_trade", "duplicate"]
    assert found["date"][0] == rows["date"][5] and found["symbol"][3] == "SZ300001"
    counts = {(line["check"], line["action"]): line["rows"] for line in read_report(store)["checks"]}
    assert counts == found.groupby(["check", "action"]).size().to_dict()
    assert "| non_positive_price | rejected | 1 | 1 |" in (store / "import_report.md").read_text()


# --- kinds of sources


def test_a_folder_of_files_equals_one_file(folder: Path) -> None:
    rows = pd.read_csv(folder / "bars.csv").drop(columns="symbol")
    symbols = pd.read_csv(folder / "bars.csv")["symbol"]
    for kind in ("csv", "csv.gz", "parquet"):
        target = folder / kind
        target.mkdir()
        for symbol, part in rows.groupby(symbols):
            file = target / f"{symbol[2:]}.{symbol[:2]}.{kind}"
            part.to_parquet(file) if kind == "parquet" else part.to_csv(file, index=False)
        (target / "notes.md").write_text("not a file of bars")
    expected = open_files(folder).fingerprint
    for kind in ("csv", "csv.gz", "parquet"):
        assert open_files(folder, bars=folder / kind).fingerprint == expected


@pytest.mark.parametrize(
    ("spelling", "symbol"),
    [
        ("sh600000", "SH600000"), ("600000.SH", "SH600000"), ("sh.600000", "SH600000"), ("000001.XSHE", "SZ000001"),
        ("XSHG_5min_600977", "SH600977"), ("430047.BJ", "BJ430047"), ("600000", "600000"), ("btc/usdt", "BTC_USDT"),
        ("BRK.B", "BRK.B"),
    ],
)  # fmt: skip
def test_spellings_of_symbols(spelling: str, symbol: str) -> None:
    assert canonical_symbol(spelling) == symbol


@pytest.mark.parametrize("style", ["%Y%m%d", "%Y-%m-%d", "%Y/%m/%d", "%Y-%m-%d 15:00:00", "%Y-%m-%dT00:00:00+08:00"])
def test_ways_to_write_a_date(folder: Path, style: str) -> None:
    expected = open_files(folder).calendar
    rows = pd.read_csv(folder / "bars.csv", parse_dates=["date"])
    rows["date"] = rows["date"].dt.strftime(style)
    rows.to_csv(folder / "bars.csv", index=False)
    assert open_files(folder).calendar.equals(expected)


def test_columns_are_mapped_hands_are_shares_and_codes_renamed(folder: Path) -> None:
    expected = open_files(folder).fingerprint
    rows = pd.read_csv(folder / "bars.csv").assign(symbol=lambda rows: rows["symbol"].replace("SZ300001", "SZ300999"))
    rows["volume"] /= 100
    rows.rename(columns={"volume": "lots", "date": "TRADE_DATE", "close": "Close"}).to_csv(
        folder / "bars.csv", index=False
    )
    columns = {"volume": "lots", "amount": None}
    market = open_files(folder, columns=columns, volume_unit="hands", renamed={"SZ300999": "SZ300001"})
    assert market.fingerprint == expected


def test_adjusted_prices(folder: Path) -> None:
    """With a factor the same store as from raw prices; without one the prices as they are, and no limits."""
    raw = open_files(folder).wide([*PRICES, "volume", "limit_up"], ["SZ300001"])
    rows = pd.read_csv(folder / "bars.csv")
    rows[PRICES], rows["volume"] = rows[PRICES].mul(rows["factor"], axis=0), rows["volume"] / rows["factor"]
    rows.to_csv(folder / "bars.csv", index=False)
    again = open_files(folder, prices="adjusted").wide([*PRICES, "volume", "limit_up"], ["SZ300001"])
    for name, values in raw.items():
        np.testing.assert_allclose(again[name], values, rtol=1e-6)
    rows.drop(columns="factor").to_csv(folder / "bars.csv", index=False)
    market = open_files(folder, prices="adjusted")
    np.testing.assert_allclose(market.wide(["close"], ["SZ300001"])["close"], raw["close"], rtol=1e-6)
    assert not market.has_field("limit_up")
    assert any("no limits" in note for note in read_report(market.store)["notes"])


def test_raw_prices_without_a_factor(folder: Path) -> None:
    rows = pd.read_csv(folder / "bars.csv").drop(columns="factor")
    rows.to_csv(folder / "bars.csv", index=False)
    market = open_files(folder)
    close = market.wide(["close"], ["SZ300001"])["close"]["SZ300001"]
    assert close.pct_change().abs().max() < 0.2, "the split is bridged"
    assert "unexplained_jump" in {line["check"] for line in read_report(market.store)["checks"]}


def test_minute_bars(tmp_path: Path) -> None:
    rows = pd.concat([minutes("SH600000", 12, 1), minutes("SZ000001", 12, 2)])
    rows.loc[(rows["symbol"] == "SZ000001") & (rows["stamp"].dt.day == 10), "volume"] = 0.0
    quiet = (rows["symbol"] == "SZ000001") & (rows["stamp"].dt.day == 10)
    rows.loc[quiet, PRICES] = 10.0
    rows.to_csv(tmp_path / "bars.csv", index=False)
    market = open_files(tmp_path, freq="5min", volume_unit="hands")
    assert len(market.calendar) == 12 * 6
    assert market.session_L.max() == 11
    fields = market.wide(["close", "limit_up", "volume", "amount"], ["SH600000", "SZ000001"])
    assert fields["close"]["SZ000001"].isna().sum() == 6
    first = rows[rows["symbol"] == "SH600000"].set_index("stamp")
    assert fields["volume"]["SH600000"].iloc[0] == first["volume"].iloc[0] * 100
    np.testing.assert_allclose(fields["amount"]["SH600000"], first["amount"], rtol=1e-6)
    change = market.wide(["change"], ["SH600000"])["change"]["SH600000"]
    close = first["close"].to_numpy()
    np.testing.assert_allclose(change.iloc[6:12], close[6:12] / close[5] - 1, rtol=1e-5, atol=1e-7)
    limit = fields["limit_up"]["SH600000"]
    assert limit.iloc[:6].isna().all()
    np.testing.assert_allclose(limit.iloc[6:12], np.floor(first["close"].iloc[5] * 110 + 0.5) / 100, rtol=1e-6)
    next_stamps = market.future_stamps(len(market.calendar) - 1, 6)
    assert [stamp.strftime("%H:%M") for stamp in next_stamps] == [t.strftime("%H:%M") for t in market.calendar[:6]]


# --- made once


def test_unchanged_sources_open_at_once_and_changed_ones_are_imported_again(folder: Path) -> None:
    made = (open_files(folder).store / "market.json").stat().st_mtime_ns

    def made_again(**options: object) -> bool:
        nonlocal made
        before, made = made, (open_files(folder, **options).store / "market.json").stat().st_mtime_ns
        return made != before

    assert not made_again()
    members = str(folder / "members")
    assert made_again(memberships=members)
    assert made_again(memberships=members, checks=Thresholds(limit_slack=0.01))
    (folder / "members" / "csi300.txt").write_text("SH600000\t2020-01-01\t2022-02-01\n")
    assert made_again(memberships=members, checks=Thresholds(limit_slack=0.01))
    os.utime(folder / "bars.csv", ns=(1, 1))
    assert made_again(memberships=members, checks=Thresholds(limit_slack=0.01))
    assert not made_again(memberships=members, checks=Thresholds(limit_slack=0.01))


def test_sources_are_never_altered(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in files]
    open_files(folder, memberships=str(folder / "members"), indices=folder / "index.csv.gz")
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in files] == before


def contents(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_an_import_that_fails_leaves_the_previous_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_files(folder).store
    before = contents(store)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "add_spans", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_files(folder, memberships=str(folder / "members"))
    assert contents(store) == before
    assert {path.name for path in folder.iterdir() if path.name.startswith("store")} <= {"store", "store.lock"}


KILLED_HALFWAY = """
import os, signal, sys
from pathlib import Path
from kronos_lab.data.checks import Thresholds
from kronos_lab.data.ingest import files_market
from kronos_lab.data.store import StoreWriter

StoreWriter.add_spans = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
folder = Path(sys.argv[1])
files_market(folder / "store", folder / "bars.csv", str(folder / "members"), None, {}, "raw", "shares", None,
             Thresholds(), "day")
"""


def test_a_killed_import_leaves_the_previous_store_and_is_repeated(folder: Path) -> None:
    store = open_files(folder).store
    before = contents(store)
    killed = subprocess.run([sys.executable, "-c", KILLED_HALFWAY, str(folder)], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert contents(store) == before
    assert open_files(folder, memberships=str(folder / "members")).universes() == ["all", "csi300"]
    assert not (folder / "store.partial").exists()
