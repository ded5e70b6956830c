"""The table at the end of a finetune, where there is none, and what it leaves as it was."""

import dataclasses
import json
import logging
from functools import partial

import pandas as pd
import pytest
from test_forecast_validation import settings


def comparison(finetune, module, **changes):
    from kronos_lab.training.parent_comparison import ParentComparison

    stages, origin = changes.pop("stages", ("predictor",)), changes.pop("starting_weights", ())
    return ParentComparison(settings(**changes), stages, module.tokenizer, module.predictor, "somewhere", origin)


def run(quality, finetune, module, data):
    from lightning.pytorch import Trainer

    from kronos_lab.runs.tracking import csv_logger

    make_trainer = partial(Trainer, accelerator="cpu", devices=1, max_epochs=2, limit_predict_batches=0.5)
    return quality.run(
        module.tokenizer, module.predictor, data, make_trainer, csv_logger(str(finetune.folder)), finetune.folder
    )


def test_parent_and_finetuned_are_two_and_the_finetuned_stays_as_it_is(finetune):
    import torch

    module = finetune.make_module("predictor")
    quality = comparison(finetune, module, days=30)
    with torch.no_grad():
        for parameter in module.predictor.parameters():
            parameter.add_(0.3)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    found = run(quality, finetune, module, finetune.make_data())
    assert list(found.table.index)[:3] == ["parent", "finetuned", "finetuned − parent"]
    assert found.table.loc["finetuned − parent", "crps"] != 0 and "its parent" in found.verdict
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in before.items())
    assert module.predictor.training  # as `make_module` left it
    assert len(pd.read_csv(finetune.folder / "evaluation.csv")) == len(found.table)
    json.dumps(found.describe())


def test_weights_that_may_know_the_test_days_are_named_below_the_table(finetune):
    module, data = finetune.make_module("predictor"), finetune.make_data()
    quality = comparison(finetune, module, days=30, starting_weights=["NeoQuasar/Kronos-small"])
    # Test days from July 2024 on; what is said of weights that were never trained is no part of this.
    assert not [line for line in run(quality, finetune, module, data).notes if " lean on " not in line]
    data.split = dataclasses.replace(
        data.split, train_end="2024-01-31", val_start="2024-02-01", val_end="2024-03-29", test_start="2024-04-01"
    )
    quality = comparison(finetune, module, days=30, starting_weights=["NeoQuasar/Kronos-small"])
    notes = run(quality, finetune, module, data).notes
    assert notes and notes[-1].startswith("inside pretraining: the test starts on 2024-04-0")


def test_a_test_part_without_days_is_a_warning_and_no_failure(finetune, caplog):
    from kronos_lab.data.split import DateSplit

    module, data = finetune.make_module("predictor"), finetune.make_data()
    data.split = DateSplit(None, "2024-03-29", "2024-04-01", "2024-06-28", "2025-01-08", None)
    with caplog.at_level(logging.WARNING):
        assert run(comparison(finetune, module), finetune, module, data) is None
    assert "no comparison with the parent: nothing to compare" in caplog.text
    assert not (finetune.folder / "evaluation.csv").exists()


@pytest.mark.parametrize("change", [{"days": 0}, {"stages": ("tokenizer",)}])
def test_there_may_be_none(finetune, change):
    module = finetune.make_module("predictor")
    assert run(comparison(finetune, module, **change), finetune, module, finetune.make_data()) is None
