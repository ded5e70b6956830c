"""`python train.py` with a value that cannot be used: one line, code 1, and no folder left behind.

One value for each place that refuses; what each place refuses is tested where it is.
"""

from pathlib import Path
from typing import Any

import pytest

from many_commands import assert_refused, run_commands

SMALL = [
    "data.lookback=20", "data.horizon=4", "data.batch_size=32", "model.windows_per_epoch=200", "model.val_windows=61",
    "model.epochs=1", "split.train_end=20240329", "split.val_start=20240401", "split.val_end=20240628",
    "model.tokenizer.d_model=16", "model.predictor.d_model=16", "trainer.accelerator=cpu", "logger=csv",
    "evaluation.validation.days=2", "evaluation.test.days=3", "evaluation.paths=1",
]  # fmt: skip
REFUSED = {
    "evaluation.test.names=3": "evaluation.test.names=3 must be a whole number, at least 5",
    "forecast.temperature=0": "temperature=0 must be a number above 0",
    "monitor.predictor=val_coverage": "monitor.predictor=val_coverage is no metric of the predictor stage",
    "split.test_start=null": "split.test_start=null is no date",
    "trainer.precision=foo": "trainer.precision=foo: ",
    "trainer.devices=0": "trainer.devices=0: ",
    "trainer.val_check_interval=1000": "trainer.val_check_interval=1000: ",
    "checkpoint_every_n_steps=0": "checkpoint_every_n_steps=0 must be a whole number, at least 1",
    "data.batch_size=0": "data.batch_size=0 must be a whole number, at least 1",
    "seed=-1": "seed=-1 must be a whole number",
    "data.lokback=90": "there is no setting or group 'data.lokback'",
    "monitor=val_los": "monitor=val_los is no metric of the tokenizer stage",
    "monitor.predictor=foo": "monitor.predictor=foo is no metric of the predictor stage",  # before the tokenizer too
    "stage=foo": "stage=foo: choose one of both, tokenizer, predictor",
    "s1_conditioning=foo": "s1_conditioning=foo: choose one of sampled, teacher",  # before the tokenizer is trained
    "loss_bars=foo": "loss_bars=foo: choose one of window, horizon",
    "tuning=foo": "tuning=foo: choose one of all, lora, top_blocks",
    "tuning.rank=4": "there is no setting or group 'tuning.rank'",
    "optim.predictor.optimizer.lr=abc": "optim.predictor.optimizer.lr=abc must be a number above 0",  # the same
    "optim.predictor.optimizer.betas=[0.9]": "optim.predictor: ",
    "optim.predictor.optimizer._target_=torch.optim.Foo": "torch.optim.Foo'. (at optim.predictor.optimizer)",
    "optim.one_cycle.div_factor=0": "or its div_factor",
    "trainer.max_time=3": "trainer.max_time=3 is no time: write days:hours:minutes:seconds",
    "trainer.use_distributed_sampler=true": "trainer.use_distributed_sampler=True would deal out windows twice",
    "+trainer.gradient_clip_val=1": "trainer.gradient_clip_val=1 has no effect: the bound belongs to a stage, optim.",
    "callbacks=foo": "callbacks=foo: choose one of default, early_stopping",
    "universe=foo": "universe=foo: choose one of all, csi1000, csi300, csi500, csi800",
    "universe=300": "universe=300: a group takes the name of one of its options",
    "model.pretrained=5": "there is no 5: give a run folder",
    "model=foo": "model=foo: choose one of kronos_base, kronos_mini, kronos_small, tiny",
    "model.pretrained=foo": "there is no foo: give a run folder",
    "market.store=/nowhere": "/nowhere",
    "name=a/b": "name='a/b' cannot be a folder name",
    "objective=predictor/val_los": "is no figure of such a run; it has predictor/val_loss,",  # of a sweep's job
}


@pytest.fixture(scope="module")
def commands(small_market, tmp_path_factory) -> dict[str, Any]:
    """Every refused command, then those of `FURTHER`, in this order."""
    folder = tmp_path_factory.mktemp("refused")
    (folder / "told").mkdir()
    common = [
        "market=qlib", f"market.store={small_market.store}", "market.name=small", f"paths.outputs={folder / 'out'}",
        f"paths.cache={folder / 'cache'}", *SMALL,
    ]  # fmt: skip
    further = {
        "progress off": [
            "name=quiet",
            "trainer.enable_progress_bar=false",
            "callbacks.system=null",
            "trainer.max_steps=1",
        ],
        "diverged": ["name=diverged", "optim.tokenizer.optimizer.lr=1e30"],
        "told": [f"hydra.run.dir={folder / 'told'}", "data.batch_size=0"],
        "no figure": ["name=sweep", "seed=1,2", "objective=val_loss", "-m"],
        "no such figure": ["name=none", "evaluation.test.days=0", "objective=test_crps"],
    }
    every = {argument: [*common, argument] for argument in REFUSED}
    every |= {name: [*common, *arguments] for name, arguments in further.items()}
    every["resume"] = [f"resume={folder / 'out' / 'train' / 'diverged'}", "seed=1"]
    return {"folder": folder, **run_commands("train.py", every, folder)}


@pytest.mark.parametrize(("argument", "words"), REFUSED.items(), ids=REFUSED)
def test_is_refused_in_one_line(commands, argument, words):
    assert_refused(commands[argument], words)


def test_an_objective_is_refused_before_the_first_job(commands):
    for name, words in (
        ("no figure", "objective=val_loss is no figure of such a run; it has tokenizer/val_loss, predictor/val_loss;"),
        ("no such figure", "objective=test_crps is no figure of such a run; it has "),  # of a job without a test part
    ):
        assert commands[name]["code"] == 1 and commands[name]["err"].startswith(f"error: {words}"), commands[name]
        assert commands[name]["err"].count("\n") == 1


def runs(commands) -> list[str]:
    return sorted(path.name for path in Path(commands["folder"], "out", "train").iterdir())


def test_a_refused_run_leaves_no_folder_and_one_that_has_trained_does(commands):
    assert commands["diverged"]["code"] == 1 and "training diverged" in commands["diverged"]["err"]
    assert (commands["progress off"]["code"], commands["progress off"]["err"]) == (0, "")
    assert runs(commands) == ["diverged", "quiet"]


def test_a_folder_that_was_there_before_is_kept(commands):
    assert commands["told"]["code"] == 1
    assert (commands["folder"] / "told").is_dir()
    assert commands["resume"]["code"] == 1 and "leave out seed=1" in commands["resume"]["err"]
    assert (commands["folder"] / "out" / "train" / "diverged" / "config.yaml").is_file()


def test_days_may_be_numbers(commands):
    """As typed without quotes; the configuration keeps them as they were, the split reads days."""
    from hydra.utils import instantiate

    from kronos_lab.runs.folder import load_config

    config = load_config(commands["folder"] / "out" / "train" / "quiet")
    assert config.split.train_end == 20240329
    split = instantiate(config.split)
    assert split.days("train") == (None, "2024-03-29") and split.days("val") == ("2024-04-01", "2024-06-28")
