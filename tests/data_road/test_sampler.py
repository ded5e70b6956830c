"""Every window once, whatever the number of processes."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos_lab.data.sampler import Permutation, TrainingSampler, ValidationSampler
from kronos_lab.errors import InputError


def epoch_of(sampler: TrainingSampler, epoch: int) -> list[np.ndarray]:
    sampler.set_epoch(epoch)
    return list(sampler)


@given(st.integers(1, 5000), st.text(max_size=5))
@settings(max_examples=100, deadline=None)
def test_permutation_is_a_bijection(size, key):
    image = Permutation(size, key)(np.arange(size))
    assert np.array_equal(np.sort(image), np.arange(size))


def test_permutation_looks_random():
    size = 100_000
    image = Permutation(size, "1")(np.arange(size))
    assert abs(np.corrcoef(np.arange(size), image)[0, 1]) < 0.02
    assert abs(np.corrcoef(image[:-1], image[1:])[0, 1]) < 0.02
    fixed = int((image == np.arange(size)).sum())
    assert fixed < 8  # Poisson with mean 1
    counts = np.bincount(image[: size // 10] * 20 // size, minlength=20)
    assert counts.min() > 350 and counts.max() < 650  # mean 500


def test_permutation_differs_by_key_and_is_the_same_for_the_same():
    indices = np.arange(1000)
    assert np.array_equal(Permutation(1000, "a")(indices), Permutation(1000, "a")(indices[:]))
    assert (Permutation(1000, "a")(indices) != Permutation(1000, "b")(indices)).mean() > 0.99


@given(
    windows=st.integers(1, 700),
    per_epoch=st.integers(1, 800),
    batch=st.integers(1, 60),
    world=st.integers(1, 5),
    seed=st.integers(0, 3),
)
@settings(max_examples=200, deadline=None)
def test_a_pass_meets_every_window_once_and_ranks_stay_in_step(windows, per_epoch, batch, world, seed):
    try:
        ranks = [TrainingSampler(windows, per_epoch, batch, seed, rank, world) for rank in range(world)]
    except InputError:
        assert windows // -(-windows // per_epoch) < world
        return
    seen = []
    for epoch in range(ranks[0].epochs_per_pass):
        batches = [epoch_of(sampler, epoch) for sampler in ranks]
        assert {len(rank) for rank in batches} == {len(ranks[0])}
        sizes = {len(b) for rank in batches for b in rank}
        assert min(sizes) >= 1 and max(sizes) - min(sizes) <= 1 and (max(sizes) <= batch or batch == 1)
        epoch_windows = np.concatenate([b for rank in batches for b in rank])
        assert len(epoch_windows) <= per_epoch
        seen.append(epoch_windows)
    assert np.array_equal(np.sort(np.concatenate(seen)), np.arange(windows))


def test_accumulated_batches_see_the_windows_of_larger_ones():
    large = epoch_of(TrainingSampler(1003, 400, 40, seed=3), 1)
    small = epoch_of(TrainingSampler(1003, 400, 8, seed=3, accumulated=5), 1)
    assert len(small) == 5 * len(large)
    for step, batch in enumerate(large):
        assert np.array_equal(np.concatenate(small[5 * step : 5 * step + 5]), batch)
    tiny = epoch_of(TrainingSampler(7, 10, 2, seed=3, accumulated=8), 0)
    assert [len(batch) for batch in tiny] == [1] * 7


def test_a_step_meets_the_same_windows_on_any_number_of_processes():
    alone = epoch_of(TrainingSampler(1003, 400, 40, seed=3), 1)
    for world in (2, 4):
        ranks = [epoch_of(TrainingSampler(1003, 400, 40 // world, 3, r, world), 1) for r in range(world)]
        for step, batch in enumerate(alone):
            assert np.array_equal(np.concatenate([rank[step] for rank in ranks]), batch)


def test_memory_does_not_grow_with_the_number_of_windows():
    """A permutation of 10^12 windows would not fit any machine."""
    import tracemalloc

    tracemalloc.start()
    batches = itertools.islice(TrainingSampler(10**12, 10**11, 50, seed=1), 2000)
    windows = np.concatenate(list(batches))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(np.unique(windows)) == len(windows) == 100_000
    assert peak < 20e6


def test_passes_and_seeds_have_orders_of_their_own():
    sampler = TrainingSampler(100, 100, 10, seed=1)
    first, again, second = (np.concatenate(epoch_of(sampler, epoch)) for epoch in (0, 0, 1))
    other = np.concatenate(epoch_of(TrainingSampler(100, 100, 10, seed=2), 0))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second) and not np.array_equal(first, other)


@pytest.mark.parametrize("step", [0, 1, 5, 1500, 2000])
def test_an_interrupted_epoch_goes_on_where_it_stopped(step):
    whole = epoch_of(TrainingSampler(8000, 4000, 2, seed=1), 1)
    sampler = TrainingSampler(8000, 4000, 2, seed=1)
    sampler.resume_at(1, step)
    rest = epoch_of(sampler, 1)
    assert len(whole) == 2000 and len(rest) == 2000 - step
    assert all(np.array_equal(a, b) for a, b in zip(rest, whole[step:], strict=True))
    assert len(epoch_of(sampler, 2)) == 2000


@given(
    windows=st.integers(1, 2000),
    limit=st.one_of(st.none(), st.integers(1, 500)),
    batch=st.integers(1, 64),
    world=st.integers(1, 4),
)
@settings(max_examples=200, deadline=None)
def test_validation_takes_each_chosen_window_once_over_any_number_of_ranks(windows, limit, batch, world):
    alone = np.concatenate(list(ValidationSampler(windows, limit, batch)))
    assert len(alone) == min(windows, limit or windows)
    assert np.all(np.diff(alone) > 0)  # distinct
    stretch = windows / len(alone)
    assert np.all(np.abs(alone - np.arange(len(alone)) * stretch) <= stretch + 1)  # evenly spread
    if world > len(alone):
        with pytest.raises(InputError):
            ValidationSampler(windows, limit, batch, 0, world)
        return
    ranks = [list(ValidationSampler(windows, limit, batch, rank, world)) for rank in range(world)]
    assert len({len(rank) for rank in ranks}) == 1
    assert np.array_equal(np.sort(np.concatenate([b for rank in ranks for b in rank])), alone)


def test_no_windows_is_an_error():
    with pytest.raises(InputError, match="0 training windows"):
        TrainingSampler(0, 100, 10, seed=1)
    with pytest.raises(InputError, match="validation windows"):
        ValidationSampler(0, 100, 10)
