"""A stage that is stopped or killed, wherever that is, has its checkpoint and goes on from there."""

import os
import signal

import pytest

from kronos_lab.errors import InputError, Interrupted
from kronos_lab.runs.curves import read_curves


class KilledError(Exception):
    pass


def killed_in_validation(number):
    """In the first batch of the validation of that number, counted from 1."""
    from lightning.pytorch import Callback

    class Kill(Callback):
        validations = 0

        def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.validations += batch_idx == 0
            if self.validations == number:
                raise KilledError

    return Kill()


def counted():
    """Which steps begin, and after which steps validations begin."""
    from lightning.pytorch import Callback

    class Count(Callback):
        def __init__(self):
            self.steps, self.validations = [], []

        def on_train_batch_start(self, trainer, *arguments):
            self.steps.append(trainer.global_step)

        def on_validation_start(self, trainer, *arguments):
            self.validations.append(trainer.global_step)

    return Count()


def signalled(number, step, hook):
    from lightning.pytorch import Callback

    class Signal(Callback):
        sent = False

        def send(self, trainer, here):
            if not self.sent and hook == here and trainer.global_step == step:
                self.sent = True
                os.kill(os.getpid(), number)

        def on_train_batch_start(self, trainer, *arguments):
            self.send(trainer, "on_train_batch_start")

        def on_validation_batch_start(self, trainer, *arguments):
            self.send(trainer, "on_validation_batch_start")

    return Signal()


def checkpoint(folder, which="last"):
    import torch

    return torch.load(folder / "checkpoints" / f"tokenizer-{which}.ckpt", weights_only=True)


def assert_same_end(whole, resumed):
    """Weights, optimiser, exported model and curves, bit by bit."""
    import torch

    first, second = (checkpoint(folder) for folder in (whole, resumed))
    assert first["global_step"] == second["global_step"]
    for name, value in first["state_dict"].items():
        assert torch.equal(value, second["state_dict"][name]), name
    for number, state in first["optimizer_states"][0]["state"].items():
        assert all(torch.equal(v, second["optimizer_states"][0]["state"][number][k]) for k, v in state.items())
    assert first["lr_schedulers"] == second["lr_schedulers"]
    exported = [folder / "tokenizer" / "model.safetensors" for folder in (whole, resumed)]
    assert exported[0].read_bytes() == exported[1].read_bytes()
    curves = [read_curves(folder) for folder in (whole, resumed)]
    assert curves[0].sort_index(axis=1).equals(curves[1].sort_index(axis=1))


def further(*cases):
    """Cases of the same kind that need not be met in every run of the tests."""
    return [pytest.param(*case, marks=pytest.mark.slow) for case in cases]


# 120 windows in batches of at most 16 are 8 steps an epoch; 3 epochs.
IN_EPOCHS = (("val_check_interval", 3),)
OVER_EPOCHS = (("val_check_interval", 10), ("check_val_every_n_epoch", None))
EVERY_SECOND = (("check_val_every_n_epoch", 2),)
ACCUMULATED = (("accumulate_grad_batches", 2), ("val_check_interval", 4))  # 4 steps an epoch, validated after 2


@pytest.mark.parametrize(
    ("number", "step", "trainer"),
    [
        (1, 8, ()),
        (4, 14, IN_EPOCHS),
        (2, 20, OVER_EPOCHS),
        (4, 8, ACCUMULATED),
        (2, 14, (("max_steps", 14),)),
        *further(
            (3, 24, ()),
            (1, 3, IN_EPOCHS),
            (1, 10, OVER_EPOCHS),
            (1, 16, EVERY_SECOND),
            (1, 2, ACCUMULATED),
            (2, 16, (("max_steps", 16),)),
            (4, 14, (("max_steps", 14), *IN_EPOCHS)),
        ),
    ],
)
def test_a_run_killed_in_a_validation_has_lost_nothing_and_makes_up_for_it(finetune, number, step, trainer):
    three_epochs = finetune.changed(epochs=3, trainer=trainer)
    in_whole, in_resumed = counted(), counted()
    whole = three_epochs.changed(folder=finetune.folder / "whole", callbacks=(in_whole,))
    _, expected = whole.fit("tokenizer")
    stopped = three_epochs.changed(folder=finetune.folder / "stopped")
    with pytest.raises(KilledError):
        stopped.changed(callbacks=(killed_in_validation(number),)).fit("tokenizer")
    assert checkpoint(stopped.folder)["global_step"] == step
    _, outcome = stopped.changed(callbacks=(in_resumed,)).fit("tokenizer")
    assert outcome == expected
    assert in_resumed.steps == [begun for begun in in_whole.steps if begun >= step]
    assert in_resumed.validations == in_whole.validations[number - 1 :]
    assert_same_end(whole.folder, stopped.folder)


def test_the_last_validation_of_a_time_limit_is_made_up_for(finetune):
    stopped = finetune.changed(epochs=3, trainer=(("max_time", {"milliseconds": 1}),))
    with pytest.raises(KilledError):
        stopped.changed(callbacks=(killed_in_validation(1),)).fit("tokenizer")
    assert not (stopped.folder / "checkpoints" / "tokenizer-best.ckpt").exists()
    seen = counted()
    _, outcome = stopped.changed(callbacks=(seen,)).fit("tokenizer")
    assert (seen.steps, seen.validations) == ([], [1])
    assert checkpoint(stopped.folder, "best")["validation"]["val_loss"] == outcome["tokenizer/val_loss"]


