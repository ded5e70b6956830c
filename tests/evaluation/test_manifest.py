"""Which pairs are compared, and what became of them."""

import numpy as np
import pandas as pd
import pytest

from kronos_lab.errors import InputError

LOOKBACK, HORIZON = 20, 4
START, END = "2024-04-01", "2024-12-31"


def make(market, days=None, names=None, universe="csi300", start=START, end=END, lookback=LOOKBACK):
    from kronos_lab.evaluation.manifest import Manifest, ManifestSize
    from kronos_lab.runs.provenance import WindowSettings

    window = WindowSettings(lookback, HORIZON, max_gap=5, clip=5.0, rescale=False)
    return Manifest(market, universe, window, start, end, ManifestSize(days, names))


def pairs(manifest):
    return list(zip(manifest.stamp_S, manifest.symbol_S, strict=True))


@pytest.mark.parametrize("horizon", [1, HORIZON])
@pytest.mark.parametrize("kind", ["open_to_open_return", "close_to_close_return"])
def test_labels_are_those_of_the_ranking_figures(small_market, kind, horizon):
    """Of a market that ends with the part; suspensions of the small market at entry and at exit included."""
    from kronos_lab.evaluation import ranking
    from small_market_store import SUSPENDED

    manifest = make(small_market, universe="csi800")
    symbols = small_market.symbols("csi800")
    field = kind.split("_")[0]
    price_LN = small_market.wide([field], symbols, end=END)[field]
    expected = manifest.take(getattr(ranking, kind)(price_LN, horizon))
    np.testing.assert_allclose(getattr(manifest, kind)(horizon), expected, rtol=1e-6)
    own = expected[manifest.symbol_S == SUSPENDED]
    assert np.isnan(own).any() == (kind == "open_to_open_return") and np.isfinite(own).any()


def test_no_label_reaches_over_the_end_and_no_future_is_needed_to_be_chosen(small_market):
    from small_market_store import DELISTED

    manifest = make(small_market)
    calendar = small_market.calendar
    last = calendar.get_loc(pd.Timestamp(END))
    assert calendar.get_loc(manifest.days[-1]) == last - (HORIZON + 1)
    delisted = make(small_market, universe="all")
    own = delisted.symbol_S == DELISTED
    label = delisted.open_to_open_return(HORIZON)[own]
    assert delisted.stamp_S[own].max() == calendar[349]  # its last bar: forecast, though nothing came of it
    assert np.isnan(label[-1]) and np.isfinite(label[0])
    # Suspended from its exit beyond the end of the part: what it opens at later is not for this part to know.
    from small_market_store import SUSPENDED

    short = make(small_market, end=calendar[331], universe="csi800")
    own = short.symbol_S == SUSPENDED
    assert short.stamp_S[own].max() == calendar[326]
    assert np.isnan(short.open_to_open_return(HORIZON)[own][-1])
    assert np.isfinite(make(small_market, universe="csi800").open_to_open_return(HORIZON)).sum() > 0


def test_members_of_the_day_with_a_full_lookback(small_market):
    manifest = make(small_market)
    spans = small_market.spans("csi300")
    for day, symbol in pairs(manifest)[::37]:
        own = spans[spans.symbol == symbol]
        assert ((own.start <= day) & (day <= own.end)).any()
    assert pairs(manifest) == sorted(pairs(manifest))


def test_days_are_spread_and_names_chosen_by_a_hash(small_market):
    every, some = make(small_market), make(small_market, days=10, names=6)
    assert set(pairs(some)) < set(pairs(every))
    assert len(some.days) == 10 and (pd.Series(some.stamp_S).value_counts() == 6).all()
    distance = np.diff(small_market.calendar.get_indexer(some.days))
    assert distance.max() - distance.min() <= 1
    assert some.stride == pytest.approx(distance.mean())
    chosen = {day: [s for d, s in pairs(some) if d == day] for day in some.days}
    assert len({tuple(names) for names in chosen.values()}) > 5  # not the same ones every day
    assert make(small_market, days=10**6, names=10**6).fingerprint == every.fingerprint


def test_bars_of_minutes_have_times_and_no_days(small_market):
    manifest = make(small_market, days=10)
    assert manifest.unit == "days"
    manifest.__dict__["days"] = manifest.days + pd.Timedelta(minutes=575)
    assert manifest.unit == "times"


