"""Series in batches, and batches shared by ranks."""

import pytest

from kronos_lab.errors import InputError


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_ranks_share_the_batches_without_overlap(world):
    from kronos_lab.backtesting.forecasts.forecast_batches import NOTHING, RankBatches

    shares = [list(RankBatches([0, 1, 3, 4, 9], rank, world)) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    assert sorted(batch for share in shares for batch in share if batch != NOTHING) == [0, 1, 3, 4, 9]
    assert list(RankBatches([], 0, world)) == [NOTHING]


@pytest.mark.parametrize(("size", "paths_", "series"), [(1000, 5, 200), (1000, 1000, 1), (7, 2, 3), (4, 5, 1)])
def test_the_batch_size_bounds_series_times_paths(size, paths_, series):
    from kronos_lab.backtesting.forecasts.forecast_batches import series_per_batch

    assert series_per_batch(size, paths_) == series


@pytest.mark.parametrize(("size", "paths_"), [(0, 5), (1000, 0)])
def test_a_batch_of_nothing_is_refused(size, paths_):
    from kronos_lab.backtesting.forecasts.forecast_batches import series_per_batch

    with pytest.raises(InputError, match="=0 must be a whole number, at least 1"):
        series_per_batch(size, paths_)
