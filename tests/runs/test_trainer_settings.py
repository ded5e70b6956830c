"""`trainer.*`: nonsense is one line that names the key."""

from functools import partial

import pytest

from kronos_lab.errors import InputError
from kronos_lab.runs.ranks import build_trainer


def build(**settings):
    from lightning.pytorch import Trainer

    usual = {"accelerator": "cpu", "devices": 1, "strategy": "auto", "enable_progress_bar": False}
    return build_trainer(partial(Trainer, **usual | settings), logger=False)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("precision", "foo"),
        ("devices", "foo"),
        ("devices", 0),
        ("strategy", "foo"),
        ("accelerator", "foo"),
        ("max_time", "foo"),
        ("profiler", "foo"),
        ("gradient_clip_algorithm", "foo"),
        ("num_nodes", 0),
        ("max_epochs", "foo"),
        ("max_epochs", 0),
        ("max_epochs", 1.5),
        ("max_epochs", -2),
        ("max_steps", 0),
        ("max_steps", "foo"),
        ("accumulate_grad_batches", 0),
        ("accumulate_grad_batches", None),
        ("check_val_every_n_epoch", 0),
        ("log_every_n_steps", "foo"),
        ("limit_train_batches", 0),
        ("limit_train_batches", 1.5),
        ("limit_val_batches", "foo"),
        ("val_check_interval", 0),
        ("val_check_interval", "foo"),
        ("overfit_batches", "foo"),
        ("overfit_batches", 2),
        ("strategy", "ddp_spawn"),
        ("gradient_clip_val", 1.0),
        ("use_distributed_sampler", True),
        ("detect_anomaly", "foo"),
        ("enable_progress_bar", "foo"),
        ("no_such_setting", 1),
    ],
)
def test_nonsense_is_refused_by_name(key, value):
    with pytest.raises(InputError, match=rf"^trainer\.{key}={'null' if value is None else value}\b"):
        build(**{key: value})


def test_what_lightning_knows_is_left_to_it():
    trainer = build(max_epochs=None, max_steps=-1, limit_val_batches=0.5, val_check_interval="00:01:00:00")
    assert trainer.world_size == 1
    assert build(max_epochs=-1, max_steps=5, log_every_n_steps=0, check_val_every_n_epoch=None).max_steps == 5


def test_a_complaint_about_no_setting_keeps_its_words():
    def make(**_):
        raise ValueError("it is Sunday")

    with pytest.raises(InputError, match=r"^trainer\.\*: it is Sunday$"):
        build_trainer(partial(make, devices=1))
