"""Size, industry and whatever else bars do not tell: read from a file, as of each day, and taken out of the scores."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kronos_lab.backtesting.scores.cross_section import CrossSection
from kronos_lab.backtesting.scores.exposures import EXPOSURES
from kronos_lab.backtesting.scores.given_exposures import read_exposures
from kronos_lab.errors import InputError
from kronos_lab.evaluation.neutral import neutralised

NAN = np.nan
DAYS = pd.bdate_range("2024-07-01", periods=4)  # Monday to Thursday
SYMBOLS = ["SH600000", "SH600001", "SZ000002", "SZ000003"]
OWN = """code,trade_date,Size,industry,rating
600000.SH,20240628,1.5,bank,
600001.SH,20240628,2.5,steel,A
sz.000002,20240702,3.5,bank,B
600000.SH,20240703,9.5,steel,A
600001.SH,20240703,,coal,
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own.csv").write_text(OWN)
    return tmp_path / "own.csv"


def frame(*rows: list[float]) -> pd.DataFrame:
    return pd.DataFrame(rows, index=DAYS, columns=SYMBOLS, dtype=float)


def cross_section(file: Path, *names: str) -> CrossSection:
    return CrossSection(
        winsorise=None, neutralise=names, rank=False, beta_sessions=60, liquidity_sessions=20, exposures=str(file)
    )


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_each_day_has_what_was_last_known_of_a_name(own, kind):
    if kind == "parquet":
        file = own.with_suffix(".parquet")
        pd.read_csv(own, dtype={"trade_date": str}).to_parquet(file)
        own = file
    given = read_exposures(own, ["beta", "Size", "industry"], EXPOSURES)
    assert given.dated
    (size,) = given.frames("Size", DAYS, SYMBOLS)
    known = [[1.5, 2.5, NAN, NAN], [1.5, 2.5, 3.5, NAN], [9.5, 2.5, 3.5, NAN], [9.5, 2.5, 3.5, NAN]]
    pd.testing.assert_frame_equal(size, frame(*known), check_names=False, check_freq=False)
    coal, steel = given.frames("industry", DAYS, SYMBOLS)  # beside bank, the first
    expected = frame([0, 1, NAN, NAN], [0, 1, 0, NAN], [1, 0, 0, NAN], [1, 0, 0, NAN])
    pd.testing.assert_frame_equal(steel, expected, check_names=False, check_freq=False)
    expected = frame([0, 0, NAN, NAN], [0, 0, 0, NAN], [0, 1, 0, NAN], [0, 1, 0, NAN])
    pd.testing.assert_frame_equal(coal, expected, check_names=False, check_freq=False)


@pytest.fixture(scope="module")
def scores(small_market) -> pd.DataFrame:
    days, symbols = small_market.calendar[-30:], small_market.symbols("csi300")
    values = np.random.default_rng(0).normal(size=(len(days), len(symbols)))
    return pd.DataFrame(values, index=days, columns=symbols)


