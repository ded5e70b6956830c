"""One stage, trained for real on the small market: losses, checkpoints, export, refusals."""

import json

import numpy as np
import pytest

from kronos_lab.errors import InputError


def test_tokenizer_learns_and_is_exported(finetune):
    from kronos_lab.models.hub import weights_fingerprint
    from kronos_lab.models.tokenizer import KronosTokenizer

    module, outcome = finetune.changed(epochs=4).fit("tokenizer")
    untrained = finetune.validate(finetune.make_module("tokenizer"))
    assert outcome["tokenizer/val_loss_window"] < 0.9 * untrained["val_loss_window"]
    exported = KronosTokenizer.from_pretrained(finetune.folder / "tokenizer")
    assert weights_fingerprint(exported) == weights_fingerprint(module.tokenizer)
    assert not (finetune.folder / "predictor").exists()


def test_predictor_learns_with_the_tokenizer_frozen(finetune):
    from kronos_lab.models.hub import weights_fingerprint
    from kronos_lab.models.predictor import Kronos
    from kronos_lab.models.tokenizer import KronosTokenizer

    before = finetune.make_module("predictor")
    module, outcome = finetune.changed(epochs=4).fit("predictor")
    assert outcome["predictor/val_loss"] < finetune.validate(before)["val_loss"]
    predictor = Kronos.from_pretrained(finetune.folder / "predictor")
    tokenizer = KronosTokenizer.from_pretrained(finetune.folder / "tokenizer")
    assert weights_fingerprint(predictor) == weights_fingerprint(module.predictor)
    assert weights_fingerprint(tokenizer) == weights_fingerprint(before.tokenizer)


@pytest.mark.parametrize("stage", ["tokenizer", "predictor"])
def test_the_best_checkpoint_is_the_one_that_validates_best(finetune, stage):
    import torch

    module, outcome = finetune.changed(epochs=3).fit(stage)
    logged = finetune.metrics()[f"{stage}/val_loss"].dropna()
    assert len(logged) == 3
    assert outcome[f"{stage}/val_loss"] == pytest.approx(logged.min(), rel=1e-12)
    again = finetune.validate(module)
    assert {f"{stage}/{name}": value for name, value in again.items()} == pytest.approx(outcome, rel=1e-6)
    best = torch.load(finetune.folder / "checkpoints" / f"{stage}-best.ckpt", weights_only=True)
    assert best["validation"]["val_loss"] == outcome[f"{stage}/val_loss"]
    json.dumps(best["models"])  # plain containers


@pytest.mark.parametrize("stage", ["tokenizer", "predictor"])
def test_equal_runs_are_equal_to_the_last_bit(finetune, stage):
    import torch

    first, _ = finetune.changed(folder=finetune.folder / "a").fit(stage)
    torch.manual_seed(99)  # what happened before must not matter
    second, _ = finetune.changed(folder=finetune.folder / "b").fit(stage)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_validation_is_the_mean_over_horizon_bars(finetune):
    """By hand, over all windows at once: horizon targets are those of bars lookback .. lookback + horizon − 1."""
    import torch

    module = finetune.make_module("predictor").eval()
    data = finetune.make_data()
    batch = data.val_dataloader().dataset[np.concatenate(list(data.val_dataloader().sampler))]
    with torch.no_grad():
        tokens = module.tokenizer.encode(batch.bars_BTF, half=True)
        s1, s2 = module.predictor.losses(*tokens, batch.stamp_BT5, "teacher")
    found = finetune.validate(module)
    assert found["val_s1"] == pytest.approx(s1[:, 19:23].mean().item(), rel=1e-6)
    assert found["val_s2"] == pytest.approx(s2[:, 19:23].mean().item(), rel=1e-6)
    assert found["val_loss"] == pytest.approx((found["val_s1"] + found["val_s2"]) / 2, rel=1e-6)
    assert found["val_loss_window"] == pytest.approx((s1.mean() + s2.mean()).item() / 2, rel=1e-6)


def test_validation_of_a_horizon_bar_never_sees_a_later_bar(finetune):
    import torch

    module, data = finetune.make_module("predictor").eval(), finetune.make_data()
    batch = data.val_dataloader().dataset[np.arange(8)]
    changed = batch._replace(bars_BTF=batch.bars_BTF.clone())
    changed.bars_BTF[:, 22:] *= -3  # horizon bars 2, 3 and the one after
    with torch.no_grad():
        before, after = (module.validation_values(b)["val_loss"] for b in (batch, changed))
    assert torch.equal(before[:, :2], after[:, :2])
    assert not torch.equal(before[:, 2:], after[:, 2:])


