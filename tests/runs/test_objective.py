import json

import pytest

from kronos_lab.errors import InputError
from kronos_lab.runs.objective import UnknownFigureError, check_objective, read_figures, read_objective


@pytest.fixture
def run(tmp_path):
    headline = {"predictor/val_loss": 1.5, "rank_ic_1d": None, "max_drawdown": -0.1}
    metrics = {
        "portfolio": {"with_cost": {"max_drawdown": -0.2}},
        "days": 5,
        "warnings": ["a"],
        "named": "b",
        "on": True,
    }
    (tmp_path / "summary.json").write_text(json.dumps({"headline": headline, "seed": 3}))
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    return tmp_path


def test_headline_figures_go_by_their_names_and_metrics_by_their_keys(run):
    assert read_figures(run) == {
        "predictor/val_loss": 1.5,
        "rank_ic_1d": None,
        "max_drawdown": -0.1,
        "portfolio.with_cost.max_drawdown": -0.2,
        "days": 5.0,
    }
    assert read_objective(run, "predictor/val_loss") == 1.5
    assert read_objective(run, "portfolio.with_cost.max_drawdown") == -0.2


def test_a_figure_that_is_missing_or_not_known_is_one_line(run, tmp_path):
    with pytest.raises(UnknownFigureError, match=r"^objective=predictor/val_los is no .*it has predictor/val_loss"):
        read_objective(run, "predictor/val_los")
    with pytest.raises(UnknownFigureError, match=r"it has portfolio\.with_cost\.max_drawdown"):
        read_objective(run, "portfolio.max_drawdown")
    with pytest.raises(InputError, match=r"^objective=rank_ic_1d is not known of .*: the figure is null$") as error:
        read_objective(run, "rank_ic_1d")
    assert not isinstance(error.value, UnknownFigureError)  # another job may have it
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"has no summary\.json: it did not finish"):
        read_objective(tmp_path / "empty", "days")


def test_what_can_name_nothing_is_refused_before_anything_runs():
    for nothing in ("", 5, ["a"]):
        with pytest.raises(InputError, match="names no figure"):
            check_objective(nothing)
    metrics = ["tokenizer/val_loss", "tokenizer/val_entropy"]
    with pytest.raises(InputError, match="objective=predictor/val_loss is no validation metric of this run"):
        check_objective("predictor/val_loss", metrics)
    for good in (None, "tokenizer/val_loss", "test_rank_ic_1"):  # the last is measured behind the training
        check_objective(good, metrics)
