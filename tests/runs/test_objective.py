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
    figures = ["tokenizer/val_loss", "tokenizer/val_entropy", "test_rank_ic_1"]
    for nothing in ("predictor/val_loss", "test_rank_ic", "val_loss"):
        with pytest.raises(InputError, match=f"^objective={nothing} is no figure of such a run; it has "):
            check_objective(nothing, figures)
    for good in (None, "tokenizer/val_loss", "test_rank_ic_1"):
        check_objective(good, figures)


def test_families_of_figures_stand_for_all_their_names():
    families = ["rank_ic_<sessions>d", "portfolio.with_cost.<figure>", "groups.<keys>", "trials"]
    for good in ("rank_ic_10d", "portfolio.with_cost.max_drawdown", "groups.mean.1.t", "trials"):
        check_objective(good, families)
    for nothing in ("rank_ic_d", "rank_ic_tend", "portfolio.with_cost", "portfolio.with_cost.a.b", "groups", "trialsx"):
        with pytest.raises(InputError, match=f"^objective={nothing} is no figure"):
            check_objective(nothing, families)


def test_a_refusal_names_those_that_are_near_and_where_all_are(tmp_path):
    """Few of them: a backtest has more than a thousand."""
    near = ["rank_ic_<sessions>d", "rank_ic_<sessions>d_t"]
    with pytest.raises(InputError, match=r"it has rank_ic_<sessions>d, rank_ic_<sessions>d_t; all 3 are in the list$"):
        check_objective("rank_ic_5", [*near, "turnover"], "the list")
    metrics = {"by_year": {str(year): {"mean": 1.0} for year in range(1000)}, "trading": {"annual_cost": 1.0}}
    (tmp_path / "summary.json").write_text("{}")
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    for typed, first in (("trading.anual_cost", "trading.annual_cost; "), ("xyz", "by_year.0.mean, by_year.1.mean,")):
        with pytest.raises(UnknownFigureError) as error:
            read_objective(tmp_path, typed)
        told = str(error.value).partition("; it has ")[2]
        assert told.startswith(first) and told.endswith("; all 1001 are in summary.json and metrics.json"), told
        assert len(told.partition(";")[0].split(", ")) <= 8
