"""What a backtest takes over from training, and what it says about days the weights have seen."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from omegaconf import DictConfig, OmegaConf

BEFORE, AFTER = pd.Timestamp("2024-06-28"), pd.Timestamp("2024-07-01")


def checkpoint(predictor: str = "outputs/train/demo/predictor", run: bool = True) -> Any:
    from kronos_lab.runs.checkpoint import Checkpoint
    from kronos_lab.runs.summary import FinishedRun

    finished = FinishedRun(Path("outputs/train/demo"), "demo", datetime.now(UTC), "demo", {}) if run else None
    return Checkpoint(predictor, "tokenizer", "title", finished)


def trained(pretrained: str | None = None, val_end: str = "2023-12-31") -> DictConfig:
    data = {"lookback": 64, "horizon": 5, "max_gap": 20, "clip": 5.0, "rescale": False}
    return OmegaConf.create({"data": data, "model": {"pretrained": pretrained}, "split": {"val_end": val_end}})


def warnings(*arguments: Any) -> list[str]:
    from kronos_lab.backtesting.provenance import knowledge_warnings

    return knowledge_warnings(*arguments)


@pytest.mark.parametrize(
    ("weights", "config"),
    [
        (checkpoint("NeoQuasar/Kronos-small", run=False), None),
        (checkpoint("NeoQuasar/Kronos-small@901c26c", run=False), None),
        (checkpoint("somewhere/predictor", run=False), None),
        (checkpoint(), trained(pretrained="NeoQuasar/Kronos-small")),
    ],
)
def test_weights_that_descend_or_may_descend_from_the_released_ones_are_marked(weights, config):
    assert [text.split(":")[0] for text in warnings(weights, config, BEFORE)] == ["inside pretraining"]
    assert warnings(weights, config, AFTER) == []


def test_a_run_from_random_weights_has_seen_only_its_own_days():
    assert warnings(checkpoint(), trained(), BEFORE) == []
    (line,) = warnings(checkpoint(), trained(val_end="2024-07-01"), AFTER)
    assert line.startswith("inside training")


def test_settings_are_those_asked_for_then_those_of_training_then_the_defaults():
    from kronos_lab.backtesting.provenance import window_settings

    nothing = OmegaConf.create(dict.fromkeys(("lookback", "horizon", "max_gap", "clip", "rescale")))
    asked = OmegaConf.merge(nothing, {"lookback": 30})
    defaults = OmegaConf.merge(trained().data, {"lookback": 90, "horizon": 10})
    assert window_settings(asked, trained(), defaults).lookback == 30
    assert window_settings(asked, trained(), defaults).horizon == 5
    assert window_settings(nothing, None, defaults).lookback == 90
