"""The fast decoder gives the plain decoder's tokens: inside the window and past it, for any mix of series and paths."""

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
from recomputing_forecaster import RecomputingForecaster

from kronos_lab import Kronos
from kronos_lab.errors import InputError
from kronos_lab.forecasting.decoding import Prompt, Window, generate
from kronos_lab.forecasting.key_values import KeyValueBuffer
from kronos_lab.forecasting.path_decoder import PathDecoder


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


def test_hops_past_the_context_in_bundles():
    inputs = random_series(2, 12, 32, 5)
    fast = forecaster(max_context=32, overflow="hop", hop=4)
    together, in_bundles = fast.paths(*inputs, GREEDY), fast.paths(*inputs, GREEDY, rows_at_once=4)
    assert_same_paths(inputs[0], together, in_bundles, GREEDY)


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


def test_keys_and_values_stay_where_they_were_allocated(monkeypatch):
    places = set()
    original = KeyValueBuffer.attend

    def watch(self, *arguments):
        places.add((id(self), self.keys_BHTW.data_ptr(), self.values_BHTW.data_ptr()))
        return original(self, *arguments)

    monkeypatch.setattr(KeyValueBuffer, "attend", watch)
    fast = forecaster()
    fast.paths(*random_series(3, 24, 20, 4), SAMPLED)
    assert len(places) == len(fast.predictor.transformer) + 1


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


def test_bfloat16_is_nearer_to_the_exact_forecast_than_another_seed():
    context, stamp, future_stamp, uniforms = random_series(32, 24, 2, 2)
    other = random_series(32, 24, 2, 2, seed=9)[3]

    def first_bars(uniforms, **options):
        return forecaster(**options).paths(context, stamp, future_stamp, uniforms, SAMPLED)

    exact, low = first_bars(uniforms), first_bars(uniforms, precision="bfloat16")
    moved = deviation_BP(context, exact, low)
    assert 0 < moved.mean() < 0.5 * deviation_BP(context, exact, first_bars(other)).mean()


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("max_context", [64, 24])
def test_a_predictor_of_nan_is_named(sampling, max_context):
    broken = forecaster(max_context=max_context)
    broken.predictor.norm.weight.data.fill_(torch.nan)
    with pytest.raises(InputError, match="not finite"):
        broken.paths(*random_series(2, 24, 4, 2), sampling)


def test_equally_probable_tokens_stay_or_go_together():
    probabilities = SAMPLED.probabilities(torch.tensor([[2.0, 1.0, 1.0, 1.0, -9.0]]))[0]
    assert probabilities[1] == probabilities[2] == probabilities[3] > 0
    assert probabilities[4] == 0
