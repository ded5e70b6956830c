"""The fast decoder gives the plain decoder's tokens: inside the window and past it, for any mix of series and paths."""

import numpy as np
import pytest
import torch
from decoder_cases import (
    GREEDY,
    ROUNDING,
    SAMPLED,
    assert_same_paths,
    deviation_BP,
    forecaster,
    load_models,
    random_series,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from recomputing_forecaster import RecomputingForecaster

from kronos_lab import Kronos
from kronos_lab.errors import InputError
from kronos_lab.forecasting.decoding import Prompt, Window, generate
from kronos_lab.forecasting.path_decoder import PathDecoder
from kronos_lab.forecasting.series_batches import Series, forecast_series, plan_batches


def random_tokens(predictor: Kronos, series: int, bars: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    bits = (predictor.s1_bits, predictor.s2_bits)
    return [torch.randint(0, 2**width, (series, bars), generator=generator) for width in bits]


@pytest.mark.parametrize("name", ["tiny", "bits10"])
@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize(
    ("context", "horizon", "max_context", "paths"),
    [
        (24, 8, 64, 1),
        (24, 8, 64, 5),
        (24, 8, 32, 3),  # fills the window to the last bar
        (24, 8, 31, 3),  # one bar more than the window holds
        (24, 8, 24, 2),
        (40, 8, 24, 2),  # a context longer than the window
        (10, 24, 24, 2),  # at the end, only generated bars are seen
        (2, 1, 64, 2),
        (1, 6, 64, 2),
    ],
)
def test_paths_equal_plain_recomputation(name, sampling, context, horizon, max_context, paths):
    inputs = random_series(3, context, horizon, paths)
    plain = RecomputingForecaster(*load_models(name), max_context).paths(*inputs, sampling)
    fast = forecaster(name, max_context).paths(*inputs, sampling)
    assert fast.shape == (3, paths, horizon, 6)
    assert_same_paths(inputs[0], fast, plain, sampling)


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


@pytest.mark.parametrize(("context", "max_context"), [(24, 64), (24, 28)])
def test_the_first_paths_do_not_depend_on_how_many_follow(context, max_context):
    inputs = random_series(4, context, 8, 7)
    all_seven = forecaster(max_context=max_context).paths(*inputs, SAMPLED)
    first_two = forecaster(max_context=max_context).paths(*inputs[:3], inputs[3][:, :2], SAMPLED)
    assert_same_paths(inputs[0], all_seven[:, :2], first_two)


@pytest.mark.parametrize("overflow", ["exact", "hop"])
def test_more_paths_than_fit_at_once_are_decoded_one_bundle_after_another(monkeypatch, overflow):
    inputs = random_series(2, 24, 8, 7)
    fast = forecaster(max_context=28, overflow=overflow, hop=4)
    together = fast.paths(*inputs, SAMPLED)
    bundles = []
    original = PathDecoder.restart
    monkeypatch.setattr(PathDecoder, "restart", lambda self, paths: bundles.append(paths) or original(self, paths))
    in_bundles = fast.paths(*inputs, SAMPLED, rows_at_once=6)
    assert set(bundles) == {3, 1}
    assert_same_paths(inputs[0], together, in_bundles)


def test_contexts_are_encoded_once_per_series_whatever_the_paths(monkeypatch):
    inputs = random_series(3, 24, 6, 40)
    encoded = []
    original = PathDecoder.encode_context

    def count(self, s1_BC, *others):
        encoded.append(s1_BC.shape)
        original(self, s1_BC, *others)

    monkeypatch.setattr(PathDecoder, "encode_context", count)
    forecaster().paths(*inputs, SAMPLED, rows_at_once=9)
    assert encoded == [(3, 24)]


@pytest.mark.parametrize(
    ("context", "horizon", "hop"), [(24, 30, 1), (24, 30, 5), (24, 60, 31), (40, 20, 8), (1, 60, 8)]
)
def test_hopping_sees_the_bars_it_says(context, horizon, hop):
    """Between two hops the tokens are those of a plain forecast that starts from the bars of the shortened window."""
    tokenizer, predictor = load_models("tiny")
    window, paths = Window(32, overflow="hop", hop=hop), 2
    _, stamp, future_stamp, uniforms = random_series(3, context, horizon, paths)
    known = random_tokens(predictor, 3, context)
    prompt = Prompt(
        known[0][:, -32:], known[1][:, -32:], stamp[:, -32:], future_stamp, torch.full((3,), min(context, 32))
    )
    stamp_RT5 = torch.cat((prompt.stamp_BC5, future_stamp), 1).repeat_interleave(paths, 0)
    plain = RecomputingForecaster(tokenizer, predictor, max_context=10**6)
    with torch.inference_mode():
        generated = [part.flatten(0, 1) for part in generate(predictor, prompt, uniforms, SAMPLED, window)]
        hops = list(window.hops(prompt.s1_BC.shape[1], horizon))
        assert [end for _, _, end in hops] == [*[first for _, first, _ in hops][1:], horizon]
        for start, first, end in hops:
            seen = [
                torch.cat((context_BC.repeat_interleave(paths, 0), new[:, :first]), 1)[:, start:]
                for context_BC, new in zip(prompt[:2], generated, strict=True)
            ]
            assert first == 0 or seen[0].shape[1] == 32 - hop + 1
            again = plain.generate(*seen, stamp_RT5[:, start:], uniforms.flatten(0, 1)[:, first:end], SAMPLED)
            for found, expected in zip(generated, again, strict=True):
                same = (found[:, first:end] == expected[:, seen[0].shape[1] :]).all(1)
                assert (~same).sum() <= 1  # see `assert_same_paths`


@pytest.mark.parametrize("context", [24, 60])
def test_aligned_rotation_is_that_of_training(context):
    """Teacher-forced logits of the whole sequence equal those met one bar at a time."""
    _, predictor = load_models("tiny")
    horizon = 4
    _, stamp, future_stamp, _ = random_series(2, context, horizon, 1)
    s1, s2 = random_tokens(predictor, 2, context + horizon)
    stamps = torch.cat((stamp, future_stamp), 1)
    with torch.inference_mode():
        s1_logits, s2_logits = predictor.eval()(
            s1[:, :-1], s2[:, :-1], stamps[:, :-1], use_teacher_forcing=True, s1_targets=s1[:, 1:]
        )
        decoder = PathDecoder(predictor, torch.full((2,), context), 1, horizon, "aligned")
        decoder.encode_context(s1[:, :context], s2[:, :context], stamp)
        h = decoder.restart(1)
        for bar in range(context, context + horizon):
            if bar > context:
                h = decoder.extend(s1[:, None, bar - 1 : bar], s2[:, None, bar - 1 : bar], stamps[:, bar - 1 : bar])
            torch.testing.assert_close(decoder.s1_logits(h)[:, 0], s1_logits[:, bar - 1], rtol=1e-4, atol=1e-5)
            found = decoder.s2_logits(h, s1[:, bar : bar + 1])
            torch.testing.assert_close(found[:, 0], s2_logits[:, bar - 1], rtol=1e-4, atol=1e-5)


def test_rotations_differ_and_published_is_the_default():
    inputs = random_series(2, 24, 8, 2)
    published, aligned = (forecaster(dependency_rope=rope).paths(*inputs, SAMPLED) for rope in ("published", "aligned"))
    assert torch.equal(forecaster().paths(*inputs, SAMPLED), published)
    assert deviation_BP(inputs[0], published, aligned).max() > ROUNDING


def test_mixed_lengths_with_aligned_rotation_equal_one_by_one():
    fast = forecaster(dependency_rope="aligned")
    mixture = [Series(*(part[0].numpy() for part in random_series(1, context, 5, 2, context))) for context in (30, 26)]
    assert len(plan_batches(mixture, fast.window, 10)) == 1
    for one, paths_PHF in zip(mixture, forecast_series(fast, mixture, GREEDY), strict=True):
        inputs = [torch.from_numpy(part)[None] for part in one]
        assert_same_paths(inputs[0], torch.from_numpy(paths_PHF)[None], fast.paths(*inputs, GREEDY), GREEDY)


def test_memory_of_keys_and_values_is_allocated_once(monkeypatch):
    allocated = []
    original = PathDecoder.__init__
    monkeypatch.setattr(
        PathDecoder, "__init__", lambda self, *args, **kw: (allocated.append(1), original(self, *args, **kw))[1]
    )
    forecaster().paths(*random_series(3, 24, 20, 4), SAMPLED)
    assert len(allocated) == 1


def test_batches_of_a_mixture_are_full_and_padded_little():
    shapes = [(context, 10) for context in (90, 90, 88, 30, 31, 500, 500, 499, 90)]
    series = [Series(np.zeros((c, 6)), np.zeros((c, 5)), np.zeros((h, 5)), np.zeros((2, h, 2))) for c, h in shapes]
    batches = plan_batches(series, Window(505), most=4)
    assert sorted(i for batch in batches for i in batch) == list(range(len(series)))
    assert [[shapes[i][0] for i in batch] for batch in batches] == [[30, 31], [88, 90, 90, 90], [499], [500, 500]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overflow": "jump"}, "overflow=jump: choose one of exact, hop"),
        ({"dependency_rope": "none"}, "dependency_rope=none"),
        ({"overflow": "hop", "hop": 64}, "hop=64 must be a whole number, from 1 to 63"),
        ({"hop": 0}, "hop=0"),
        ({"precision": "float8"}, "precision=float8: choose one of float32, bfloat16"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(InputError, match=message):
        forecaster(**options)


def test_bfloat16_forecasts_stay_near_the_exact_ones():
    inputs = random_series(8, 24, 4, 2)
    exact, low = forecaster().paths(*inputs, SAMPLED), forecaster(precision="bfloat16").paths(*inputs, SAMPLED)
    scale = inputs[0].std(1, correction=0)[:, None, None] + 1e-5
    assert torch.isfinite(low).all()
    assert float(((exact - low).abs() / scale).median()) < 0.5
    assert not torch.equal(exact, low)
