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


INTERVAL = ("val_check_interval", 4)
OVER_EPOCHS = (("val_check_interval", 12), ("check_val_every_n_epoch", None))


# Saving every 4 steps falls on steps after which a validation is due.
@pytest.mark.parametrize(
    ("epochs", "step", "hook", "trainer"),
    [
        (1, 8, "on_validation_end", ()),
        (2, 16, "on_validation_end", ()),
        (2, 12, "on_validation_end", (INTERVAL,)),
        (2, 14, "on_train_batch_end", (INTERVAL,)),  # from step 13, the first after step 12 and its validation
        (3, 12, "on_validation_end", OVER_EPOCHS),
        (3, 24, "on_validation_end", OVER_EPOCHS),
    ],
)
def test_a_validation_that_was_interrupted_is_made_up_for(finetune, epochs, step, hook, trainer):
    import torch

    saving = finetune.changed(epochs=epochs, checkpoint_every=4, trainer=trainer)
    _, expected = saving.changed(folder=finetune.folder / "whole").fit("tokenizer")
    stopped = saving.changed(folder=finetune.folder / "stopped")
    with pytest.raises(InterruptionError):
        stopped.changed(callbacks=(interrupt_after(step, hook),)).fit("tokenizer")
    if hook == "on_train_batch_end":
        last = torch.load(stopped.folder / "checkpoints" / "tokenizer-last.ckpt", weights_only=True)
        assert last["global_step"] == 13
    _, outcome = stopped.fit("tokenizer")
    assert outcome == expected
    exported = [finetune.folder / run / "tokenizer" / "model.safetensors" for run in ("whole", "stopped")]
    assert exported[0].read_bytes() == exported[1].read_bytes()


@pytest.mark.parametrize("every", [1, 2], ids=["validated", "no validation"])
def test_ctrl_c_in_the_last_step_of_the_last_epoch_stops_the_run(finetune, every):
    import os
    import signal

    from lightning.pytorch import Callback

    class CtrlC(Callback):
        def on_train_batch_start(self, trainer, *arguments):
            if trainer.global_step == 23:
                os.kill(os.getpid(), signal.SIGINT)

    three_epochs = finetune.changed(epochs=3, trainer=(("check_val_every_n_epoch", every),))
    _, expected = three_epochs.changed(folder=finetune.folder / "whole").fit("tokenizer")
    stopped = three_epochs.changed(folder=finetune.folder / "stopped")
    with pytest.raises((KeyboardInterrupt, SystemExit)):  # Lightning tidies up and exits
        stopped.changed(callbacks=(CtrlC(),)).fit("tokenizer")
    assert stopped.fit("tokenizer")[1] == expected


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


@pytest.mark.parametrize(
    ("step", "hook", "checkpoint_every"),
    [
        (9, "on_train_batch_end", 3),  # from the end of epoch 0
        (14, "on_validation_end", 7),  # in the last validation: from the end of epoch 0, not from step 14
        (13, "on_train_batch_end", 3),
    ],
)
def test_a_limit_of_steps_is_met_by_a_resumed_stage_too(finetune, step, hook, checkpoint_every):
    import torch

    limited = finetune.changed(epochs=3, checkpoint_every=checkpoint_every, trainer=(("max_steps", 14),))
    whole, expected = limited.changed(folder=finetune.folder / "whole").fit("tokenizer")
    stopped = limited.changed(folder=finetune.folder / "stopped")
    with pytest.raises(InterruptionError):
        stopped.changed(callbacks=(interrupt_after(step, hook),)).fit("tokenizer")
    for _ in range(2):  # the second time there is nothing left to do
        resumed, outcome = stopped.fit("tokenizer")
        last = torch.load(stopped.folder / "checkpoints" / "tokenizer-last.ckpt", weights_only=True)
        assert last["global_step"] == 14
        assert outcome == expected
        assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def only_worse_after_the_first_epoch():
    """Multiplies the validation loss by 1, 2, 3, ..., so that the first epoch stays the best."""
    from lightning.pytorch import Callback

    class Worse(Callback):
        def on_validation_start(self, trainer, pl_module):
            measured = type(pl_module).validation_values

            def worse(batch):
                values = measured(pl_module, batch)
                return values | {"val_loss": values["val_loss"] * (1 + trainer.current_epoch)}

            pl_module.validation_values = worse

    return Worse()


@pytest.mark.parametrize("moved", [False, True], ids=["in place", "folder renamed"])
@pytest.mark.parametrize(
    ("step", "hook"), [(13, "on_train_batch_end"), (16, "on_validation_end"), (17, "on_train_batch_end")]
)
def test_the_best_epoch_before_the_interruption_is_not_forgotten(finetune, moved, step, hook):
    import torch

    worse = (only_worse_after_the_first_epoch(),)
    three_epochs = finetune.changed(epochs=3, checkpoint_every=3, callbacks=worse)
    whole, expected = three_epochs.changed(folder=finetune.folder / "whole").fit("tokenizer")
    stopped = three_epochs.changed(folder=finetune.folder / "stopped")
    with pytest.raises(InterruptionError):
        stopped.changed(callbacks=(*worse, interrupt_after(step, hook))).fit("tokenizer")
    if moved:
        stopped = stopped.changed(folder=stopped.folder.rename(finetune.folder / "moved"))
    resumed, outcome = stopped.fit("tokenizer")
    best = torch.load(stopped.folder / "checkpoints" / "tokenizer-best.ckpt", weights_only=True)
    assert best["global_step"] == 8
    assert outcome == expected
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name


def fit_both(finetune, **predictor_changes):
    """Both stages as train.py runs them: one data module, the second on the tokenizer of the first."""
    data = finetune.make_data()
    tokenizer, first = finetune.fit("tokenizer", data)
    predictor, second = finetune.changed(**predictor_changes).fit("predictor", data, tokenizer.tokenizer)
    return predictor, first | second


def test_a_tokenizer_stage_interrupted_in_an_epoch_takes_nothing_from_the_predictor_stage(finetune):
    import torch
    from lightning.pytorch import Callback

    class Seen(Callback):
        def __init__(self):
            self.batches = []

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.batches.append((trainer.current_epoch, batch_idx, batch.bars_BTF.sum().item()))

    in_whole, in_resumed = Seen(), Seen()
    whole, expected = fit_both(
        finetune.changed(folder=finetune.folder / "whole", checkpoint_every=3), callbacks=(in_whole,)
    )
    stopped = finetune.changed(folder=finetune.folder / "stopped", checkpoint_every=3)
    with pytest.raises(InterruptionError):
        fit_both(stopped.changed(callbacks=(interrupt_after(13),)))
    resumed, outcome = fit_both(stopped, callbacks=(in_resumed,))
    assert [batch[:2] for batch in in_resumed.batches] == [(epoch, step) for epoch in range(2) for step in range(8)]
    assert in_resumed.batches == in_whole.batches
    assert outcome == expected
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name
    for network in ("tokenizer", "predictor"):
        exported = [folder / network / "model.safetensors" for folder in (finetune.folder / "whole", stopped.folder)]
        assert exported[0].read_bytes() == exported[1].read_bytes()


@pytest.mark.parametrize("change", [("batch_size", 8), ("windows_per_epoch", 60), ("seed", 4)])
def test_other_windows_than_before_are_refused(finetune, change):
    stopped = finetune.changed(checkpoint_every=3)
    with pytest.raises(InterruptionError):
        stopped.changed(callbacks=(interrupt_after(5),)).fit("tokenizer")
    with pytest.raises(InputError, match=change[0]):
        stopped.changed(data=(change,)).fit("tokenizer")