@pytest.fixture
def of_members(small_market, scores, tmp_path) -> Path:
    """A file of every symbol that is scored, each of one of three industries and of a size in currency."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"symbol": list(scores), "industry": [f"I{n % 3}" for n in range(scores.shape[1])]})
    table["size"] = rng.lognormal(24, 3, len(table))
    table.to_csv(tmp_path / "all.csv", index=False)
    return tmp_path / "all.csv"


def test_neutral_to_industry_is_less_the_mean_of_the_industry(small_market, scores, of_members):
    found = cross_section(of_members, "industry")(scores, small_market, "csi300")
    industry = pd.read_csv(of_members).set_index("symbol")["industry"]
    mean = scores.T.groupby(industry).transform("mean").T
    pd.testing.assert_frame_equal(found, scores - mean, atol=1e-12, check_freq=False)


def test_a_size_in_currency_does_not_drown_the_beta_beside_it(small_market, scores, of_members):
    section = cross_section(of_members, "beta", "size", "industry")
    found = section(scores, small_market, "csi300")
    alone = CrossSection(winsorise=None, neutralise=["beta"], rank=False, beta_sessions=60, liquidity_sessions=20)
    known = alone(scores, small_market, "csi300").notna()
    assert known.equals(found.notna()) and known.sum(axis=1).min() > 10
    table = pd.read_csv(of_members).set_index("symbol")
    size = table["size"].reindex(scores.columns)
    fitted = pd.DataFrame(np.outer(np.ones(len(scores)), size), scores.index, scores.columns)
    again = section(found + 0.2 * fitted / 1e12, small_market, "csi300")  # what size explains is gone again
    np.testing.assert_allclose(again, found, atol=1e-9)
    assert not np.allclose(found, scores, equal_nan=True)


def test_a_row_of_tomorrow_changes_nothing_today(small_market, scores, of_members, tmp_path):
    table = pd.read_csv(of_members).assign(date=f"{scores.index[5]:%Y-%m-%d}")
    later = table.assign(date=f"{scores.index[20]:%Y-%m-%d}", size=table["size"].to_numpy()[::-1])
    found = []
    for number, rows in enumerate((table, pd.concat([later, table]))):
        rows.to_parquet(tmp_path / f"{number}.parquet")
        found.append(cross_section(tmp_path / f"{number}.parquet", "size")(scores, small_market, "csi300"))
    before, after = found
    pd.testing.assert_frame_equal(before[:20], after[:20], check_exact=True)
    assert not before[20:].equals(after[20:])
    assert before[:5].isna().all(axis=None) and before[5:].notna().all(axis=None)  # not known yet


def test_a_category_that_no_name_has_today_asks_for_no_name_more():
    scores = pd.DataFrame([[1.0, 2.0, 4.0, 8.0]], columns=SYMBOLS)
    industry = pd.DataFrame([[0.0, 0.0, 1.0, 1.0]], columns=SYMBOLS)
    nobody = industry * 0
    expected = pd.DataFrame([[-0.5, 0.5, -2.0, 2.0]], columns=SYMBOLS)
    pd.testing.assert_frame_equal(neutralised(scores, [industry, nobody, nobody]), expected)


def test_what_a_file_leaves_open_is_said(small_market, scores, of_members, tmp_path):
    section = cross_section(of_members, "size", "beta")
    (line,) = section.check(small_market, "csi300", scores.index)
    assert line == f"{of_members} has no date: its size may not have been known on the days they are used on"
    table = pd.read_csv(of_members).assign(date="2024-01-02")
    table.iloc[:-4].to_csv(tmp_path / "few.csv", index=False)
    (line,) = cross_section(tmp_path / "few.csv", "size").check(small_market, "csi300", scores.index)
    assert "size is unknown of " in line and line.endswith("% of the members: they have no score then")
    table.assign(symbol=table["symbol"].str[2:]).to_csv(tmp_path / "digits.csv", index=False)
    with pytest.raises(InputError, match=r"size is known of no member of csi300 .* like 600000, .* like SH600000"):
        cross_section(tmp_path / "digits.csv", "size").check(small_market, "csi300", scores.index)
    assert cross_section(of_members, "beta").check(small_market, "csi300", scores.index) == []


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (OWN, "weight", r"neutralise: weight is neither told by bars nor a column of .*own\.csv: choose any of "
         r"\[beta, liquidity, Size, industry, rating\]"),
        (OWN.replace("Size", "beta"), "industry", r"own\.csv, column beta: bars tell beta already"),
        (OWN.replace("code", "name"), "Size", r"own\.csv: no column symbol \(there are: name, trade_date, Size"),
        (OWN.replace("20240702", "soon"), "Size", r"own\.csv, column trade_date: 'soon' in row 2 is no date"),
        (OWN.replace("sz.000002,20240702", "SH600000,20240628"), "Size", r"SH600000 comes twice on 2024-06-28"),
        ("symbol,size\nA,1\nA,2\n", "size", r"own\.csv: A comes twice, and no column says when"),
        ("symbol,size\n,1\n", "size", r"own\.csv, column symbol: row 0 is empty"),
        ("", "size", r"own\.csv cannot be read as CSV"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused_in_one_line(own, content: str, name: str, words: str):
    own.write_text(content)
    with pytest.raises(InputError, match=words) as refused:
        cross_section(own, name)
    assert "\n" not in str(refused.value)


def test_a_column_of_blanks_is_known_of_nobody(small_market: Any, scores, tmp_path):
    (tmp_path / "blank.csv").write_text("symbol,size\nSH600000,\n")
    with pytest.raises(InputError, match="size is known of no member"):
        cross_section(tmp_path / "blank.csv", "size").check(small_market, "csi300", scores.index)