def test_a_run_killed_after_a_validation_does_not_repeat_it(finetune):
    three_epochs = finetune.changed(epochs=3, trainer=IN_EPOCHS)
    _, expected = three_epochs.changed(folder=finetune.folder / "whole").fit("tokenizer")
    stopped = three_epochs.changed(folder=finetune.folder / "stopped")
    with pytest.raises(KilledError):  # in the next validation: after step 6, with the one after step 3 behind it
        stopped.changed(callbacks=(killed_in_validation(2),)).fit("tokenizer")
    seen = counted()
    _, outcome = stopped.changed(callbacks=(seen,)).fit("tokenizer")
    assert outcome == expected and seen.validations[:2] == [6, 11]


@pytest.mark.parametrize(
    ("number", "step", "hook", "saved", "trainer"),
    [
        (signal.SIGINT, 4, "on_train_batch_start", 5, ()),
        (signal.SIGTERM, 8, "on_validation_batch_start", 8, ()),
        *further(
            (signal.SIGUSR1, 4, "on_train_batch_start", 5, ()),
            (signal.SIGTERM, 4, "on_train_batch_start", 5, ()),
            (signal.SIGTERM, 7, "on_train_batch_start", 8, ()),  # a validation follows
            (signal.SIGTERM, 4, "on_train_batch_start", 5, (("accumulate_grad_batches", 3),)),
        ),
    ],
)
def test_a_signal_saves_and_stops(finetune, number, step, hook, saved, trainer):
    three_epochs = finetune.changed(epochs=3, trainer=trainer)
    _, expected = three_epochs.changed(folder=finetune.folder / "whole").fit("tokenizer")
    stopped = three_epochs.changed(folder=finetune.folder / "with space")
    before = signal.getsignal(number)
    with pytest.raises((Interrupted, SystemExit)) as raised:  # Lightning tidies up and exits
        stopped.changed(callbacks=(signalled(number, step, hook),)).fit("tokenizer")
    interrupted = raised.value.__context__
    assert isinstance(interrupted, Interrupted) and interrupted.number == number
    run = stopped.folder
    assert str(interrupted) == (
        f"interrupted by {number.name}, saved at step {saved}; python train.py \"resume='{run}'\""
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Lightning leaves it ignored
    assert number == signal.SIGINT or signal.getsignal(number) == before
    assert checkpoint(run)["global_step"] == saved
    _, outcome = stopped.fit("tokenizer")
    assert outcome == expected
    assert_same_end(finetune.folder / "whole", run)


def test_a_full_disk_is_one_line_and_keeps_the_previous_checkpoint(finetune):
    """`/dev/full` answers every write as a full disk does."""
    from lightning.pytorch import Callback

    class FullDisk(Callback):
        def on_train_batch_start(self, trainer, *arguments):
            if trainer.global_step == 5:
                (finetune.folder / "checkpoints" / "tokenizer-last.ckpt.partial").symlink_to("/dev/full")

    saving = finetune.changed(checkpoint_every=3)
    with pytest.raises(
        InputError, match=r"^\S+-last.ckpt cannot be written: No space left.*train.py resume="
    ) as raised:
        saving.changed(callbacks=(FullDisk(),)).fit("tokenizer")
    assert "\n" not in str(raised.value)
    assert checkpoint(finetune.folder)["global_step"] == 3
    assert not list(finetune.folder.rglob("*.partial"))
    resumed = counted()
    saving.changed(callbacks=(resumed,)).fit("tokenizer")
    assert resumed.steps[0] == 3


def tear(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_torn_checkpoint_gives_way_to_the_best(finetune, caplog):
    three_epochs = finetune.changed(epochs=3, checkpoint_every=3)
    _, expected = three_epochs.changed(folder=finetune.folder / "whole").fit("tokenizer")
    stopped = three_epochs.changed(folder=finetune.folder / "stopped")
    with pytest.raises(KilledError):
        stopped.changed(callbacks=(killed_in_validation(2),)).fit("tokenizer")
    tear(stopped.folder / "checkpoints" / "tokenizer-last.ckpt")
    (stopped.folder / "checkpoints" / "tokenizer-last.ckpt.partial").write_bytes(b"PK")
    _, outcome = stopped.fit("tokenizer")
    assert "tokenizer-last.ckpt is damaged" in caplog.text and "going on from tokenizer-best.ckpt" in caplog.text
    assert outcome == expected
    assert_same_end(finetune.folder / "whole", stopped.folder)


def test_a_torn_checkpoint_alone_is_one_line(finetune):
    with pytest.raises(KilledError):
        finetune.changed(callbacks=(killed_in_validation(1),)).fit("tokenizer")
    tear(finetune.folder / "checkpoints" / "tokenizer-last.ckpt")
    with pytest.raises(
        InputError, match=r"^\S+tokenizer-last.ckpt is damaged \(.*\), and there is no other: delete it"
    ):
        finetune.fit("tokenizer")


def test_validations_by_the_clock_are_warned_of(finetune, caplog):
    finetune.changed(epochs=1, trainer=(("val_check_interval", "00:00:00:01"), ("max_steps", 2))).fit("tokenizer")
    assert "trainer.val_check_interval=00:00:00:01 goes by the clock" in caplog.text


def test_the_time_of_all_attempts_is_counted(finetune):
    from kronos_lab.training.attempts import Attempts

    with pytest.raises(KilledError):
        finetune.changed(callbacks=(killed_in_validation(1),)).fit("tokenizer")
    finetune.fit("tokenizer")
    third = Attempts(finetune.folder)
    assert third.number == 3 and 0 < third.earlier_seconds < 60
