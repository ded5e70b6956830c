"""`anchor`: a forecast starts from the last close as it was, not as its tokens have it."""

import pytest
import torch
from decoder_cases import SAMPLED, forecaster, random_series

from kronos_lab.data.normaliser import denormalise, fit_scale, normalise
from kronos_lab.errors import InputError

PRICES, CLOSE = slice(0, 4), 3


def reconstructed_close(model, context_BCF):
    """Last close of each context as its tokens have it."""
    scale = fit_scale(context_BCF)
    tokens = model.tokenizer.encode(normalise(context_BCF.clone(), scale).float(), half=True)
    decoded = model.tokenizer.decode(tokens, half=True).double()
    return denormalise(decoded, scale)[:, -1, CLOSE]


@pytest.mark.parametrize(("context", "horizon"), [(30, 6), (60, 10), (90, 6)], ids=["fits", "slides", "long"])
@torch.inference_mode()
def test_prices_keep_their_returns_and_start_from_the_last_close(context, horizon):
    inputs = random_series(3, context, horizon, paths=4)
    plain, anchored = (forecaster(anchor=anchor).paths(*inputs, SAMPLED) for anchor in (False, True))
    ratio_BPH = anchored[..., CLOSE] / plain[..., CLOSE]
    torch.testing.assert_close(anchored[..., PRICES], plain[..., PRICES] * ratio_BPH.unsqueeze(-1), rtol=1e-5, atol=0)
    torch.testing.assert_close(anchored[..., 4:], plain[..., 4:], rtol=1e-5, atol=0)
    if context + horizon <= 64:  # the whole context is decoded in one pass with the forecast
        true_B = inputs[0][:, -1, CLOSE]
        expected_B = (true_B / reconstructed_close(forecaster(), inputs[0])).float()
        torch.testing.assert_close(ratio_BPH, expected_B[:, None, None].expand_as(ratio_BPH), rtol=1e-4, atol=0)
    assert (ratio_BPH - 1).abs().max() > 1e-4


@torch.inference_mode()
def test_series_of_several_lengths_are_anchored_each_at_its_own_end():
    context_BCF, stamp, future, uniforms = random_series(2, 40, 5, paths=2)
    lengths_B = torch.tensor([40, 25])
    model = forecaster(anchor=True)
    together = model.paths(context_BCF, stamp, future, uniforms, SAMPLED, lengths_B)
    for i, length in enumerate(lengths_B.tolist()):
        one = slice(i, i + 1)
        alone = model.paths(context_BCF[one, :length], stamp[one, :length], future[one], uniforms[one], SAMPLED)
        torch.testing.assert_close(together[one], alone, rtol=1e-4, atol=1e-4)


def test_what_cannot_be_anchored_is_one_line():
    with pytest.raises(InputError, match=r"forecast\.anchor=yes must be true or false"):
        forecaster(anchor="yes")
    with pytest.raises(InputError, match=r"forecast\.anchor=true: a horizon of 63"):
        forecaster(anchor=True).paths(*random_series(1, 20, 63, paths=1), SAMPLED)
