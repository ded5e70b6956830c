"""Holdings as a broker shows them, and what is wrong with a file in one line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kronos_lab.backtesting.trading.holdings import cash_beside, no_holdings, read_holdings
from kronos_lab.errors import InputError
from small_market_store import LATE_LISTING


def written(folder: Path, text: str) -> Path:
    file = folder / "holdings.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_file_is_read_as_people_write_it(small_market, tmp_path):
    text = "\ufeffName, Symbol ,Shares,Sessions_Held\nx,600002.SH,1200,3\n,,,\ny,sh600001,0,9\nz,SH600000,0.5,\n"
    held, said = read_holdings(written(tmp_path, text), small_market, small_market.calendar[-1])
    assert held["shares"].to_dict() == {"SH600000": 0.5, "SH600002": 1200.0}  # sorted, and what is sold is left out
    assert held["sessions_held"].to_dict() == {"SH600000": np.inf, "SH600002": 3.0}
    assert said == ["1 of 2 holdings without sessions_held: taken as held long enough to be sold"]
    held, said = read_holdings(written(tmp_path, "symbol,shares\n"), small_market, small_market.calendar[-1])
    assert held.empty and said == []


def test_orders_of_whole_shares_need_whole_holdings(small_market, tmp_path):
    file = written(tmp_path, "symbol,shares\nSH600002,1200.0\nSH600000,12.5\n")
    with pytest.raises(InputError, match=r"line 3: SH600000: shares '12\.5' is no whole number"):
        read_holdings(file, small_market, small_market.calendar[-1], whole=True)


def test_a_comma_at_the_end_of_every_line_is_no_column(small_market, tmp_path):
    file = written(tmp_path, "symbol,shares\nSH600000,100,\nSH600002,200,\n")
    held, _ = read_holdings(file, small_market, small_market.calendar[-1])
    assert held["shares"].to_dict() == {"SH600000": 100.0, "SH600002": 200.0}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("symbol,amount\nSH600000,1\n", ": no column shares (there are: symbol, amount)"),
        ("shares\n1\n", ": no column symbol (there are: shares)"),
        ("symbol,shares\nSH600000,100\nSH699999,1\n", ", line 3: market small has no symbol 'SH699999'"),
        ("symbol,shares\n600000,100\n", ", line 2: market small has no symbol '600000': write SH600000"),
        ("symbol,shares\nSH000300,100\n", ", line 2: market small has no symbol 'SH000300'"),  # an index
        ("symbol,shares\nSH600000,1\n\n600000.SH,2\n", ", line 4: SH600000 stands in line 2 already: add the two up"),
        ("symbol,shares\nSH600000,-100\n", ", line 2: SH600000: shares '-100' is no number from 0 on"),
        ("symbol,shares\nSH600000,many\n", ", line 2: SH600000: shares 'many' is no number from 0 on"),
        ("symbol,shares\nSH600000,\n", ", line 2: SH600000: shares '' is no number from 0 on"),
        ("symbol,shares\nSH600000,inf\n", ", line 2: SH600000: shares 'inf' is no number from 0 on"),
        ("symbol,shares,sessions_held\nSH600000,1,-2\n", ", line 2: SH600000: sessions_held '-2' is no number"),
        (f"symbol,shares\n{LATE_LISTING},1\n", f", line 2: {LATE_LISTING} has no bar up to 2023-10-09 in market small"),
        ("", " cannot be read as CSV"),
    ],
)
def test_what_cannot_be_held_is_one_line(small_market, tmp_path, text, line):
    file = written(tmp_path, text)
    with pytest.raises(InputError) as error:
        read_holdings(file, small_market, small_market.calendar[70])
    assert str(error.value).startswith(f"{file}{line}")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(small_market):
    with pytest.raises(InputError, match=r"^holdings=/no/where\.csv does not exist: give a CSV file"):
        read_holdings("/no/where.csv", small_market, small_market.calendar[-1])


def test_cash_is_what_is_given_or_said_to_be_none():
    nothing, held = no_holdings(), pd.DataFrame({"shares": [100.0]}, index=["SH600000"])
    assert cash_beside(5, nothing, 1e8) == (5.0, []) and cash_beside(0.0, held, 1e8) == (0.0, [])
    assert cash_beside(None, nothing, 1e8) == (1e8, [])
    cash, (said,) = cash_beside(None, held, 1e8)
    assert cash == 0 and said.startswith("cash=null: none beside the holdings")
    for wrong in (-1, "rich", float("nan"), True):
        with pytest.raises(InputError, match=f"^cash={wrong} is no amount of money"):
            cash_beside(wrong, nothing, 1e8)
    with pytest.raises(InputError, match="neither cash nor a holding"):
        cash_beside(0, nothing, 1e8)
