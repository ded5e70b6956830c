"""Limits of stocks under special treatment (ST), where the files tell which those are."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from generated_bars import minutes, open_files, stock

from kronos_lab.data.import_report import read_report
from kronos_lab.errors import InputError

MAIN, STAR, CHINEXT = "SH600000", "SH688001", "SZ300001"
MARKED = slice(30, 45)  # sessions under special treatment; the factor steps inside
FIELDS = ["limit_up", "limit_down", "factor"]


def write_bars(
    folder: Path, column: str | None = "st", marks: tuple[Any, Any] = (False, True), kind: str = "csv"
) -> pd.DataFrame:
    rows = []
    for number, symbol in enumerate((MAIN, STAR, CHINEXT)):
        bars = stock(symbol, 60, number, steps={40: 1.5})
        if column is not None:
            bars[column] = [marks[MARKED.start <= session < MARKED.stop] for session in range(60)]
        rows.append(bars)
    table = pd.concat(rows, ignore_index=True)
    table.to_csv(folder / "bars.csv", index=False) if kind == "csv" else table.to_parquet(folder / "bars.parquet")
    return table.set_index("stamp")


def limits_by_hand(bars: pd.DataFrame, rate: np.ndarray) -> dict[str, np.ndarray]:
    before = (bars["close"] * bars["factor"]).shift(1) / bars["factor"]
    reference = (before * 100).round() / 100
    return {
        "limit_up": np.floor(reference * (1 + rate) * 100 + 0.5 + 1e-6) / 100,
        "limit_down": np.floor(reference * (1 - rate) * 100 + 0.5 + 1e-6) / 100,
    }


@pytest.mark.parametrize(
    ("column", "marks"),
    [("st", (False, True)), ("is_st", (0, 1)), ("isST", ("", "1")), ("ST", ("false", "TRUE")), ("st", (np.nan, 1.0))],
)
def test_a_marked_session_has_a_limit_of_5_percent_on_the_main_board_alone(tmp_path, column, marks):
    bars = write_bars(tmp_path, column, marks)
    market = open_files(tmp_path)
    stored = market.wide(FIELDS, [MAIN, STAR, CHINEXT])
    for symbol, usual, of_st in ((MAIN, 0.1, 0.05), (STAR, 0.2, 0.2), (CHINEXT, 0.2, 0.2)):
        rate = np.full(60, usual)
        rate[MARKED] = of_st
        for field, expected in limits_by_hand(bars[bars["symbol"] == symbol], rate).items():
            raw = stored[field][symbol] / stored["factor"][symbol]
            np.testing.assert_allclose(raw[1:], expected[1:], rtol=1e-6)
    note = "limits by board and date; 45 bars are marked st, which makes it 5 % on the main boards"
    assert note in read_report(market.store)["notes"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_column_may_have_any_name(tmp_path, kind):
    write_bars(tmp_path, "special", (0, 1), kind)
    market = open_files(tmp_path, bars=tmp_path / f"bars.{kind}", columns={"st": "special"})
    fields = market.wide([*FIELDS, "st"], [MAIN])
    raw_up, raw_down = (fields[name][MAIN] / fields["factor"][MAIN] for name in ("limit_up", "limit_down"))
    narrow = (raw_up - raw_down) / (raw_up + raw_down) < 0.075
    assert np.flatnonzero(narrow).tolist() == list(range(30, 45))
    assert np.flatnonzero(fields["st"][MAIN]).tolist() == list(range(30, 45))


def test_without_marks_every_stock_has_the_limit_of_its_board_and_the_report_says_so(tmp_path):
    bars = write_bars(tmp_path, None)
    market = open_files(tmp_path)
    stored = market.wide(FIELDS, [MAIN])
    expected = limits_by_hand(bars[bars["symbol"] == MAIN], np.full(60, 0.1))["limit_up"]
    np.testing.assert_allclose((stored["limit_up"] / stored["factor"])[MAIN][1:], expected[1:], rtol=1e-6)
    assert not market.has_field("st")
    assert any("special treatment are not known" in note for note in read_report(market.store)["notes"])


def test_minute_bars_have_the_limit_of_their_session(tmp_path):
    bars = minutes()
    bars.assign(st=[int(number >= 36) for number in range(len(bars))]).to_csv(tmp_path / "bars.csv", index=False)
    fields = open_files(tmp_path, freq="5min").wide(["limit_up"], [MAIN])["limit_up"][MAIN].to_numpy()
    close = bars["close"].to_numpy()[5::6]
    np.testing.assert_allclose(fields[6:12], np.floor(close[0] * 110 + 0.5 + 1e-6) / 100, rtol=1e-6)
    np.testing.assert_allclose(fields[36:42], np.floor(close[5] * 105 + 0.5 + 1e-6) / 100, rtol=1e-6)


def test_a_mark_that_is_neither_true_nor_false_is_refused(tmp_path):
    write_bars(tmp_path, "st", (0, "*ST"))
    with pytest.raises(InputError, match=r"bars\.csv, column st: '\*ST' in row 30 is neither true nor false"):
        open_files(tmp_path)


def test_the_order_list_takes_a_marked_stock_to_stay_so(tmp_path):
    from kronos_lab.backtesting.trading.next_session import limits_of_next_session, names_on, next_session

    bars = write_bars(tmp_path)
    market = open_files(tmp_path)
    close = bars[bars["symbol"] == MAIN]["close"]
    for position, rate in ((20, 0.1), (35, 0.05)):
        day = market.calendar[position]
        names = names_on(market, [MAIN], day)
        limits = limits_of_next_session(names, MAIN, next_session(market, day))
        expected = [np.floor(close.iloc[position] * (1 + sign * rate) * 100 + 0.5 + 1e-6) / 100 for sign in (1, -1)]
        assert limits == pytest.approx(expected)
