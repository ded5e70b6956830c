"""What replaces torch's own layers where a CPU trains gives the same numbers, or draws from the same distribution."""

import pytest
import torch
import torch.nn.functional as F
from plain_train_step import plain_networks
from test_parity import Case, assert_close, gradient_norm, without_dropout
from torch import Tensor

from kronos_lab.models.dropout import Dropout, causal_attention, dropout
from kronos_lab.models.layers import RotaryEmbedding
from kronos_lab.models.linear import ONEDNN, Linear
from kronos_lab.models.predictor import draw


def test_the_plain_step_has_the_recorded_losses_and_our_gradients() -> None:
    case = Case("tiny")
    tokenizer, predictor = plain_networks(case.tokenizer, case.predictor)
    without_dropout(predictor)
    s1, s2 = tokenizer(case.expected["x"])
    assert torch.equal(s1, case.expected["tok_s1"]) and torch.equal(s2, case.expected["tok_s2"])
    losses = predictor.losses(s1, s2, case.expected["x_stamp"], teacher=True)
    losses[0].backward()
    assert_close(torch.stack(losses).detach(), case.expected["train_tf_loss"])
    assert_close(gradient_norm(predictor), case.expected["train_grad_norm"])
    without_dropout(case.predictor).losses(s1, s2, case.expected["x_stamp"], "teacher").mean().backward()
    expected = dict(predictor.named_parameters())
    for name, parameter in case.predictor.named_parameters():
        assert_close(parameter.grad, expected[name].grad)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("frozen", ["nothing", "weight", "x"])
def test_linear_layers_multiply_as_torch_does(bias: bool, frozen: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(7, 33, 48, requires_grad=frozen != "x")
    ours, torchs = Linear(48, 80, bias), torch.nn.Linear(48, 80, bias)
    torchs.load_state_dict(ours.state_dict())
    gradient = torch.randn(7, 33, 80)
    found = []
    for layer in (ours, torchs):
        layer.weight.requires_grad_(frozen != "weight")
        wanted = [tensor for tensor in (x, *layer.parameters()) if tensor.requires_grad]
        y = layer(x)
        found.append((y.detach(), *torch.autograd.grad(y, wanted, gradient)))
        if layer is ours and ONEDNN:
            assert "ManyRows" in y.grad_fn.name()
    for actual, expected in zip(*found, strict=True):
        assert_close(actual, expected)


def test_the_gradient_of_a_turn_is_what_autograd_says() -> None:
    torch.manual_seed(0)
    x, gradient = torch.randn(2, 3, 11, 8, requires_grad=True), torch.randn(2, 3, 11, 8)
    rotation = RotaryEmbedding(8)(11)
    first, second = x.chunk(2, dim=-1)
    spelled_out = x * rotation.cos_TW + torch.cat((-second, first), dim=-1) * rotation.sin_TW
    turned = rotation.apply(x)
    assert_close(turned.detach(), spelled_out.detach())
    assert_close(*(torch.autograd.grad(y, x, gradient)[0] for y in (turned, spelled_out)))


def test_dropout_drops_the_share_it_is_told_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    x = torch.ones(100, 1000, requires_grad=True)
    for p in (0.1, 0.25):
        dropped = dropout(x, p)
        kept = dropped[dropped != 0]
        assert kept.unique().numel() == 1
        assert kept[0].item() == pytest.approx(1 / (1 - p), rel=1e-4)
        assert (dropped == 0).float().mean().item() == pytest.approx(p, abs=0.005)
        neighbours = (dropped[:, 1:] == 0) & (dropped[:, :-1] == 0)
        assert neighbours.float().mean().item() == pytest.approx(p**2, abs=0.005)
        assert torch.equal(torch.autograd.grad(dropped.sum(), x)[0], dropped.detach())
    assert Dropout(0.5).eval()(x) is x
    assert torch.equal(dropout(x, 0.0), x) and not dropout(x, 1.0).any()


def test_attention_that_drops_out_is_causal_attention() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, 9, 8, requires_grad=True) for _ in range(3))
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    dropping_nothing = causal_attention(q, k, v, dropout_p=1e-9)
    assert_close(dropping_nothing.detach(), expected.detach())
    gradient = torch.randn_like(expected)
    for actual, wanted in zip(
        *(torch.autograd.grad(y, (q, k, v), gradient) for y in (dropping_nothing, expected)), strict=True
    ):
        assert_close(actual, wanted)
    many = torch.stack([causal_attention(q, k, v, dropout_p=0.3).detach() for _ in range(4000)])
    assert (many.mean(0) - expected).abs().max() < 0.1 and many.std(0).min() > 0


def test_s1_is_drawn_from_its_distribution() -> None:
    logits = torch.tensor([0.3, -torch.inf, 1.5, -2.0, 0.0, -torch.inf])
    draws = draw(logits.expand(200, 500, 6), torch.Generator().manual_seed(0))
    shares = draws.flatten().bincount(minlength=6) / draws.numel()
    assert (shares - logits.softmax(0)).abs().max() < 0.005
    assert shares[1] == shares[5] == 0


def test_a_number_next_to_one_draws_a_token_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 1 - 2**-24

    def rand(shape: torch.Size, **_: object) -> Tensor:
        return torch.full(shape, largest)

    monkeypatch.setattr(torch, "rand", rand)
    assert draw(torch.randn(1, 5000, 1024), None).max() < 1024
    assert draw(torch.tensor([[[0.0, -torch.inf]]]), None).item() == 0
    assert draw(torch.full((1, 1, 8), torch.nan), None).item() < 8  # the validation says that training diverged
