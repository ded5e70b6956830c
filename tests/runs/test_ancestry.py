"""Which days weights have seen, through any number of runs that started from each other."""

import json
from pathlib import Path

import pytest

from kronos_lab.runs.ancestry import LAST_DAY_OF_PRETRAINING, describe_origin, is_published, seen_until

SMALL, TOKENIZER = "NeoQuasar/Kronos-small@901c26c", "NeoQuasar/Kronos-Tokenizer-base"


def finish_run(folder: Path, starting_weights: list[str], val_end: str) -> str:
    """Leave the summary that a training run leaves."""
    summary = {
        "kind": "train",
        "name": folder.name,
        "finished": "2026-01-01T00:00:00+00:00",
        "market": {"name": "demo", "fingerprint": "f"},
        "weights": {},
        "seen_until": seen_until(starting_weights, trained_until=val_end),
        "started_from": describe_origin(starting_weights),
    }
    for part in ("predictor", "tokenizer"):
        (folder / part).mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(summary))
    return str(folder)


def test_a_random_start_has_seen_its_own_days_alone(tmp_path):
    run = finish_run(tmp_path / "first", [], "2023-06-30")
    for weights in (run, f"{run}/predictor", f"{run}/tokenizer"):
        assert seen_until([weights]) == "2023-06-30"
        assert describe_origin([weights]) == "run first, itself started from random weights"


@pytest.mark.parametrize(("second", "expected"), [("2022-12-30", "2023-06-30"), ("2024-03-29", "2024-03-29")])
def test_a_run_has_seen_what_the_run_it_started_from_has(tmp_path, second, expected):
    first = finish_run(tmp_path / "first", [], "2023-06-30")
    run = finish_run(tmp_path / "second", [f"{first}/predictor", f"{first}/tokenizer"], second)
    assert seen_until([run]) == expected
    assert describe_origin([run]).startswith("run second, itself started from run first, itself started from random")


def test_published_weights_stay_in_the_line_for_ever(tmp_path):
    assert is_published(SMALL) and is_published(TOKENIZER) and not is_published("somebody/else")
    first = finish_run(tmp_path / "first", [SMALL, TOKENIZER], "2022-12-30")
    second = finish_run(tmp_path / "second", [first], "2023-06-30")
    assert seen_until([second]) == LAST_DAY_OF_PRETRAINING
    assert SMALL in describe_origin([second])


def test_a_tokenizer_counts_too(tmp_path):
    own = finish_run(tmp_path / "own", [], "2023-06-30")
    assert seen_until([TOKENIZER], trained_until="2022-12-30") == LAST_DAY_OF_PRETRAINING
    assert seen_until([f"{own}/predictor", TOKENIZER]) == LAST_DAY_OF_PRETRAINING
    assert seen_until([f"{own}/tokenizer"], trained_until="2022-12-30") == "2023-06-30"


def test_what_nobody_knows_stays_unknown(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "old").mkdir()
    for unknown in (str(tmp_path / "model"), "somebody/else", str(tmp_path / "old")):
        run = finish_run(tmp_path / f"from {Path(unknown).name}", [unknown], "2023-06-30")
        assert seen_until([run]) is None
        assert seen_until([run, SMALL], trained_until="2024-12-31") is None
        assert unknown in describe_origin([run])
        (tmp_path / "old" / "summary.json").write_text('{"kind": "backtest"}')


def test_a_folder_with_the_name_of_published_weights_is_not_them(tmp_path, monkeypatch):
    (tmp_path / "NeoQuasar" / "Kronos-small").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not is_published("NeoQuasar/Kronos-small") and seen_until(["NeoQuasar/Kronos-small"]) is None
