"""`stratified`: each path is drawn as ever, and the paths of a series together stray less from what is expected."""

import numpy as np
import pytest
import torch
from decoder_cases import forecaster, random_series

from kronos_lab.errors import InputError
from kronos_lab.forecasting.token_order import close_order
from kronos_lab.forecasting.token_sampling import Sampling, series_uniforms

CLOSE, PATHS, HORIZON, SEEDS = 3, 8, 4, 40
DAY = ("SH600000", "2024-07-01")


def uniforms(seed, paths=PATHS, horizon=HORIZON, stratified=True):
    return series_uniforms(seed, *DAY, paths, horizon, stratified)


def test_every_path_has_a_part_of_its_own_at_each_step():
    drawn_PH2 = uniforms(1, paths=7, horizon=9)
    assert drawn_PH2.dtype == np.float32
    parts_PH2 = np.floor(drawn_PH2 * 7).astype(int)
    assert (np.sort(parts_PH2, axis=0) == np.arange(7)[:, None, None]).all()
    # each step and half deals the parts anew
    assert len({tuple(column) for column in parts_PH2.reshape(7, -1).T}) == 18


def test_the_numbers_of_one_path_are_uniform_and_do_not_depend_on_each_other():
    first_SH2 = np.stack([uniforms(seed, paths=4)[0] for seed in range(2_000)])
    tenths = (first_SH2.reshape(2_000, -1).T * 10).astype(int)
    counts = np.stack([np.bincount(values, minlength=10) for values in tenths])
    assert (np.abs(counts - 200) < 5 * np.sqrt(200)).all()
    correlations = np.corrcoef(first_SH2.reshape(2_000, -1).T) - np.eye(2 * HORIZON)
    assert np.abs(correlations).max() < 5 / np.sqrt(2_000)


def test_they_belong_to_the_series_and_lie_below_one():
    np.testing.assert_array_equal(uniforms(3)[:, :2], uniforms(3, horizon=2))
    assert not np.isclose(uniforms(3), uniforms(4)).any()
    np.testing.assert_array_equal(uniforms(3, stratified=False), series_uniforms(3, *DAY, PATHS, HORIZON))
    highest = max(uniforms(seed, paths=2).max() for seed in range(300))
    assert 0.99 < highest < 1


def test_a_token_is_drawn_by_its_place_in_the_order():
    logits, order = torch.tensor([[0.0, 1.0, -1.0, 2.0]]), torch.tensor([2, 0, 3, 1])
    middles = (torch.arange(10_000) + 0.5) / 10_000
    sampling = Sampling(top_p=0.9)
    tokens = sampling.draw(logits.expand(10_000, -1), middles, order)
    torch.testing.assert_close(
        torch.bincount(tokens, minlength=4) / 10_000, sampling.probabilities(logits)[0], atol=2e-4, rtol=0
    )
    place = torch.empty_like(order).scatter_(0, order, torch.arange(4))[tokens]
    assert (place.diff() >= 0).all()
    assert Sampling(top_k=1).draw(logits, middles[:1], order).tolist() == [3]


def test_tokens_are_ordered_by_the_close_they_stand_for():
    tokenizer = forecaster().tokenizer
    s1_order, s2_order = close_order(tokenizer)
    s1, s2 = (torch.arange(2**bits) for bits in (tokenizer.s1_bits, tokenizer.s2_bits))
    assert s1_order.sort().values.equal(s1) and s2_order.sort().values.equal(s2)
    pairs = torch.cartesian_prod(s1, s2)
    with torch.inference_mode():
        close = tokenizer.decode((pairs[:, :1], pairs[:, 1:]), half=True)[:, 0, CLOSE].view(len(s1), len(s2))
    assert (close.mean(1)[s1_order].diff() >= 0).all()
    assert (close.mean(0)[s2_order].diff() >= 0).all()


@torch.inference_mode()
def test_the_mean_of_the_paths_strays_less_and_from_the_same_place():
    context, stamp, future, _ = random_series(6, 30, HORIZON, paths=1)
    model = forecaster()

    def means_of(stratified):
        drawn = [
            np.stack([series_uniforms(seed, str(series), DAY[1], PATHS, HORIZON, stratified) for series in range(6)])
            for seed in range(SEEDS)
        ]
        sampling = Sampling(top_p=1.0, stratified=stratified)
        paths = [model.paths(context, stamp, future, torch.from_numpy(one), sampling) for one in drawn]
        return torch.stack([one[..., CLOSE].mean(1) for one in paths]) / context[:, -1, CLOSE, None].float()

    plain, stratified = means_of(False), means_of(True)
    assert stratified.var(0)[:, 0].mean() < 0.7 * plain.var(0)[:, 0].mean()  # after one bar, of random weights
    error = ((plain.var(0) + stratified.var(0)) / SEEDS).sqrt()
    assert ((plain.mean(0) - stratified.mean(0)).abs() < 4 * error).all()


def test_what_is_no_switch_is_refused():
    with pytest.raises(InputError, match=r"forecast\.stratified=yes must be true or false"):
        Sampling(stratified="yes")
