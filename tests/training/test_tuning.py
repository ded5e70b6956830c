"""What each way to tune the predictor trains, and that everything downstream does not notice."""

import itertools
import re

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


def checkpoint(finetune, which):
    import torch

    return torch.load(finetune.folder / "checkpoints" / f"predictor-{which}.ckpt", weights_only=True)


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
    module.training_losses(one.windows(4))["loss"].backward()
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
