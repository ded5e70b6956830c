"""Alpha158 of chosen rows: what is known on the day, and the price nobody has stored."""

import numpy as np
import pandas as pd
import pytest
from rival_cases import FIRST, UNIVERSE, redrawn

from kronos_lab.backtesting.alpha158.features import alpha158, vwap
from kronos_lab.backtesting.alpha158.training_rows import traded_members

SUSPENDED = "SH600005"


def test_no_feature_knows_a_later_bar(small_market, tmp_path):
    """All 158, up to the last bit: bars after a day change nothing up to it."""
    row_LN = traded_members(small_market, UNIVERSE).iloc[315:330].iloc[:, :8]
    day = row_LN.index[7]
    before = alpha158(small_market, row_LN, "")
    after = alpha158(redrawn(small_market, tmp_path, day), row_LN, "")
    pd.testing.assert_frame_equal(before.loc[:day], after.loc[:day], check_exact=True)
    changed = (before.loc[day:].iloc[8:] != after.loc[day:].iloc[8:]).any()
    assert before.shape == (int(row_LN.to_numpy().sum()), 158) and changed.sum() > 100


def test_each_row_has_its_own_features(small_market, few_features):
    """In the order of the index, as of a table that is looked up."""
    row_LN = traded_members(small_market, UNIVERSE).iloc[300:340]
    row_LN.iloc[:, 2] = False
    found = alpha158(small_market, row_LN, "")
    close = small_market.wide(["close"], row_LN.columns.to_list())["close"]
    volume = small_market.wide(["volume"], row_LN.columns.to_list())["volume"]
    assert found.index.equals(row_LN.stack().loc[lambda wanted: wanted].index.rename(["datetime", "instrument"]))
    for stamp, symbol in found.index[::37]:
        at = close.index.get_loc(stamp)
        if symbol == SUSPENDED:
            continue
        assert found.loc[(stamp, symbol), "RETURN"] == pytest.approx(
            close[symbol].iloc[at] / close[symbol].iloc[at - 1]
        )
        mean = volume[symbol].iloc[at - 19 : at + 1].mean()
        assert found.loc[(stamp, symbol), "VOLUME"] == pytest.approx(volume[symbol].iloc[at] / mean, rel=1e-5)
    assert np.isfinite(found["STD10"]).all()


def test_vwap_is_made_of_what_there_is(small_market, few_features, monkeypatch):
    row_LN = traded_members(small_market, UNIVERSE).loc[FIRST:].iloc[:1, :2]
    assert vwap(small_market).meaning == "vwap = amount / volume"
    prices = small_market.wide(["open", "high", "low", "close"], row_LN.columns.to_list(), FIRST, FIRST)
    mean = sum(prices.values()) / 4 / prices["close"]
    # The small market's amounts are made of this very mean, of raw prices: adjusted, they are the same.
    assert alpha158(small_market, row_LN, "")["VWAP0"].to_numpy() == pytest.approx(mean.to_numpy()[0], rel=1e-5)
    monkeypatch.setitem(small_market.description, "derived", ["amount"])
    assert vwap(small_market).meaning.startswith("no amounts in the store")
    assert alpha158(small_market, row_LN, "")["VWAP0"].to_numpy() == pytest.approx(mean.to_numpy()[0], rel=1e-5)
    monkeypatch.setattr(small_market, "fields", {"vwap"})
    assert vwap(small_market).expression == "$vwap"
