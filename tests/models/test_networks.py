"""Properties of the networks: causality, masks, the split of bits, the draw of s1."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from kronos_lab import Kronos, KronosTokenizer
from kronos_lab.models.quantizer import bits_to_index, index_to_bits

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
T, CUT = 16, 9


@pytest.fixture
def tokenizer() -> KronosTokenizer:
    return KronosTokenizer.from_pretrained(GOLDEN / "tiny" / "tokenizer")


@pytest.fixture
def predictor() -> Kronos:
    return Kronos.from_pretrained(GOLDEN / "tiny" / "predictor")


def random_tokens(seed: int) -> Tensor:
    return torch.randint(64, (2, T), generator=torch.Generator().manual_seed(seed))


def test_a_later_bar_changes_no_earlier_token(tokenizer: KronosTokenizer) -> None:
    x = torch.randn(2, T, 6, generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[:, CUT:] += 3.0
    with torch.inference_mode():
        before, after = tokenizer.encode(x), tokenizer.encode(changed)
    assert torch.equal(before[:, :CUT], after[:, :CUT])
    assert not torch.equal(before[:, CUT:], after[:, CUT:])


def test_a_later_token_changes_no_earlier_prediction(predictor: Kronos) -> None:
    s1, s2, stamp = random_tokens(1), random_tokens(2), torch.ones(2, T, 5, dtype=torch.long)
    other = s1.clone()
    other[:, CUT:] = (other[:, CUT:] + 1) % 64
    with torch.inference_mode():
        for a, b in zip(
            predictor(s1, s2, stamp, use_teacher_forcing=True, s1_targets=s1),
            predictor(other, s2, stamp, use_teacher_forcing=True, s1_targets=other),
            strict=True,
        ):
            torch.testing.assert_close(a[:, :CUT], b[:, :CUT])
            assert not torch.allclose(a[:, CUT:], b[:, CUT:])


def test_left_padding_is_not_looked_at(predictor: Kronos) -> None:
    s1, s2 = random_tokens(3), random_tokens(4)
    padding = torch.zeros(2, T, dtype=torch.bool)
    padding[:, :3] = True
    other = s1.clone()
    other[:, :3] = (other[:, :3] + 7) % 64
    with torch.inference_mode():
        a = predictor.hidden_states(s1, s2, padding_BT=padding)
        b = predictor.hidden_states(other, s2, padding_BT=padding)
    torch.testing.assert_close(a[:, 3:], b[:, 3:])
    assert a.isfinite().all()


def test_teacher_forcing_and_sampling_condition_s2_differently(predictor: Kronos) -> None:
    s1, s2, stamp = random_tokens(5), random_tokens(6), torch.ones(2, T, 5, dtype=torch.long)
    sampled = predictor.losses(s1, s2, stamp, generator=torch.Generator().manual_seed(0))
    again = predictor.losses(s1, s2, stamp, generator=torch.Generator().manual_seed(0))
    teacher = predictor.losses(s1, s2, stamp, s1_conditioning="teacher")
    assert torch.equal(sampled.s2_BT, again.s2_BT)
    torch.testing.assert_close(sampled.s1_BT, teacher.s1_BT)
    assert not torch.allclose(sampled.s2_BT, teacher.s2_BT)
    with pytest.raises(ValueError, match="needs s1_targets"):
        predictor(s1, s2, stamp, use_teacher_forcing=True)


def test_fixed_time_tables_are_not_trained() -> None:
    model = Kronos.from_pretrained(GOLDEN / "bits10" / "predictor")
    assert not any(p.requires_grad for name, p in model.named_parameters() if name.startswith("time_emb"))
    fresh = Kronos(**model.config).state_dict()["time_emb.hour_embed.emb.weight"]
    hour, column = 5, 4
    assert fresh[hour, column] == pytest.approx(torch.sin(torch.tensor(hour * 10000 ** (-column / 32))).item())
    assert fresh[hour, column + 1] == pytest.approx(torch.cos(torch.tensor(hour * 10000 ** (-column / 32))).item())


@given(st.integers(1, 20), st.integers(0, 2**20 - 1))
def test_bits_and_index_are_inverse(width: int, index: int) -> None:
    index %= 2**width
    bits = index_to_bits(torch.tensor([index]), width)
    assert bits.shape == (1, width)
    assert bits_to_index(bits).item() == index
    assert bits[0, 0].item() == index % 2  # the first coordinate is the lowest bit


def test_unequal_bits_decode_right() -> None:
    """The original unpacks both halves with K // 2 bits; a tokenizer of 4 + 8 bits must round-trip."""
    config = KronosTokenizer.from_pretrained(GOLDEN / "tiny" / "tokenizer").config | {"s1_bits": 4, "s2_bits": 8}
    torch.manual_seed(0)
    model = KronosTokenizer(**config).eval()
    x = torch.randn(2, T, 6)
    with torch.inference_mode():
        (_, reconstruction), _, _, index = model(x)
        s1, s2 = model.encode(x, half=True)
        assert s1.max() < 16 <= s2.max() < 256
        torch.testing.assert_close(model.decode((s1, s2), half=True), reconstruction)
        torch.testing.assert_close(model.decode(index), reconstruction)
