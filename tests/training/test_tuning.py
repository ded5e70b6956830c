"""What each way to tune the predictor trains, and that everything downstream does not notice."""

import itertools
import re

import numpy as np
import pytest

from kronos_lab.errors import InputError
from kronos_lab.runs.folder import project_root, register_resolvers


def tuning(*overrides):
    """As the configuration makes it."""
    from hydra import compose, initialize_config_dir
    from hydra.utils import instantiate

    register_resolvers()
    with initialize_config_dir(str(project_root() / "conf"), version_base="1.3"):
        return instantiate(compose("train", overrides=list(overrides)).tuning)


WAYS = {
    "all": ("tuning=all",),
    "top_blocks": ("tuning=top_blocks", "tuning.blocks=1"),
    "lora": ("tuning=lora", "tuning.rank=2", "tuning.dropout=0.1"),
}


@pytest.fixture
def three_blocks(finetune):
    """A predictor of three blocks, and as many steps as make a checkpoint in between."""
    return finetune.changed(predictor=(("n_layers", 3),), checkpoint_every=2, trainer=(("max_steps", 5),))


def checkpoint(finetune, which):
    import torch

    return torch.load(finetune.folder / "checkpoints" / f"predictor-{which}.ckpt", weights_only=True)


def windows(finetune, count):
    return finetune.make_data().val_dataloader().dataset[np.arange(count)]


