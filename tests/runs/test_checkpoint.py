"""What `checkpoint=` and `tokenizer=` mean."""

import json
import shutil
from pathlib import Path

import pytest

from kronos_lab.errors import InputError
from kronos_lab.models.hub import weights_fingerprint
from kronos_lab.runs.checkpoint import find_checkpoint

GOLDEN = Path(__file__).parents[1] / "data" / "golden"


def make_run(outputs: Path, name: str, finished: str | None, market: str = "demo", case: str = "tiny") -> Path:
    folder = outputs / "train" / name
    for part in ("predictor", "tokenizer"):
        shutil.copytree(GOLDEN / case / part, folder / part)
    if finished is not None:
        summary = {
            "kind": "train",
            "name": name,
            "finished": f"{finished}+00:00",
            "market": {"name": market, "fingerprint": "f"},
            "weights": {"predictor": "abc"},
        }
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def test_newest_finished_run_of_the_market(tmp_path: Path) -> None:
    make_run(tmp_path, "older", "2026-01-01T00:00:00")
    newest = make_run(tmp_path, "newest", "2026-01-02T00:00:00")
    make_run(tmp_path, "other-market", "2026-01-03T00:00:00", market="files")
    make_run(tmp_path, "not-finished", None)
    found = find_checkpoint(None, None, tmp_path, market="demo")
    assert found.predictor == str(newest / "predictor")
    assert "newest" in found.title and "abc" in found.title
    assert found.run is not None
    assert find_checkpoint(None, None, tmp_path, market=None).run.name == "other-market"
    found.load()


def test_the_newest_run_on_other_data_of_the_same_name_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run(tmp_path, "run", "2026-01-01T00:00:00", market="files")
    assert find_checkpoint(None, None, tmp_path, "files", "f").warnings == ()
    assert find_checkpoint(str(run), None, tmp_path, "files", "other").warnings == ()  # what was asked for
    assert not caplog.records
    found = find_checkpoint(None, None, tmp_path, "files", "other")
    (warning,) = found.warnings
    assert found.predictor == str(run / "predictor")
    assert "files, run, was trained on other data" in warning and caplog.messages == [warning]


def test_run_folder_by_path_or_name_and_model_folder(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a run", "2026-01-01T00:00:00")
    for given in (str(run), "a run"):
        assert find_checkpoint(given, None, tmp_path, None).tokenizer == str(run / "tokenizer")
    beside = find_checkpoint(str(run / "predictor"), None, tmp_path, None)
    assert beside.tokenizer == str(run / "tokenizer") and beside.run is None
    _, predictor = beside.load()
    assert weights_fingerprint(predictor)


def test_a_run_gives_its_tokenizer_too_and_names_may_be_numbers(tmp_path: Path) -> None:
    run, other = (make_run(tmp_path, name, "2026-01-01T00:00:00") for name in ("20240701", "other"))
    for given in (str(other), "other"):
        found = find_checkpoint(20240701, given, tmp_path, None)
        assert (found.predictor, found.tokenizer) == (str(run / "predictor"), str(other / "tokenizer"))
    assert find_checkpoint("other", 20240701, tmp_path, None).tokenizer == str(run / "tokenizer")
    with pytest.raises(InputError, match="there is no 5: give a run folder"):
        find_checkpoint(5, None, tmp_path, None)
    with pytest.raises(InputError, match="no model folder 5: give an existing folder"):
        find_checkpoint("other", 5, tmp_path, None).load()


def test_hub_ids_know_their_tokenizer(tmp_path: Path) -> None:
    mini = find_checkpoint("NeoQuasar/Kronos-mini@abc", None, tmp_path, None)
    assert mini.tokenizer == "NeoQuasar/Kronos-Tokenizer-2k"
    assert find_checkpoint("somebody/finetuned", "somebody/tokenizer", tmp_path, None).tokenizer == "somebody/tokenizer"
    with pytest.raises(InputError, match="give tokenizer="):
        find_checkpoint("somebody/finetuned", None, tmp_path, None)


def test_nothing_to_use_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no finished training run on market demo .*run train\.py first"):
        find_checkpoint(None, None, tmp_path, "demo")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no model"):
        find_checkpoint(str(tmp_path / "empty"), None, tmp_path, None)
    lone = tmp_path / "lone"
    shutil.copytree(GOLDEN / "tiny" / "predictor", lone)
    with pytest.raises(InputError, match="no tokenizer beside"):
        find_checkpoint(str(lone), None, tmp_path, None)


def test_a_mixed_pair_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run", "2026-01-01T00:00:00")
    with pytest.raises(InputError, match="do not belong together"):
        find_checkpoint(str(run), str(GOLDEN / "bits10" / "tokenizer"), tmp_path, None).load()