def test_training_draws_the_coarse_token_and_validation_takes_the_true_one(finetune):
    import torch

    module, data = finetune.make_module("predictor"), finetune.make_data()
    batch = data.val_dataloader().dataset[np.arange(32)]
    module.eval()  # no dropout: what varies is the draw
    with torch.no_grad():
        draws = [module.training_losses(batch) for _ in range(2)]
        checks = [module.validation_values(batch) for _ in range(2)]
    assert draws[0]["s1"] == draws[1]["s1"] and draws[0]["s2"] != draws[1]["s2"]
    assert checks[0]["val_s2"].equal(checks[1]["val_s2"])


def test_every_parameter_is_trained_but_fixed_time_tables(finetune):
    """Nothing is left without a gradient, so DDP needs no search for unused parameters."""
    import torch

    from kronos_lab.models.predictor import Kronos

    batch = finetune.make_data().val_dataloader().dataset[np.arange(4)]
    for stage in ("tokenizer", "predictor"):
        module = finetune.make_module(stage)
        module.training_losses(batch)["loss"].backward()
        trained = {name for name, p in module.named_parameters() if p.requires_grad}
        assert trained == {name for name, p in module.named_parameters() if p.grad is not None}
        assert all(name.startswith(stage) for name in trained)
    fixed = Kronos(**(module.predictor.config | {"learn_te": False}))
    assert not any("time_emb" in name for name, p in fixed.named_parameters() if p.requires_grad)
    assert torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None]) > 0


@pytest.mark.parametrize(
    ("limit", "steps", "validations"),
    [
        (("max_steps", 3), 3, 1),  # in epoch 0
        (("max_steps", 8), 8, 1),  # at its end
        (("max_steps", 11), 11, 2),
        (("max_time", {"milliseconds": 1}), 1, 1),
    ],
)
def test_a_short_run_ends_with_a_validation_and_weights(finetune, limit, steps, validations):
    import torch

    module, outcome = finetune.changed(trainer=(limit,)).fit("tokenizer")
    last = torch.load(finetune.folder / "checkpoints" / "tokenizer-last.ckpt", weights_only=True)
    assert last["global_step"] == steps
    assert len(finetune.metrics()["tokenizer/val_loss"].dropna()) == validations
    again = finetune.validate(module)
    assert {f"tokenizer/{name}": value for name, value in again.items()} == pytest.approx(outcome, rel=1e-6)
    assert (finetune.folder / "tokenizer" / "model.safetensors").is_file()


def test_the_schedule_ends_with_the_last_step(finetune):
    finetune.changed(trainer=(("max_steps", 11),), callbacks=(learning_rates(),)).fit("tokenizer")
    rates = finetune.metrics()["tokenizer/lr/decayed"].dropna()
    assert len(rates) == 11
    assert rates.iloc[-1] < 1e-3 * rates.max()


def test_divergence_ends_with_one_line(finetune):
    with pytest.raises(InputError, match=r"tokenizer/val_loss is nan after \d+ steps.*lower optim.tokenizer"):
        finetune.changed(learning_rate=1e30).fit("tokenizer")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"monitor": "val_s1"}, "monitor=val_s1 is no metric of the tokenizer stage; it has val_loss, val_loss_coarse"),
        ({"trainer": (("limit_val_batches", 0),)}, "limit_val_batches=0"),
        ({"trainer": (("check_val_every_n_epoch", 5),)}, "check_val_every_n_epoch=5.*never validated"),
        ({"trainer": (("max_steps", 3), ("min_epochs", 2))}, r"^trainer.min_epochs=2 beside trainer.max_steps=3: "),
        ({"trainer": (("max_steps", 3), ("min_steps", 9))}, r"^trainer.min_steps=9 beside trainer.max_steps=3: "),
        ({"trainer": (("fast_dev_run", True),)}, "^trainer.fast_dev_run writes no checkpoint"),
        ({"data": (("lookback", 2000),)}, "no train window of 2000"),
    ],
)
def test_what_cannot_work_is_one_line(finetune, change, words):
    with pytest.raises(InputError, match=words):
        finetune.changed(epochs=1, **change).fit("tokenizer")


def test_a_failed_save_leaves_the_previous_checkpoint(tmp_path):
    import torch

    from kronos_lab.training.checkpointing import AtomicCheckpointIO

    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, path)
    with pytest.raises(AttributeError):
        AtomicCheckpointIO().save_checkpoint({"step": 2, "lambda": lambda: None}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}


def learning_rates():
    from lightning.pytorch.callbacks import LearningRateMonitor

    return LearningRateMonitor("step")
