"""Scores without what exposures explain: by hand, and at their limits."""

import numpy as np
import pandas as pd

from kronos_lab.evaluation.neutral import neutralised

NAN = np.nan


def frame(*rows: list[float] | np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(rows, index=pd.bdate_range("2024-07-01", periods=len(rows)))


def test_neutralised_by_hand():
    """Scores 1, 2, 6, 3 on an exposure of 0, 1, 2, 3: the fit is 1.5 + x."""
    exposure = frame([0.0, 1.0, 2.0, 3.0, NAN])
    expected = frame([-0.5, -0.5, 2.5, -1.5, NAN])
    pd.testing.assert_frame_equal(neutralised(frame([1.0, 2.0, 6.0, 3.0, 9.0]), [exposure]), expected)


def test_neutral_scores_are_uncorrelated_with_every_exposure():
    rng = np.random.default_rng(1)
    beta, liquidity = frame(*rng.normal(1, 0.3, (6, 30))), frame(*rng.normal(18, 1, (6, 30)))
    scores = 0.01 * beta - 0.002 * liquidity + rng.normal(0, 0.01, beta.shape)
    scores.iloc[2, 4] = NAN
    neutral = neutralised(scores, [beta, liquidity])
    assert neutral.isna().equals(scores.isna())
    for known in (beta, liquidity):
        assert neutral.corrwith(known, axis=1).abs().max() < 1e-9
    assert neutral.mean(axis=1).abs().max() < 1e-12


def test_where_nothing_is_left_to_say_there_is_no_opinion():
    exposure = frame([0.3, 1.1, 2.7, 3.2, 4.9, 0.7])
    assert (neutralised(frame([0.1] * 6), [exposure]) == 0).all(axis=None)
    assert (neutralised(0.1 + 0.7 * exposure, [exposure]) == 0).all(axis=None)
    few = frame([1.0, 2.0, 6.0, NAN, NAN, NAN])
    assert neutralised(few, [exposure]).isna().all(axis=None)
