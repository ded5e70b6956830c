"""Ways to tune as typed, one on top of the other, on the small market; with several processes too."""

from pathlib import Path

import pytest

from many_commands import run_commands

SMALL = [
    "data.lookback=20", "data.horizon=4", "data.batch_size=32", "model.windows_per_epoch=200", "model.val_windows=61",
    "split.train_end=20240329", "split.val_start=20240401", "split.val_end=20240628", "model.tokenizer.d_model=16",
    "model.predictor.d_model=16", "trainer.accelerator=cpu", "logger=csv",
]  # fmt: skip


def where(market, folder):
    return [
        "market=qlib", f"market.store={market.store}", "market.name=small", f"paths.outputs={folder / 'out'}",
        f"paths.cache={folder / 'cache'}", *SMALL,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def commands(small_market, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    runs, two_steps = folder / "out" / "train", "trainer.max_steps=2"
    typed = {
        "first": ["tuning=lora", "optim=adamw_cosine", two_steps],
        "second": [
            "stage=predictor", f"model.pretrained={runs / 'first'}", "tuning=top_blocks", "tuning.blocks=1", two_steps,
            "optim=adamw_cosine", "optim.predictor.optimizer.lr=1e-3", "loss_bars=horizon", "s1_conditioning=teacher",
        ],
        "third": [
            "stage=predictor", f"model.pretrained={runs / 'second'}", "tuning=lora", "tuning.targets=[ffn.w2]",
            "optim=adamw", "callbacks=early_stopping", "callbacks.early_stopping.patience=1", "model.epochs=5",
            "callbacks.early_stopping.min_delta=10", "optim.predictor.optimizer.lr=1e-3",
        ],
        "refused": ["tuning=lora", "stage=tokenizer"],
        "too many": ["tuning=top_blocks", "tuning.blocks=3"],
    }  # fmt: skip
    every = {name: [*where(small_market, folder), f"name='{name}'", *arguments] for name, arguments in typed.items()}
    return {"runs": runs, **run_commands("train.py", every, folder)}


def weights(run: Path):
    from kronos_lab.models.predictor import Kronos

    return Kronos.from_pretrained(run / "predictor").state_dict()


def test_one_finetune_starts_from_another(commands):
    import torch

    assert [commands[name]["code"] for name in ("first", "second", "third")] == [0, 0, 0], commands
    first, second, third = (weights(commands["runs"] / name) for name in ("first", "second", "third"))
    changed = {name for name, value in second.items() if not torch.equal(value, first[name])}
    assert changed == {
        name for name in first if name.startswith(("transformer.1.", "norm.", "dep_layer.", "head."))
    } - {name for name in first if name.endswith("inv_freq")}
    assert {name for name, value in third.items() if not torch.equal(value, second[name])} == {
        f"transformer.{block}.ffn.w2.weight" for block in (0, 1)
    }
    assert "leaves most of a random predictor random" in commands["first"]["out"] + commands["first"]["err"]


def test_a_run_that_stops_early_says_so(commands):
    line = "stopped early, after 12 steps: predictor/val_loss no better than "
    assert line in commands["third"]["out"] + commands["third"]["err"]


def test_what_cannot_be_is_refused_before_anything_is_trained(commands):
    for name, words in {
        "refused": "tuning=lora is of the predictor, and stage=tokenizer trains none",
        "too many": "tuning.blocks=3 must be a whole number, from 0 to 2",
    }.items():
        assert commands[name]["code"] == 1
        assert words in commands[name]["err"] and commands[name]["err"].count("\n") == 1
        assert not (commands["runs"] / name).exists()


@pytest.mark.slow
@pytest.mark.parametrize("way", [["tuning=lora"], ["tuning=top_blocks", "tuning.blocks=1", "loss_bars=horizon"]])
def test_two_processes_tune_together(small_market, tmp_path, way):
    """DDP ends with an error where a parameter that is trained has no gradient."""
    arguments = [*where(small_market, tmp_path), *way, "name=two", "trainer.devices=2", "trainer.max_steps=3"]
    done = run_commands("train.py", {"two": arguments}, tmp_path)["two"]
    assert done["code"] == 0 and "predictor: 2 × CPU" in done["out"], done
    assert weights(tmp_path / "out" / "train" / "two")
