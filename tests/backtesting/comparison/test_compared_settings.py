"""What tells the settings of backtests apart."""

from finished_backtests import settings, trained

from kronos_lab.backtesting.comparison.settings import different, settings_of


def test_an_ensemble_and_a_single_run_differ_in_what_their_trainings_differ_in(tmp_path):
    single, other = (trained(tmp_path, name, name, optim={"lr": lr, "steps": 9}) for name, lr in (("a", 1), ("b", 2)))
    summary = {"config": settings(tmp_path), "weights": {"predictor": "a"}, "training_run": str(single)}
    pooled = summary | {
        "weights": {"predictor_1": "a", "predictor_2": "b"},
        "training_run_1": str(single),
        "training_run_2": str(other),
    }
    del pooled["training_run"]
    both = [settings_of(summary), settings_of(pooled)]
    assert different(both) == ["members", "train.optim.lr"]
    assert both[1]["train.optim.lr"] == "1 + 2" and both[1]["members"] == 2
