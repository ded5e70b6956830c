"""`callbacks=early_stopping`: a stage ends where its validation no longer becomes better."""

from functools import partial

import pytest

from kronos_lab.errors import InputError


@pytest.fixture
def patient(finetune):
    """Nothing is ever better by as much as 10, so that the first validation stays the best: 3 of at most 6 epochs."""
    return finetune.changed(epochs=6, checkpoint_every=3, callbacks=(early(),))


def early(patience=2, min_delta=10.0):
    from kronos_lab.training.early_stopping import StopEarly

    return partial(StopEarly, patience=patience, min_delta=min_delta)


def checkpoint(finetune, stage, which="last"):
    import torch

    return torch.load(finetune.folder / "checkpoints" / f"{stage}-{which}.ckpt", weights_only=True)


def validations(finetune, name):
    import pandas as pd

    return [
        value
        for path in sorted((finetune.folder / "csv").glob("*/metrics.csv"))
        for value in pd.read_csv(path)[name].dropna()
    ]


@pytest.mark.parametrize(("stage", "monitor"), [("tokenizer", "val_loss"), ("predictor", "val_s1_top1")])
def test_a_stage_that_does_not_improve_ends_and_exports_its_best(patient, stage, monitor, caplog):
    """Less of the loss is better, more of the accuracy."""
    caplog.set_level("INFO")
    chosen = patient.changed(monitor=monitor)
    _, outcome = chosen.fit(stage)
    values = validations(chosen, f"{stage}/{monitor}")
    assert len(values) == 3
    assert checkpoint(chosen, stage)["global_step"] == 24  # the last step has been validated
    best = (min if monitor == "val_loss" else max)(values)
    assert outcome[f"{stage}/{monitor}"] == pytest.approx(best)
    assert (chosen.folder / stage / "model.safetensors").is_file()
    line = f"stopped early, after 24 steps: {stage}/{monitor} no better than {values[0]:.4f} in 2 validations"
    assert line in caplog.text


def test_a_stage_that_improves_uses_its_whole_budget(finetune, caplog):
    caplog.set_level("INFO")
    learning = finetune.changed(epochs=4, callbacks=(early(patience=1, min_delta=0.0),))
    learning.fit("tokenizer")
    values = validations(learning, "tokenizer/val_loss")
    assert values == sorted(values, reverse=True)  # what the test is about
    assert len(values) == 4 and "stopped early" not in caplog.text


def test_patience_is_counted_in_validations(patient):
    often = patient.changed(trainer=(("val_check_interval", 4),))
    often.fit("tokenizer")
    assert len(validations(often, "tokenizer/val_loss")) == 3
    assert checkpoint(often, "tokenizer")["global_step"] == 12


def test_the_schedule_is_that_of_the_whole_budget(patient):
    from lightning.pytorch.callbacks import LearningRateMonitor

    rates = {}
    for name, callbacks in (("whole", ()), ("early", (early(),))):
        run = patient.changed(folder=patient.folder / name, callbacks=(*callbacks, LearningRateMonitor("step")))
        run.fit("tokenizer")
        rates[name] = validations(run, "tokenizer/lr/decayed")
    assert (len(rates["whole"]), len(rates["early"])) == (48, 24)
    assert rates["early"] == rates["whole"][:24]


@pytest.mark.parametrize("step", [10, 20])  # after the best validation, and after one that was no better
def test_a_resumed_stage_stops_where_it_would_have(patient, step):
    from lightning.pytorch import Callback

    class InterruptionError(Exception):
        pass

    class Interrupt(Callback):
        def on_train_batch_end(self, trainer, *arguments):
            if trainer.global_step == step:
                raise InterruptionError

    whole, stopped = (patient.changed(folder=patient.folder / name) for name in ("whole", "stopped"))
    _, expected = whole.fit("tokenizer")
    with pytest.raises(InterruptionError):
        stopped.changed(callbacks=(early(), Interrupt())).fit("tokenizer")
    _, outcome = stopped.fit("tokenizer")
    assert outcome == expected
    assert checkpoint(stopped, "tokenizer")["global_step"] == 24
    exported = [run.folder / "tokenizer" / "model.safetensors" for run in (whole, stopped)]
    assert exported[0].read_bytes() == exported[1].read_bytes()


def test_a_stage_that_has_stopped_stays_so(patient, caplog):
    """As in a run that was interrupted in its second stage."""
    _, expected = patient.fit("tokenizer")
    caplog.set_level("INFO")
    _, again = patient.fit("tokenizer")
    assert again == expected
    assert checkpoint(patient, "tokenizer")["global_step"] == 24
    assert "stopped early, after 24 steps" in caplog.text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"patience": 0}, "^callbacks.early_stopping.patience=0 must be a whole number, at least 1"),
        ({"min_delta": -1}, "^callbacks.early_stopping.min_delta=-1 must be at least 0"),
    ],
)
def test_what_means_nothing_is_one_line(finetune, settings, words):
    with pytest.raises(InputError, match=words):
        finetune.changed(callbacks=(early(**settings),)).fit("tokenizer")


def test_the_configuration_makes_it():
    from hydra import compose, initialize_config_dir
    from hydra.utils import instantiate

    from kronos_lab.runs.folder import project_root, register_resolvers
    from kronos_lab.training.early_stopping import StopEarly

    register_resolvers()
    with initialize_config_dir(str(project_root() / "conf"), version_base="1.3"):
        cfg = compose("train", overrides=["callbacks=early_stopping", "callbacks.early_stopping.patience=7"])
    made = instantiate(cfg.callbacks)
    assert {"progress", "learning_rate"} < made.keys()
    callback = made["early_stopping"](monitor="predictor/val_s1_top1", mode="max")
    assert isinstance(callback, StopEarly)
    assert (callback.patience, callback.mode, callback.monitor) == (7, "max", "predictor/val_s1_top1")
