"""What the losses of the predictor are of: bars of the horizon alone, the true coarse token or a drawn one."""

import pytest


def test_the_loss_of_the_horizon_is_the_mean_over_its_bars_and_so_are_its_gradients(three_blocks):
    """By hand: targets of positions 19..22 are bars 20..23, the horizon of 4 behind a lookback of 20."""
    import torch

    module = three_blocks.changed(loss_bars="horizon", s1_conditioning="teacher").make_module("predictor").eval()
    batch = three_blocks.windows(6)
    losses = module.training_losses(batch)
    losses["loss"].backward()
    gradients = {name: p.grad.clone() for name, p in module.predictor.named_parameters()}
    module.zero_grad()
    s1, s2 = module.tokenizer.encode(batch.bars_BTF, half=True)
    s1_logits, s2_logits = module.predictor(
        s1[:, :23], s2[:, :23], batch.stamp_BT5[:, :23], use_teacher_forcing=True, s1_targets=s1[:, 1:24]
    )
    by_hand = [
        torch.nn.functional.cross_entropy(logits[:, 19:23].flatten(0, 1), tokens[:, 20:24].flatten())
        for logits, tokens in ((s1_logits, s1), (s2_logits, s2))
    ]
    (sum(by_hand) / 2).backward()
    assert losses["s1"].item() == pytest.approx(by_hand[0].item(), rel=1e-6)
    assert losses["s2"].item() == pytest.approx(by_hand[1].item(), rel=1e-6)
    assert losses["loss"].item() == pytest.approx(sum(by_hand).item() / 2, rel=1e-6)
    for name, parameter in module.predictor.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, atol=1e-6, rtol=1e-5)
    whole = three_blocks.changed(s1_conditioning="teacher").make_module("predictor").eval().training_losses(batch)
    assert whole["loss"].item() != pytest.approx(losses["loss"].item(), rel=1e-4)


def test_a_teacher_gives_the_true_coarse_token(three_blocks):
    """The loss of s2 follows the true s1 and draws nothing; that of s1 is the same either way."""
    import torch

    batch = three_blocks.windows(16)
    teacher = three_blocks.changed(s1_conditioning="teacher").make_module("predictor").eval()
    sampled = three_blocks.make_module("predictor").eval()
    with torch.no_grad():
        state = torch.get_rng_state()
        losses = teacher.training_losses(batch)
        assert torch.equal(torch.get_rng_state(), state)
        s1, s2 = teacher.tokenizer.encode(batch.bars_BTF, half=True)
        h = teacher.predictor.hidden_states(s1[:, :-1], s2[:, :-1], batch.stamp_BT5[:, :-1])
        s2_logits = teacher.predictor.decode_s2(h, s1[:, 1:])
        by_hand = torch.nn.functional.cross_entropy(s2_logits.flatten(0, 1), s2[:, 1:].flatten())
        other = torch.nn.functional.cross_entropy(
            teacher.predictor.decode_s2(h, 3 - s1[:, 1:]).flatten(0, 1), s2[:, 1:].flatten()
        )
        drawn = sampled.training_losses(batch)
    assert losses["s2"].item() == pytest.approx(by_hand.item(), rel=1e-6)
    assert losses["s2"].item() != pytest.approx(other.item(), rel=1e-4)
    assert drawn["s1"] == losses["s1"] and drawn["s2"] != losses["s2"]


def test_draws_of_the_coarse_token_repeat_with_the_step(three_blocks, monkeypatch):
    import torch

    module, batch = three_blocks.make_module("predictor").eval(), three_blocks.windows(16)
    monkeypatch.setattr(type(module), "log", lambda *_, **__: None)
    monkeypatch.setattr(type(module), "log_dict", lambda *_, **__: None)
    torch.manual_seed(1)
    with torch.no_grad():
        first, other, again = (module.training_step(batch, step) for step in (0, 1, 0))
    assert first == again and first != other