def logits(predictor, seed=0):
    """Of random tokens, in evaluation mode, both heads."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    s1, s2, true_s1 = torch.randint(4, (3, 5, 24), generator=generator)
    with torch.no_grad():
        return torch.cat(predictor.eval()(s1, s2, use_teacher_forcing=True, s1_targets=true_s1))


TOP = r"predictor\.(transformer\.2|norm|dep_layer|head)\."
ADAPTER = r"predictor\..*\.(q|k|v|out)_proj\.lora_[AB]\."


@pytest.mark.parametrize(
    ("way", "trained"), [("all", r"predictor\."), ("top_blocks", TOP), ("lora", ADAPTER)], ids=WAYS.keys()
)
def test_training_changes_what_it_says_and_nothing_else(three_blocks, way, trained, caplog):
    import torch

    one = three_blocks.changed(tuning=tuning(*WAYS[way]))
    before = {name: value.clone() for name, value in one.make_module("predictor").state_dict().items()}
    caplog.set_level("INFO")
    one.fit("predictor")
    last = checkpoint(one, "last")
    assert last["state_dict"].keys() == before.keys()
    changed = {name for name, value in last["state_dict"].items() if not torch.equal(value, before[name])}
    parameters = {name for name, _ in one.make_module("predictor").named_parameters()}
    expected = {name for name in parameters if re.match(trained, name)}
    assert changed == expected
    (optimizer,) = last["optimizer_states"]
    assert len(optimizer["state"]) == len(expected)  # nothing is kept for what is frozen
    size, everything = (
        sum(before[name].numel() for name in names if name.startswith("predictor.")) for names in (expected, parameters)
    )
    assert f"predictor: trains {size:,} of {everything:,} parameters" in caplog.text


@pytest.mark.parametrize("way", WAYS)
def test_the_export_has_the_published_keys_and_the_logits_of_the_trained_network(three_blocks, way):
    import torch

    from kronos_lab.models.predictor import Kronos

    one = three_blocks.changed(tuning=tuning(*WAYS[way]))
    module, _ = one.fit("predictor")
    exported = Kronos.from_pretrained(one.folder / "predictor")
    assert list(module.predictor.state_dict()) == list(three_blocks.make_module("predictor").predictor.state_dict())
    trained = one.make_module("predictor")
    start = logits(trained.predictor)
    trained.load_state_dict(checkpoint(one, "best")["state_dict"])
    for network in (exported, module.predictor):
        torch.testing.assert_close(logits(network), logits(trained.predictor), atol=1e-5, rtol=0)
    assert (logits(exported) - start).abs().max() > 1e-3


def test_adapters_begin_at_nothing_and_the_same_on_every_rank(three_blocks):
    import torch

    adapted = three_blocks.changed(tuning=tuning(*WAYS["lora"]))
    plain = three_blocks.make_module("predictor")
    first, again = adapted.make_module("predictor"), adapted.make_module("predictor")
    assert torch.equal(logits(first.predictor), logits(plain.predictor))
    torch.manual_seed(99)  # of another rank
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert first.predictor.transformer[0].self_attn.q_proj.lora_A["default"].weight.any()


def test_forecasts_with_adapters_are_those_of_the_merged_network(three_blocks):
    """As in the middle of training: the decoder with its kept keys and values runs through the adapters."""
    import torch

    from kronos_lab.forecasting.forecaster import Forecaster
    from kronos_lab.forecasting.token_sampling import Sampling

    module = three_blocks.changed(tuning=tuning(*WAYS["lora"])).make_module("predictor").eval()
    generator = torch.Generator().manual_seed(1)
    for name, value in module.named_parameters():
        if "lora_B" in name:
            value.data.normal_(generator=generator)
    context = 10 + torch.rand(3, 20, 6, generator=generator)
    stamps = torch.ones(3, 24, 5, dtype=torch.int64)
    uniforms = torch.rand(3, 2, 4, 2, generator=generator)

    def forecast():
        forecaster = Forecaster(module.tokenizer, module.predictor)
        return forecaster.paths(context, stamps[:, :20], stamps[:, 20:], uniforms, Sampling(temperature=1.0))

    adapted = forecast()
    module.finish()
    torch.testing.assert_close(forecast(), adapted, atol=1e-4, rtol=0)
    plain = three_blocks.make_module("predictor").predictor
    module.predictor.load_state_dict(plain.state_dict())
    assert not torch.allclose(forecast(), adapted, atol=1e-2)


@pytest.mark.parametrize(
    ("way", "conditioning", "bars"), list(itertools.product(WAYS, ["sampled", "teacher"], ["window", "horizon"]))
)
def test_every_trained_weight_has_a_gradient(three_blocks, way, conditioning, bars):
    """So DDP needs no search for unused parameters, whatever is combined."""
    one = three_blocks.changed(tuning=tuning(*WAYS[way]), s1_conditioning=conditioning, loss_bars=bars)
    module = one.make_module("predictor")
    module.training_losses(windows(one, 4))["loss"].backward()
    trained = {name for name, p in module.named_parameters() if p.requires_grad}
    assert trained and trained == {name for name, p in module.named_parameters() if p.grad is not None}


class InterruptionError(Exception):
    pass


def interrupt_after(step):
    from lightning.pytorch import Callback

    class Interrupt(Callback):
        def on_train_batch_end(self, trainer, *arguments):
            if trainer.global_step == step:
                raise InterruptionError

    return Interrupt()


@pytest.mark.parametrize(
    ("way", "schedule", "conditioning", "bars"),
    [
        ("all", "warmup_cosine", "teacher", "horizon"),
        ("top_blocks", "constant", "sampled", "horizon"),
        ("lora", "one_cycle", "sampled", "window"),
        ("lora", "warmup_cosine", "teacher", "horizon"),
    ],
)
def test_a_resumed_run_ends_with_the_same_weights_bit_by_bit(three_blocks, way, schedule, conditioning, bars):
    choices = {"schedule": schedule, "s1_conditioning": conditioning, "loss_bars": bars}
    one = three_blocks.changed(tuning=tuning(*WAYS[way]), **choices)
    whole, stopped = (one.changed(folder=one.folder / name) for name in ("whole", "stopped"))
    _, expected = whole.fit("predictor")
    with pytest.raises(InterruptionError):
        stopped.changed(callbacks=(interrupt_after(3),)).fit("predictor")
    assert checkpoint(stopped, "last")["global_step"] == 2
    _, outcome = stopped.fit("predictor")
    assert outcome == expected
    exported = [run.folder / "predictor" / "model.safetensors" for run in (whole, stopped)]
    assert exported[0].read_bytes() == exported[1].read_bytes()


def test_the_loss_of_the_horizon_is_the_mean_over_its_bars_and_so_are_its_gradients(three_blocks):
    """By hand: targets of positions 19..22 are bars 20..23, the horizon of 4 behind a lookback of 20."""
    import torch

    module = three_blocks.changed(loss_bars="horizon", s1_conditioning="teacher").make_module("predictor").eval()
    batch = windows(three_blocks, 6)
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

    batch = windows(three_blocks, 16)
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

    module, batch = three_blocks.make_module("predictor").eval(), windows(three_blocks, 16)
    monkeypatch.setattr(type(module), "log", lambda *_, **__: None)
    monkeypatch.setattr(type(module), "log_dict", lambda *_, **__: None)
    torch.manual_seed(1)
    with torch.no_grad():
        first, other, again = (module.training_step(batch, step) for step in (0, 1, 0))
    assert first == again and first != other


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("tuning=top_blocks", "tuning.blocks=4"), r"^tuning.blocks=4 must be a whole number, from 0 to 3$"),
        (("tuning=lora", "tuning.rank=0"), r"^tuning.rank=0 must be a whole number, at least 1$"),
        (("tuning=lora", "tuning.alpha=0"), r"^tuning.alpha=0 must be a number above 0$"),
        (("tuning=lora", "tuning.dropout=1"), r"^tuning.dropout=1 must be a probability"),
        (
            ("tuning=lora", "tuning.targets=q_proj"),
            r"^tuning.targets=q_proj must be a list .* of fusion_proj, q_proj, k_",
        ),
        (("tuning=lora", "tuning.targets=[]"), r"^tuning.targets=\[\] must be a list"),
        (
            ("tuning=lora", "tuning.targets=[q_proj,proj]"),
            r"no linear layer proj; it has fusion_proj, q_proj.*, proj_s2$",
        ),
        (("tuning=lora", "tuning.targets=[emb_s1]"), r"no linear layer emb_s1; it has"),
    ],
)
def test_what_does_not_suit_the_network_is_one_line(three_blocks, overrides, words):
    from kronos_lab.training.tuning import check_tuning

    predictor = three_blocks.make_module("predictor").predictor
    before = list(predictor.state_dict())
    with pytest.raises(InputError, match=words):
        check_tuning(tuning(*overrides), predictor, ("tokenizer", "predictor"), "somewhere")
    assert list(predictor.state_dict()) == before


def test_a_run_of_the_tokenizer_alone_is_not_tuned(three_blocks, caplog):
    from kronos_lab.training.tuning import check_tuning

    predictor = three_blocks.make_module("predictor").predictor
    check_tuning(tuning("tuning=all"), predictor, ("tokenizer",), None)
    with pytest.raises(InputError, match=r"^tuning=lora is of the predictor, and stage=tokenizer trains none"):
        check_tuning(tuning("tuning=lora"), predictor, ("tokenizer",), None)
    check_tuning(tuning("tuning=lora"), predictor, ("predictor",), "somewhere")
    assert not caplog.text
    check_tuning(tuning("tuning=lora"), predictor, ("tokenizer", "predictor"), None)
    assert "tuning=lora leaves most of a random predictor random" in caplog.text


@pytest.mark.parametrize("blocks", [0, 3])
def test_no_block_or_all_of_them(three_blocks, blocks):
    module = three_blocks.changed(tuning=tuning("tuning=top_blocks", f"tuning.blocks={blocks}")).make_module(
        "predictor"
    )
    trained = {name.split(".")[2] for name, p in module.named_parameters() if p.requires_grad and "transformer" in name}
    assert trained == {str(block) for block in range(3 - blocks, 3)}
