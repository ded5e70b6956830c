"""Many series in one call: any mixture gives what each gives alone, whatever fits into memory."""

import numpy as np
import pytest
import torch
from decoder_cases import GREEDY, SAMPLED, assert_same_paths, forecaster, random_series
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos_lab.errors import InputError
from kronos_lab.forecasting.decoding import Window
from kronos_lab.forecasting.path_decoder import PathDecoder
from kronos_lab.forecasting.series_batches import Series, forecast_series, plan_batches


def mixture_of(*contexts: int, horizon: int = 6, paths: int = 3) -> list[Series]:
    return [Series(*(part[0].numpy() for part in random_series(1, c, horizon, paths, c))) for c in contexts]


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 80), min_size=1, max_size=6),
    horizons=st.lists(st.integers(1, 20), min_size=6, max_size=6),
    paths=st.integers(1, 4),
    rows_at_once=st.integers(1, 30),
)
def test_any_mixture_equals_one_by_one(lengths, horizons, paths, rows_at_once):
    fast = forecaster(max_context=64)
    mixture = []
    for seed, (context, horizon) in enumerate(zip(lengths, horizons, strict=False)):
        mixture.append(Series(*(part[0].numpy() for part in random_series(1, context, horizon, paths, seed))))
    together = forecast_series(fast, mixture, SAMPLED, rows_at_once)
    for one, paths_PHF in zip(mixture, together, strict=True):
        inputs = [torch.from_numpy(part)[None] for part in one]
        assert_same_paths(inputs[0], torch.from_numpy(paths_PHF)[None], fast.paths(*inputs, SAMPLED), SAMPLED)


def test_lookbacks_longer_than_the_window_share_a_batch():
    fast = forecaster(max_context=24)
    mixture = mixture_of(30, 27, 29, 24)
    assert len(plan_batches(mixture, fast.window, 10)) == 1
    for one, paths_PHF in zip(mixture, forecast_series(fast, mixture, GREEDY), strict=True):
        inputs = [torch.from_numpy(part)[None] for part in one]
        assert_same_paths(inputs[0], torch.from_numpy(paths_PHF)[None], fast.paths(*inputs, GREEDY), GREEDY)


class SmallMemory:
    """Refuses to decode more than some rows at once, and counts what is asked of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
        self.asked: list[int] = []
        original = PathDecoder.__init__

        def limited(decoder, predictor, lengths_B, paths, steps, dependency_rope):
            self.asked.append(len(lengths_B) * paths)
            if self.asked[-1] > most:
                raise torch.OutOfMemoryError("out of memory")
            original(decoder, predictor, lengths_B, paths, steps, dependency_rope)

        monkeypatch.setattr(PathDecoder, "__init__", limited)


def test_what_does_not_fit_is_halved_and_nothing_finished_is_lost(monkeypatch):
    fast, mixture = forecaster(), mixture_of(30, 30, 31, 30, 29, 30, 28)
    expected = forecast_series(fast, mixture, GREEDY)
    memory = SmallMemory(monkeypatch, most=6)
    progress: list[float] = []
    found = forecast_series(fast, mixture, GREEDY, 1000, progress.append)
    assert memory.asked == [7 * 3, 3 * 3, *[3] * 7]  # 21 rows, at most 10, at most 4: whole series of 3 paths
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4)
    assert progress == sorted(progress) and progress[-1] == len(mixture)


def test_one_series_whose_paths_do_not_fit_is_decoded_in_bundles(monkeypatch):
    fast, mixture = forecaster(), mixture_of(30, paths=40)
    expected = forecast_series(fast, mixture, GREEDY)
    memory = SmallMemory(monkeypatch, most=16)
    (found,) = forecast_series(fast, mixture, GREEDY, 1000)
    np.testing.assert_allclose(expected[0], found, rtol=1e-4)
    assert memory.asked == [40, 20, 10]


def test_not_even_one_path_fits(monkeypatch):
    SmallMemory(monkeypatch, most=0)
    with pytest.raises(InputError, match="one path of one series does not fit into memory"):
        forecast_series(forecaster(), mixture_of(30), GREEDY)


def test_progress_reaches_the_number_of_series():
    progress: list[float] = []
    forecast_series(forecaster(max_context=32), mixture_of(30, 12, 30), SAMPLED, 6, progress.append)
    assert progress == sorted(progress) and progress[-1] == 3
    assert len(progress) > 3


def test_units_and_types_of_one_series_do_not_touch_another():
    whole = mixture_of(30)[0]._replace(context_CF=np.full((30, 6), 7, dtype=np.int64))
    large = mixture_of(29)[0]
    large = large._replace(context_CF=large.context_CF * 1e9 + 0.25)
    together = forecast_series(forecaster(), [whole, large], GREEDY)
    (alone,) = forecast_series(forecaster(), [large], GREEDY)
    np.testing.assert_allclose(together[1], alone, rtol=1e-6)


def test_series_with_other_numbers_of_paths_are_refused():
    with pytest.raises(InputError, match="series 1 has 2 paths where another has 3"):
        forecast_series(forecaster(), [*mixture_of(30), *mixture_of(30, paths=2)], GREEDY)
    assert forecast_series(forecaster(), [], GREEDY) == []


def test_mixed_lengths_with_aligned_rotation_equal_one_by_one():
    fast = forecaster(dependency_rope="aligned")
    mixture = [Series(*(part[0].numpy() for part in random_series(1, context, 5, 2, context))) for context in (30, 26)]
    assert len(plan_batches(mixture, fast.window, 10)) == 1
    for one, paths_PHF in zip(mixture, forecast_series(fast, mixture, GREEDY), strict=True):
        inputs = [torch.from_numpy(part)[None] for part in one]
        assert_same_paths(inputs[0], torch.from_numpy(paths_PHF)[None], fast.paths(*inputs, GREEDY), GREEDY)


def test_batches_of_a_mixture_are_full_and_padded_little():
    shapes = [(context, 10) for context in (90, 90, 88, 30, 31, 500, 500, 499, 90)]
    series = [Series(np.zeros((c, 6)), np.zeros((c, 5)), np.zeros((h, 5)), np.zeros((2, h, 2))) for c, h in shapes]
    batches = plan_batches(series, Window(505), most=4)
    assert sorted(i for batch in batches for i in batch) == list(range(len(series)))
    assert [[shapes[i][0] for i in batch] for batch in batches] == [[30, 31], [88, 90, 90, 90], [499], [500, 500]]
