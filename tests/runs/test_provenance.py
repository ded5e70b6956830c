"""What a backtest takes over from training, and what it says about days the weights have seen."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from omegaconf import DictConfig, OmegaConf

BEFORE, AFTER = pd.Timestamp("2024-06-28"), pd.Timestamp("2024-07-01")
SMALL, TOKENIZER = "NeoQuasar/Kronos-small@901c26c", "NeoQuasar/Kronos-Tokenizer-base"


def trained(val_end: str | int = "2023-12-31") -> DictConfig:
    data = {"lookback": 64, "horizon": 5, "max_gap": 20, "clip": 5.0, "rescale": False}
    return OmegaConf.create({"data": data, "split": {"val_end": val_end}})


def finish_run(folder: Path, seen_until: str | None) -> str:
    (folder / "predictor").mkdir(parents=True)
    summary = {
        "kind": "train", "name": folder.name, "finished": "2026-01-01T00:00:00+00:00", "market": {"name": "demo"},
        "weights": {}, "seen_until": seen_until, "started_from": "what it was",
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary))
    return f"{folder}/predictor"


def warnings(predictor: str, tokenizer: str, config: DictConfig | None, start: pd.Timestamp) -> list[str]:
    from kronos_lab.runs.checkpoint import Checkpoint
    from kronos_lab.runs.provenance import knowledge_warnings

    return knowledge_warnings(Checkpoint(predictor, tokenizer, "title"), config, start)


def test_published_weights_are_marked_on_the_days_of_their_training():
    (line,) = warnings(SMALL, TOKENIZER, None, BEFORE)
    assert line.startswith("inside pretraining: the test starts on 2024-06-28") and "2024-06-30" in line
    assert warnings(SMALL, TOKENIZER, None, AFTER) == []
    assert warnings(SMALL, TOKENIZER, None, pd.Timestamp("2024-06-30 15:00")) != []


@pytest.mark.parametrize(("start", "marked"), [("2024-03-29", True), ("2024-04-01", False)])
def test_a_run_is_marked_on_all_days_its_line_has_seen(tmp_path, start, marked):
    """Whatever its own days were."""
    run = finish_run(tmp_path / "mine", seen_until="2024-03-29")
    found = warnings(run, run, trained(val_end="2022-12-30"), pd.Timestamp(start))
    assert len(found) == marked
    for line in found:
        assert line.startswith("inside training: ") and line.endswith("saw days up to 2024-03-29")
        assert "run mine, itself started from what it was" in line


def test_another_tokenizer_may_have_seen_more(tmp_path):
    run = finish_run(tmp_path / "mine", seen_until="2023-12-29")
    assert warnings(run, run, trained(), BEFORE) == []
    assert "2024-06-30" in warnings(run, TOKENIZER, trained(), BEFORE)[0]


def test_weights_of_unknown_origin_are_never_without_a_mark(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    model, run = str(tmp_path / "model"), finish_run(tmp_path / "run", seen_until=None)
    kinds: list[Any] = [
        (model, None, BEFORE, "inside pretraining"),
        (model, None, AFTER, "unknown training days"),
        (run, trained(), AFTER, "unknown training days"),
        (run, trained(val_end="2024-07-01"), AFTER, "inside training"),
        (run, trained(val_end=20240701), AFTER, "inside training"),
    ]
    for predictor, config, start, kind in kinds:
        assert [line.split(":")[0] for line in warnings(predictor, predictor, config, start)] == [kind]


def test_unknown_weights_are_named_with_how_to_read_it(tmp_path: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    (line,) = warnings(SMALL, str(tmp_path / "tokenizer"), None, AFTER)
    assert f"up to which day {tmp_path / 'tokenizer'} or its origin was trained" in line and SMALL not in line
    assert "an unchanged copy of released Kronos weights (data to 2024-06-30) cannot have seen the test" in line


def test_settings_are_those_asked_for_then_those_of_training_then_the_defaults():
    from kronos_lab.runs.provenance import window_settings

    nothing = OmegaConf.create(dict.fromkeys(("lookback", "horizon", "max_gap", "clip", "rescale")))
    asked = OmegaConf.merge(nothing, {"lookback": 30})
    defaults = OmegaConf.merge(trained().data, {"lookback": 90, "horizon": 10})
    assert window_settings(asked, trained(), defaults).lookback == 30
    assert window_settings(asked, trained(), defaults).horizon == 5
    assert window_settings(nothing, None, defaults).lookback == 90


@pytest.mark.parametrize(
    "wrong",
    [
        "lookback=1", "lookback=long", "horizon=0", "horizon=2.5", "max_gap=-1", "clip=0", "clip=.nan", "clip=null",
        "rescale=1",
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused_by_name(wrong: str) -> None:
    from kronos_lab.errors import InputError
    from kronos_lab.runs.provenance import WindowSettings

    settings: Any = OmegaConf.merge(trained().data, OmegaConf.from_dotlist([wrong]))
    with pytest.raises(InputError, match=rf"^data\.{wrong.partition('=')[0]}=.* must be "):
        WindowSettings(**settings)


WINDOW = {"lookback": 20, "horizon": 4, "max_gap": 5, "clip": 5.0, "rescale": False}


def test_other_windows_than_those_of_training_are_said():
    from kronos_lab.runs.provenance import WindowSettings, window_warnings

    trained = OmegaConf.create({"data": {**WINDOW, "batch_size": 50}})
    assert window_warnings(WindowSettings(**WINDOW), trained) == []
    assert window_warnings(WindowSettings(**WINDOW), None) == []
    (line,) = window_warnings(WindowSettings(**WINDOW | {"lookback": 90, "horizon": 10}), trained)
    assert line == "other windows: trained with data.lookback=20, data.horizon=4, forecast with 90, 10"


@pytest.mark.parametrize("stage", ["both", "predictor", None])
def test_untrained_is_where_the_run_began(stage):
    import torch

    from kronos_lab.models.predictor import Kronos
    from kronos_lab.models.tokenizer import KronosTokenizer
    from kronos_lab.runs.provenance import random_start

    tiny = Path(__file__).parents[1] / "data" / "golden" / "tiny"
    trained = KronosTokenizer.from_pretrained(tiny / "tokenizer"), Kronos.from_pretrained(tiny / "predictor")
    torch.manual_seed(3)
    began = KronosTokenizer(**trained[0].config), Kronos(**trained[1].config)
    run = stage and OmegaConf.create({"seed": 3, "stage": stage, "model": {"pretrained": None}})
    tokenizer, predictor = random_start(trained, run, seed=3 if run is None else 100)
    expected = trained[0] if stage == "predictor" else began[0]  # one that was given and never trained stays
    for found, model in ((tokenizer, expected), (predictor, began[1])):
        assert all(torch.equal(value, model.state_dict()[name]) for name, value in found.state_dict().items())
    assert tokenizer is not trained[0]
