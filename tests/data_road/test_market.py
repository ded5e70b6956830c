"""A market says what its store holds, and qlib reads the same from it."""

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kronos_lab.data.bars import FIELDS
from kronos_lab.data.market import Market
from kronos_lab.data.store import StoreWriter
from kronos_lab.errors import InputError
from small_market_store import (
    DELISTED,
    JOINER,
    LATE_LISTING,
    LEAVER,
    LIMIT_UP_OPEN,
    SUSPENDED,
    SYMBOLS,
    write_small_market,
)


def of(market: Market, symbol: str) -> tuple[np.ndarray, np.ndarray]:
    """Calendar positions and values of a symbol's bars."""
    bars = market.bars()
    rows = bars.rows_of(symbol)
    return bars.position_M[rows], bars.values_MF[rows]


def one_stock(
    folder: Path, calendar: pd.DatetimeIndex, close: Iterable[float], freq: str = "day", **fields: float
) -> Path:
    """A store of one symbol, X, with the given closes; other fields as given."""
    future = pd.bdate_range(calendar[-1].normalize() + pd.Timedelta(days=1), periods=3)
    frame = pd.DataFrame({"close": list(close)}, index=calendar)
    frame = frame.assign(open=frame["close"], high=frame["close"], low=frame["close"], volume=1000.0).assign(**fields)
    with StoreWriter(folder, calendar, future, freq) as writer:
        writer.add("X", frame)
        return writer.finish({"name": folder.name})


def test_bars_are_the_traded_sessions(small_market: Market) -> None:
    bars = small_market.bars()
    assert bars.symbols == SYMBOLS
    assert bars.values_MF.dtype == np.float32
    assert bars.offsets[-1] == len(bars.values_MF) == len(bars.position_M)
    positions = {symbol: of(small_market, symbol)[0] for symbol in (LATE_LISTING, DELISTED, SUSPENDED)}
    assert positions[LATE_LISTING].tolist() == list(range(250, 400))
    assert positions[DELISTED].tolist() == list(range(350))
    assert positions[SUSPENDED].tolist() == [p for p in range(400) if not (150 <= p < 156 or 330 <= p < 333)]


def test_bars_and_tables_agree(small_market: Market) -> None:
    tables = small_market.wide(list(FIELDS), SYMBOLS[3:6])
    for symbol in SYMBOLS[3:6]:
        position, values = of(small_market, symbol)
        wide = np.stack([tables[field][symbol].to_numpy() for field in FIELDS], axis=-1)
        np.testing.assert_array_equal(wide[position], values)
        assert np.isnan(np.delete(wide, position, axis=0)).all()


def test_history_reaches_back_before_membership(small_market: Market) -> None:
    bars = small_market.bars("csi300")
    assert JOINER in bars.symbols
    assert LEAVER in bars.symbols
    assert bars.position_M[bars.rows_of(JOINER)][0] == 0  # it joined at 200
    assert small_market.symbols("csi300") == sorted([*SYMBOLS[:15]])


def test_membership_is_dated_and_inclusive(small_market: Market) -> None:
    member_LN = small_market.member_LN("csi300", [JOINER, LEAVER, SYMBOLS[0], SYMBOLS[20]])
    assert member_LN.shape == (400, 4)
    assert member_LN[199].tolist() == [False, True, True, False]
    assert member_LN[200].tolist() == [True, False, True, False]
    assert member_LN[[0, 399], 2].all()
    spans = small_market.spans("csi300").set_index("symbol")
    assert spans.loc[LEAVER, "end"] == small_market.calendar[199]


def test_wide_takes_a_range_of_days(small_market: Market) -> None:
    days = small_market.calendar[148:158]
    close = small_market.wide(["close"], [SUSPENDED], days[0], days[-1])["close"]
    assert close.index.equals(days)
    assert close[SUSPENDED].isna().to_numpy().nonzero()[0].tolist() == [2, 3, 4, 5, 6, 7]
    assert close.dtypes.unique().tolist() == [np.float64]
    assert small_market.wide(["close"], [SUSPENDED], days[3] + pd.Timedelta(hours=1), days[3] + pd.Timedelta(hours=2))[
        "close"
    ].empty


def test_limits_are_stored_and_met_exactly(small_market: Market) -> None:
    tables = small_market.wide(["open", "high", "low", "limit_up", "limit_down"], SYMBOLS)
    assert tables["open"][LIMIT_UP_OPEN].iloc[300] == tables["limit_up"][LIMIT_UP_OPEN].iloc[300]
    assert not (tables["high"] > tables["limit_up"]).any(axis=None)
    assert not (tables["low"] < tables["limit_down"]).any(axis=None)


