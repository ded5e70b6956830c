"""A rival for the scores: on the rows that were forecast, of nothing that was not known, made once."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rival_cases import FIRST, HORIZON, SETTINGS, SPLIT, model_of, ours_of, redrawn, rival_of, told_by_volume

from kronos_lab.backtesting.alpha158 import rival as rival_module
from kronos_lab.data.market import Market
from kronos_lab.evaluation.ranking import daily_correlation, open_to_open_return


def test_it_scores_the_rows_that_were_forecast(small_market, scored):
    score_LN, made_of, warnings = scored
    pd.testing.assert_frame_equal(score_LN.notna(), ours_of(small_market).notna(), check_freq=False, check_names=False)
    assert made_of["unscored"] == 0
    assert warnings == [
        "LightGBM learned from 236 days only, 2023-07-03 to 2024-05-31: with more it may be a stronger rival"
    ]


def test_it_finds_what_is_there(tmp_path, few_features):
    market = told_by_volume(tmp_path, strength=0.01)
    assert rank_ic(market).mean() > 0.4


def test_it_finds_nothing_where_nothing_is(tmp_path, few_features):
    daily_L = rank_ic(told_by_volume(tmp_path, strength=0.0))
    assert abs(daily_L.mean()) < 3 * daily_L.std() / np.sqrt(len(daily_L) / HORIZON)  # labels overlap


def rank_ic(market: Market) -> pd.Series:
    score_LN, *_ = rival_of(market).score(ours_of(market))
    open_LN = market.wide(["open"], score_LN.columns.to_list())["open"]
    return daily_correlation(score_LN, open_to_open_return(open_LN, HORIZON), "rank").dropna()


def test_later_bars_change_no_earlier_score(tmp_path, few_features):
    """Neither by the features nor by the trees, which bars before the first signal day decide alone."""
    market = told_by_volume(tmp_path, strength=0.01)
    score_LN, *_ = rival_of(market).score(ours_of(market))
    day = score_LN.index[10]
    after = redrawn(market, tmp_path / "in the test part", day)
    after_LN, *_ = rival_of(after).score(ours_of(market))
    pd.testing.assert_frame_equal(after_LN.iloc[:11], score_LN.iloc[:11], check_exact=True)
    assert (after_LN.iloc[11:] != score_LN.iloc[11:]).to_numpy().any()

    last = market.calendar[market.calendar <= SPLIT.val_end][-1]
    after = redrawn(market, tmp_path / "after the validation part", last)
    rival_of(after).score(ours_of(market))
    assert model_of(after) == model_of(market)
    before = redrawn(market, tmp_path / "in the training part", pd.Timestamp("2024-01-02"))
    rival_of(before).score(ours_of(market))
    assert model_of(before) != model_of(market)


def test_it_is_trained_once(tmp_path, few_features, monkeypatch):
    """Model and scores are taken from the cache; other days need new scores, other settings a new model."""
    market = told_by_volume(tmp_path, strength=0.01)
    ours_LN = ours_of(market)
    first_LN, made_of, _ = rival_of(market).score(ours_LN)
    calls = {"train": 0, "alpha158": 0}
    for name in calls:
        whole = getattr(rival_module, name)

        def counted(*arguments, name=name, whole=whole):
            calls[name] += 1
            return whole(*arguments)

        monkeypatch.setattr(rival_module, name, counted)
    again_LN, made_of_again, _ = rival_of(market, replace(SETTINGS, num_threads=2)).score(ours_LN)
    pd.testing.assert_frame_equal(again_LN, first_LN)
    assert made_of_again == made_of and calls == {"train": 0, "alpha158": 0}
    fewer_LN, *_ = rival_of(market).score(ours_LN.iloc[5:])
    assert np.allclose(fewer_LN, first_LN.iloc[5:], equal_nan=True) and calls == {"train": 0, "alpha158": 1}
    rival_of(market, reuse=False).score(ours_LN)
    assert calls == {"train": 1, "alpha158": 3}
    rival_of(market, replace(SETTINGS, num_leaves=3)).score(ours_LN)
    assert calls == {"train": 2, "alpha158": 5}
    uncached = Market(market.store)
    pd.testing.assert_frame_equal(rival_of(uncached).score(ours_LN)[0], first_LN)
    assert calls == {"train": 3, "alpha158": 7}


def test_what_it_cannot_say_is_said(tmp_path, few_features, monkeypatch):
    market = told_by_volume(tmp_path, strength=0.01)
    ours_LN = ours_of(market)
    *_, warnings = rival_of(market, replace(SETTINGS, lambda_l1=1e6)).score(ours_LN)
    assert warnings[-1] == "LightGBM has learned nothing: it gives every name the same score"

    whole, (day, symbol) = rival_module.alpha158, (ours_LN.index[3], ours_LN.iloc[3].first_valid_index())

    def nothing_known(*arguments):
        features = whole(*arguments)
        if (day, symbol) in features.index:
            features.loc[(day, symbol)] = np.nan
        return features

    monkeypatch.setattr(rival_module, "alpha158", nothing_known)
    score_LN, made_of, warnings = rival_of(market).score(ours_LN)
    assert made_of["unscored"] == 1 and np.isnan(score_LN.loc[day, symbol])
    rows = ours_LN.notna().to_numpy().sum()
    assert warnings[-1] == f"LightGBM: no feature is known of 1 of {rows} rows, which it does not score"
    assert score_LN.notna().to_numpy().sum() == rows - 1


@pytest.mark.parametrize("leftover", ["lightgbm.partial", "scores.partial"])
def test_what_a_killed_run_has_left_is_made_anew(tmp_path, few_features, leftover):
    market = told_by_volume(tmp_path, strength=0.01)
    score_LN, *_ = rival_of(market).score(ours_of(market))
    (folder,) = (path for path in market.cache.glob("lightgbm-*") if path.is_dir())
    (scores,) = folder.glob("scores-*.parquet")
    if leftover == "scores.partial":
        scores.rename(scores.with_name(scores.name + ".partial")).write_bytes(b"half")
    else:
        folder.rename(folder.with_name(folder.name + ".partial"))
    pd.testing.assert_frame_equal(rival_of(market).score(ours_of(market))[0], score_LN)
    assert scores.is_file() and f"{FIRST:%Y%m%d}" in scores.name
    assert not list(market.cache.rglob("*.partial"))