def test_the_fingerprint_tells_pairs_and_horizons_apart(small_market):
    fingerprints = [
        make(small_market, days=10, names=6).fingerprint,
        make(small_market, days=10, names=7).fingerprint,
        make(small_market, days=11, names=6).fingerprint,
        make(small_market, days=10, names=6, universe="csi500").fingerprint,
    ]
    assert len(set(fingerprints)) == 4
    assert make(small_market, days=10, names=6).fingerprint == fingerprints[0]


def test_tables_and_pairs_convert_into_each_other(small_market):
    manifest = make(small_market, days=5)
    value_S = np.arange(len(manifest), dtype=float)
    np.testing.assert_array_equal(manifest.take(manifest.frame(value_S)), value_S)
    first = manifest.stamp_S == manifest.days[0]
    assert manifest.mean_by_day(value_S).iloc[0] == value_S[first].mean()
    assert np.isnan(manifest.take(pd.DataFrame({"SH999999": [1.0]}, index=manifest.days[:1]))).all()


def test_variances_are_those_of_the_closes(small_market):
    """Of what lies between signal and exit, suspensions left out, and of the lookback."""
    from small_market_store import SUSPENDED

    manifest = make(small_market, universe="csi800")
    close_LN = small_market.wide(["close"], small_market.symbols("csi800"), end=END)["close"]
    realised_S, historical_S = manifest.realised_variance(HORIZON), manifest.historical_variance()
    np.testing.assert_array_equal(np.isnan(realised_S), np.isnan(manifest.close_to_close_return(HORIZON)))
    own = np.flatnonzero((manifest.symbol_S == SUSPENDED) & np.isfinite(realised_S))
    for n in [*range(0, len(manifest), 397), *own]:
        close = close_LN[manifest.symbol_S[n]].dropna()
        here = close_LN.index.get_loc(manifest.stamp_S[n])
        until = close.loc[close_LN.index[here + HORIZON] :].index[0]
        within = np.log(close.loc[manifest.stamp_S[n] : until]).diff().dropna()
        assert realised_S[n] == pytest.approx((within**2).sum(), rel=1e-4)
        before = np.log(close.loc[: manifest.stamp_S[n]].iloc[-LOOKBACK:]).diff().dropna()
        assert len(before) == LOOKBACK - 1 and historical_S[n] == pytest.approx((before**2).mean(), rel=1e-4)


def test_the_level_of_a_price_is_where_its_last_close_stands_in_the_lookback(small_market):
    manifest = make(small_market, universe="csi800")
    close_LN = small_market.wide(["close"], small_market.symbols("csi800"), end=END)["close"]
    for n in range(0, len(manifest), 397):
        seen = close_LN[manifest.symbol_S[n]].loc[: manifest.stamp_S[n]].dropna().iloc[-LOOKBACK:]
        level = (seen.iloc[-1] - seen.mean()) / seen.std(ddof=0)
        assert manifest.level_S[n] == pytest.approx(level, abs=1e-4)


def test_signals_may_end_before_their_labels(small_market):
    from kronos_lab.evaluation.manifest import Manifest, ManifestSize
    from kronos_lab.runs.provenance import WindowSettings

    window = WindowSettings(LOOKBACK, HORIZON, max_gap=5, clip=5.0, rescale=False)
    few = Manifest(small_market, "csi300", window, START, None, ManifestSize(None, None), signal_end="2024-04-05")
    assert (few.days[0], few.days[-1]) == (pd.Timestamp(START), pd.Timestamp("2024-04-05"))
    assert np.isfinite(few.close_to_close_return(HORIZON)).all()


def test_what_cannot_be_compared_is_one_line(small_market):
    from kronos_lab.evaluation.manifest import ManifestSize

    with pytest.raises(InputError, match=r"nothing to compare: universe csi300 of market small has no 20 bars"):
        make(small_market, start="2025-01-06", end=None)
    for size, words in (((-1, 50), "days=-1"), ((5, 4), "names=4 must be a whole number, at least 5")):
        with pytest.raises(InputError, match=rf"^evaluation.test.{words}"):
            ManifestSize(*size).check("evaluation.test")
    ManifestSize(0, None).check("evaluation.test")