def test_future_stamps_come_from_the_calendar_then_the_known_future_then_the_grid(small_market: Market) -> None:
    calendar, future = small_market.calendar, small_market.future
    assert len(future) == 30
    assert small_market.future_stamps(10, 5).equals(calendar[11:16])
    assert small_market.future_stamps(398, 3).tolist() == [calendar[399], future[0], future[1]]
    beyond = small_market.future_stamps(399, 33)
    assert beyond[:30].tolist() == future.tolist()
    assert beyond[30:].tolist() == pd.bdate_range(future[-1] + pd.Timedelta(days=1), periods=3).tolist()


def test_newest_day_has_members_with_bars(small_market: Market, tmp_path: Path) -> None:
    assert small_market.newest_day("csi300") == small_market.calendar[-1]
    calendar = pd.bdate_range("2024-01-01", periods=5)
    market = Market(one_stock(tmp_path / "x", calendar, [1, 2, 3, np.nan, np.nan]))
    assert market.newest_day("all") == calendar[2]


def test_unknown_names_are_answered_with_the_known_ones(small_market: Market, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no universe 'csi50'; it has all, csi1000, csi300, csi500, csi800"):
        small_market.spans("csi50")
    with pytest.raises(InputError, match="no index 'SH000016'; it has SH000300, SH000852, SH000905, SH000906"):
        small_market.index_close("SH000016")
    with pytest.raises(InputError, match="no field 'vwap'; it has amount, change, close"):
        small_market.wide(["vwap"], SYMBOLS[:1])
    with pytest.raises(InputError, match="no store in qlib's format"):
        Market(tmp_path)
    with pytest.raises(InputError, match=r"/nowhere does not exist: give market\.store="):
        Market(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"day\.txt is no folder: give market\.store="):
        Market(small_market.store / "calendars" / "day.txt")
    with pytest.raises(InputError, match=r"no calendars/5min\.txt; it has day bars"):
        Market(small_market.store, freq="5min")


def test_indices_belong_to_no_universe(small_market: Market) -> None:
    assert small_market.indices == ["SH000300", "SH000852", "SH000905", "SH000906"]
    assert small_market.symbols("all") == SYMBOLS
    level = small_market.index_close("SH000300")
    assert len(level) == 400
    assert level.name == "SH000300"


def test_a_store_without_amount_gets_it_from_volume(tmp_path: Path) -> None:
    market = Market(one_stock(tmp_path / "x", pd.bdate_range("2024-01-01", periods=3), [2.0, np.nan, 4.0]))
    assert not market.has_field("amount")
    assert market.bars().values_MF[:, FIELDS.index("amount")].tolist() == [2000.0, 4000.0]


def test_stamps_without_volume_are_no_bars(tmp_path: Path) -> None:
    calendar = pd.bdate_range("2024-01-01", periods=3)
    market = Market(one_stock(tmp_path / "x", calendar, [2.0, 3.0, 4.0], volume=pd.Series([5.0, 0.0, 5.0], calendar)))
    assert market.bars().position_M.tolist() == [0, 2]
    silent = Market(one_stock(tmp_path / "silent", calendar, [2.0, 3.0, 4.0], volume=0.0))
    with pytest.raises(InputError, match="none of 1 symbols has a bar"):
        silent.bars()


def test_cached_bars_are_mapped_and_need_no_qlib(tmp_path: Path) -> None:
    store = one_stock(tmp_path / "x", pd.bdate_range("2024-01-01", periods=3), [2.0, 3.0, 4.0])
    first = Market(store, cache=tmp_path / "cache").bars()
    code = (
        "import sys; sys.modules['qlib'] = None\n"
        "from kronos_lab.data.market import Market\n"
        f"bars = Market({str(store)!r}, cache={str(tmp_path / 'cache')!r}).bars()\n"
        "print(type(bars.values_MF).__name__, bars.values_MF.flags.writeable, bars.values_MF[:, 3].tolist())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split("\n")[0] == f"memmap False {first.values_MF[:, 3].tolist()}"


def test_bars_of_another_content_are_not_taken_from_the_cache(tmp_path: Path) -> None:
    calendar = pd.bdate_range("2024-01-01", periods=2)
    for close in ([2.0, 3.0], [2.0, 4.0]):
        market = Market(one_stock(tmp_path / "x", calendar, close), cache=tmp_path / "cache")
        assert market.bars().values_MF[:, 3].tolist() == close


def test_the_frequencies_of_one_store_share_no_cached_bars(tmp_path: Path) -> None:
    """Two days of a market that never rests: as many 5-minute stamps as days, and the same last one."""
    days = pd.DatetimeIndex(["2024-01-01", "2024-01-02"])
    minutes = pd.DatetimeIndex(["2024-01-01 23:55", "2024-01-02 00:00"])
    store = one_stock(tmp_path / "both", days, [2.0, 3.0])
    shutil.copytree(one_stock(tmp_path / "minutes", minutes, [7.0, 8.0], freq="5min"), store, dirs_exist_ok=True)
    (store / "market.json").unlink()  # nobody's import: a folder that came like this
    closes = {
        freq: Market(store, freq=freq, cache=tmp_path / "cache").bars().values_MF[:, 3].tolist()
        for freq in ("day", "5min", "day")
    }
    assert closes == {"day": [2.0, 3.0], "5min": [7.0, 8.0]}


def test_qlib_reads_the_store(small_market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # qlib's tracker likes to leave folders
    small_market.serve_qlib()
    from qlib.data import D

    days = small_market.calendar
    assert D.calendar(freq="day").tolist() == days.tolist()
    assert D.calendar(freq="day", future=True).tolist() == days.union(small_market.future).tolist()
    members = D.list_instruments(D.instruments("csi300"), start_time=days[300], end_time=days[300], as_list=True)
    assert sorted(members) == [symbol for symbol in SYMBOLS[:15] if symbol != LEAVER]
    frame = D.features([SUSPENDED], ["$close", "Ref($close, 1)"], days[149], days[156])
    assert frame["$close"].isna().tolist() == [False, *[True] * 6, False]
    table = small_market.wide(["close"], [SUSPENDED], days[149], days[156])["close"][SUSPENDED]
    np.testing.assert_array_equal(frame["$close"], table)
    assert D.features(["SH000300"], ["$close"], days[0], days[9])["$close"].notna().all()
    assert not list(tmp_path.iterdir())


def test_qlibs_exchange_takes_a_missing_bar_for_a_suspension(small_market: Market) -> None:
    small_market.serve_qlib()
    from qlib.backtest.exchange import Exchange

    days = small_market.calendar
    exchange = Exchange(
        freq="day", start_time=days[149], end_time=days[156], codes=SYMBOLS[:6], deal_price="open",
        limit_threshold=("$open >= $limit_up", "$open <= $limit_down"),
    )  # fmt: skip
    suspended = [exchange.check_stock_suspended(SUSPENDED, day, day) for day in days[149:157]]
    assert suspended == [False, *[True] * 6, False]
    assert exchange.check_stock_suspended(LATE_LISTING, days[150], days[150])


def test_one_process_moves_between_stores(small_market: Market, tmp_path: Path) -> None:
    from_qlib = {}
    calendar = pd.bdate_range("2024-01-01", periods=2)
    x, y = (Market(one_stock(tmp_path / name, calendar, close)) for name, close in {"x": [1, 2], "y": [3, 4]}.items())
    for market in (x, y, x):
        market.serve_qlib()
        from qlib.data import D

        from_qlib[market.name] = D.features(["X"], ["$close"])["$close"].tolist()
        assert small_market.wide(["close"], SYMBOLS[:1])["close"].notna().all(axis=None)  # and back again
    assert from_qlib == {"x": [1, 2], "y": [3, 4]}
    longer = Market(one_stock(tmp_path / "x", pd.bdate_range("2024-01-01", periods=3), [5, 6, 7]))  # the same folder
    longer.serve_qlib()
    assert D.features(["X"], ["$close"])["$close"].tolist() == [5, 6, 7]


def test_minute_bars_belong_to_sessions(tmp_path: Path) -> None:
    days = pd.bdate_range("2024-01-04", periods=3)
    times = pd.timedelta_range("09:35:00", "10:00:00", freq="5min")
    calendar = pd.DatetimeIndex([day + time for day in days for time in times])
    store = one_stock(tmp_path / "minutes", calendar, np.arange(1.0, 19.0), freq="5min")
    market = Market(store, freq="5min")
    assert market.session_L.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert market.member_LN("all", ["X"]).all()  # to the last minute of the last day
    assert market.newest_day("all") == days[-1]
    assert len(market.bars().values_MF) == 18
    market.serve_qlib()
    from qlib.data import D

    frame = D.features(D.instruments("all"), ["$close"], freq="5min")
    assert frame["$close"].tolist() == list(range(1, 19))


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("calendars/day.txt", "2024-01-01\nnever\n", r"day\.txt: a line is no date"),
        ("calendars/day.txt", "\n", r"day\.txt: no stamps"),
        ("instruments/all.txt", "X\t2024-01-01\tnever\n", r"all\.txt: write symbol, first day, last day"),
        ("instruments/all.txt", "", r"all\.txt: no members"),
        ("market.json", '{"name": "x",', r"market\.json cannot be read .* import the market again"),
    ],
)
def test_a_broken_text_file_is_one_line(tmp_path: Path, file: str, text: str, message: str) -> None:
    store = one_stock(tmp_path / "x", pd.bdate_range("2024-01-01", periods=2), [1, 2])
    (store / file).write_text(text)
    with pytest.raises(InputError, match=message):
        Market(store).spans("all")


def test_the_fixture_is_the_same_every_time(small_market: Market, tmp_path: Path) -> None:
    assert Market(write_small_market(tmp_path / "again")).fingerprint == small_market.fingerprint
