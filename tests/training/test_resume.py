"""An interrupted stage goes on as if nothing had happened."""

import shutil

import pytest

from kronos_lab.errors import InputError


class InterruptionError(Exception):
    pass


def interrupt_after(step, hook="on_train_batch_end"):
    from lightning.pytorch import Callback

    class Interrupt(Callback):
        def on_train_batch_end(self, trainer, *arguments):
            if hook == "on_train_batch_end" and trainer.global_step == step:
                raise InterruptionError

        def on_validation_end(self, trainer, *arguments):
            if hook == "on_validation_end" and trainer.global_step == step:
                raise InterruptionError

    return Interrupt()


def weights(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


# 120 windows in batches of at most 16 are 8 steps an epoch. Checkpoints: every 3 steps, and after each epoch.
@pytest.mark.parametrize("stage", ["tokenizer", "predictor"])
@pytest.mark.parametrize(
    ("step", "hook"),
    [
        (2, "on_train_batch_end"),  # before any checkpoint: from the beginning
        (5, "on_train_batch_end"),  # from step 3
        (8, "on_validation_end"),  # in the validation of epoch 0: from step 6
        (9, "on_train_batch_end"),  # from the end of epoch 0
        (13, "on_train_batch_end"),  # from step 12, in epoch 1
        (16, "on_validation_end"),
        (17, "on_train_batch_end"),  # from the end of epoch 1
    ],
)
def test_a_resumed_stage_ends_with_the_same_weights_bit_by_bit(finetune, stage, step, hook):
    import torch

    three_epochs = finetune.changed(epochs=3, checkpoint_every=3)
    whole, expected = three_epochs.changed(folder=finetune.folder / "whole").fit(stage)
    stopped = three_epochs.changed(folder=finetune.folder / "stopped")
    with pytest.raises(InterruptionError):
        stopped.changed(callbacks=(interrupt_after(step, hook),)).fit(stage)
    resumed, outcome = stopped.fit(stage)
    last = [
        torch.load(folder / "checkpoints" / f"{stage}-last.ckpt", weights_only=True)
        for folder in (finetune.folder / "whole", finetune.folder / "stopped")
    ]
    assert outcome == expected
    assert last[0]["global_step"] == last[1]["global_step"] == 24
    for name, value in last[0]["state_dict"].items():
        assert torch.equal(value, last[1]["state_dict"][name]), name
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name


def test_accumulated_gradients_are_not_lost(finetune):
    """Three batches a step: 8 batches are steps of 3, 3 and 2, and checkpoints lie between steps."""
    import torch

    accumulating = finetune.changed(checkpoint_every=1, trainer=(("accumulate_grad_batches", 3),))
    whole, expected = accumulating.changed(folder=finetune.folder / "whole").fit("tokenizer")
    stopped = accumulating.changed(folder=finetune.folder / "stopped")
    with pytest.raises(InterruptionError):
        stopped.changed(callbacks=(interrupt_after(5),)).fit("tokenizer")
    resumed, outcome = stopped.fit("tokenizer")
    assert outcome == expected
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_a_finished_stage_is_not_trained_again(finetune):
    _, outcome = finetune.fit("tokenizer")
    shutil.rmtree(finetune.folder / "tokenizer")
    _, again = finetune.fit("tokenizer")
    assert again == outcome
    assert (finetune.folder / "tokenizer" / "model.safetensors").is_file()


@pytest.mark.parametrize("change", [("batch_size", 8), ("windows_per_epoch", 60), ("seed", 4)])
def test_other_windows_than_before_are_refused(finetune, change):
    stopped = finetune.changed(checkpoint_every=3)
    with pytest.raises(InterruptionError):
        stopped.changed(callbacks=(interrupt_after(5),)).fit("tokenizer")
    with pytest.raises(InputError, match=change[0]):
        stopped.changed(data=(change,)).fit("tokenizer")
