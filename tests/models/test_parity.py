"""Parity of both networks with the recorded reference outputs, at 1e-5 of each tensor's scale; tokens exactly."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from kronos_lab import Kronos, KronosTokenizer

GOLDEN = Path(__file__).parents[1] / "data" / "golden"

pytestmark = pytest.mark.filterwarnings("error")


class Case:
    """Models and reference tensors of one golden folder."""

    def __init__(self, name: str) -> None:
        folder = GOLDEN / name
        self.tokenizer = KronosTokenizer.from_pretrained(folder / "tokenizer")
        self.predictor = Kronos.from_pretrained(folder / "predictor")
        self.expected = load_file(folder / "tensors.safetensors")

    @property
    def tokens(self) -> tuple[Tensor, Tensor]:
        return self.expected["tok_s1"], self.expected["tok_s2"]


@pytest.fixture(params=["tiny", "bits10"])
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def assert_close(actual: Tensor, expected: Tensor) -> None:
    assert actual.shape == expected.shape
    scale = expected.abs().max()
    assert (actual - expected).abs().max() <= 1e-5 * scale


def without_dropout(model: nn.Module) -> nn.Module:
    """Training mode with all dropout probabilities 0."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if hasattr(module, "attn_dropout_p"):
            module.attn_dropout_p = 0.0
    return model


def gradient_norm(model: nn.Module) -> Tensor:
    return torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm().reshape(1)


def test_tokenizer_forward(case: Case) -> None:
    with torch.no_grad():
        (coarse, full), loss, quantised, index = case.tokenizer(case.expected["x"])
    assert_close(coarse, case.expected["tok_z_pre"])
    assert_close(full, case.expected["tok_z"])
    assert_close(quantised, case.expected["tok_quantized"])
    assert_close(loss.reshape(1), case.expected["tok_bsq_loss"])
    assert torch.equal(index, case.expected["tok_indices"])


def test_tokenizer_encode_and_decode(case: Case) -> None:
    with torch.no_grad():
        s1, s2 = case.tokenizer.encode(case.expected["x"], half=True)
        undivided = case.tokenizer.encode(case.expected["x"])
        assert torch.equal(s1, case.expected["tok_s1"])
        assert torch.equal(s2, case.expected["tok_s2"])
        assert torch.equal(undivided, case.expected["tok_full_index"])
        assert_close(case.tokenizer.decode([s1, s2], half=True), case.expected["tok_decode"])
        assert_close(case.tokenizer.decode(undivided), case.expected["tok_decode"])


def test_tokenizer_training_loss_and_gradient(case: Case) -> None:
    without_dropout(case.tokenizer)
    losses = case.tokenizer.losses(case.expected["x"])
    losses.loss.backward()
    assert_close(torch.stack(losses[:4]).detach(), case.expected["tok_train_loss"])
    assert_close(gradient_norm(case.tokenizer), case.expected["tok_train_grad_norm"])


def test_predictor_heads(case: Case) -> None:
    with torch.no_grad():
        s1_logits, hidden = case.predictor.decode_s1(*case.tokens, case.expected["x_stamp"])
        assert_close(s1_logits, case.expected["s1_logits"])
        assert_close(hidden, case.expected["context"])
        s2_logits = case.predictor.decode_s2(hidden, case.expected["s2_query_s1"])
        assert_close(s2_logits[:, -1], case.expected["s2_logits_last"][:, -1])


def test_predictor_training_losses_and_gradient(case: Case) -> None:
    without_dropout(case.predictor)
    losses = case.predictor.losses(*case.tokens, case.expected["x_stamp"], s1_conditioning="teacher")
    losses.mean().backward()
    actual = torch.stack([losses.mean(), losses.s1_BT.mean(), losses.s2_BT.mean()]).detach()
    assert_close(actual, case.expected["train_tf_loss"])
    assert_close(gradient_norm(case.predictor), case.expected["train_grad_norm"])


@pytest.mark.parametrize("training", [True, False])
def test_predictor_logits_are_causal_in_both_modes(case: Case, training: bool) -> None:
    without_dropout(case.predictor).train(training)
    s1, s2 = case.tokens
    with torch.no_grad():
        s1_logits, s2_logits = case.predictor(
            s1[:, :-1], s2[:, :-1], case.expected["x_stamp"][:, :-1], use_teacher_forcing=True, s1_targets=s1[:, 1:]
        )
    assert_close(s1_logits, case.expected["eval_tf_s1_logits"])
    assert_close(s2_logits, case.expected["train_tf_s2_logits"])


def test_original_evaluation_mode_differs_by_the_mask_alone(case: Case) -> None:
    """The recorded non-causal logits come out once the dependency layer's mask is taken away: same arithmetic."""
    layer = case.predictor.dep_layer
    s1, s2 = case.tokens
    with torch.no_grad():
        _, hidden = case.predictor.decode_s1(s1[:, :-1], s2[:, :-1], case.expected["x_stamp"][:, :-1])
        query = case.predictor.embedding.emb_s1(s1[:, 1:])
        length = hidden.shape[1]
        everything = torch.ones(1, length, length, dtype=torch.bool)
        attended = layer.cross_attn(query, hidden, layer.cross_attn.rotary(length), mask_BQT=everything)
        s2_logits = case.predictor.head.proj_s2(layer.norm(hidden + attended))
    assert_close(s2_logits, case.expected["eval_tf_s2_logits"])
