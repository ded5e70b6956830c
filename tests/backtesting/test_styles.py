"""What a portfolio leans on, by hand."""

import numpy as np
import pandas as pd
import pytest

from kronos_lab.backtesting.styles import portfolio_styles, style_percentiles, thirds

DAYS = pd.to_datetime(["2024-07-01", "2024-07-02"])


def holdings(*rows: tuple[int, str, float]) -> pd.DataFrame:
    return pd.DataFrame([(DAYS[day], name, weight) for day, name, weight in rows], columns=["date", "symbol", "weight"])


def test_a_style_is_the_mean_percentile_of_what_is_held_by_weight():
    percentile = pd.DataFrame({"a": [0.0, 0.5], "b": [1.0, np.nan], "c": [0.5, 1.0]}, DAYS)
    held = holdings((0, "a", 0.25), (0, "b", 0.75), (1, "b", 0.5), (1, "c", 0.1), (1, "gone", 0.4))
    found = portfolio_styles(held, {"beta": percentile})["beta"]
    assert found.to_list() == pytest.approx([0.75, 1.0])  # the second day b and gone have none: c alone counts
    nothing_known = portfolio_styles(holdings((0, "gone", 1.0)), {"beta": percentile})
    assert nothing_known["beta"].isna().all()


def test_percentiles_are_among_the_scored_names_of_the_day_and_know_no_later_bar(small_market):
    symbols = small_market.symbols("csi300")
    close = small_market.wide(["close"], symbols)["close"]
    score = close.iloc[-40:-30].where(lambda frame: frame.notna()).copy()
    score.iloc[:, 0] = np.nan
    market_return = close.ffill().pct_change(fill_method=None).mean(axis=1)
    found = style_percentiles(small_market, score, market_return)
    assert list(found) == ["beta", "liquidity", "volatility", "past return"]
    for percentile in found.values():
        assert percentile.iloc[:, 0].isna().all()
        assert (percentile.min(axis=1) == 0).all() and (percentile.max(axis=1) == 1).all()
    past = (close.ffill().iloc[-31] / close.ffill().iloc[-51] - 1).where(score.iloc[-1].notna())
    assert found["past return"].iloc[-1].idxmax() == past.idxmax()
    assert found["past return"].iloc[-1].corr(past.rank()) == pytest.approx(1)


def test_thirds_part_the_known_names():
    percentile = pd.DataFrame([[0.0, 0.2, 0.5, 0.8, 1.0, np.nan]])
    parts = thirds(percentile)
    assert sum(part.sum().sum() for part in parts.values()) == 5
    assert [list(np.flatnonzero(part.iloc[0])) for part in parts.values()] == [[0, 1], [2], [3, 4]]


def test_months_are_compounded_and_the_missing_ones_empty():
    from kronos_lab.backtesting.report.months import month_table

    daily = pd.Series([0.1, 0.1, -0.5], pd.to_datetime(["2023-12-28", "2023-12-29", "2024-02-01"]))
    table = month_table(daily)
    assert table.loc[2023, 12] == pytest.approx(0.21) and table.loc[2024, 2] == pytest.approx(-0.5)
    assert table.shape == (2, 12) and table.notna().sum().sum() == 2
