"""Free-running forecasts after each validation: what they say, and that training does not notice them."""

import numpy as np
import pytest

from kronos_lab.errors import InputError

FORECAST = {
    "temperature": 1.0, "top_p": 0.9, "top_k": 0, "overflow": "exact", "hop": None, "dependency_rope": "published",
    "precision": "float32", "anchor": False,
}  # fmt: skip
NAMES = (
    "val_rank_ic", "val_rank_ic_1", "val_crps", "val_coverage", "val_coverage_ideal", "val_error_to_persistence",
    "val_error_to_persistence_1",
)  # fmt: skip


def settings(days=6, names=10, paths=3, batch_size=60, **forecast):
    from kronos_lab.evaluation.settings import EvaluationSettings

    return EvaluationSettings(
        {"days": days, "names": names}, {"days": days, "names": names}, paths, 5, batch_size, FORECAST | forecast
    )


def callback(**changes):
    from kronos_lab.training.forecast_validation import ForecastValidation

    return ForecastValidation(settings(**changes))


def test_training_does_not_notice(finetune):
    """Weights are equal to the last bit with and without, dropout and drawn tokens included."""
    import torch

    without, _ = finetune.changed(folder=finetune.folder / "without").fit("predictor")
    forecasting = finetune.changed(folder=finetune.folder / "with", callbacks=(callback(),))
    found, outcome = forecasting.fit("predictor")
    for name, value in without.state_dict().items():
        assert torch.equal(value, found.state_dict()[name]), name
    assert len(forecasting.metrics()["predictor/val_rank_ic"].dropna()) == 2
    assert {f"predictor/{name}" for name in NAMES} < outcome.keys()


def test_the_figures_are_those_of_the_weights_they_belong_to(finetune):
    """Computed again from the exported weights, in other batches and outside of training."""
    from kronos_lab.evaluation.close_paths import forecast_closes
    from kronos_lab.evaluation.daily_figures import Outcome, mean_figures
    from kronos_lab.training.forecast_validation import validation_manifest, window_of

    module, outcome = finetune.changed(callbacks=(callback(),)).fit("predictor")
    data, others = finetune.make_data(), settings(batch_size=17)
    manifest = validation_manifest(data, others)
    assert len(manifest) == 60 and manifest.days[-1] < np.datetime64("2024-06-28")
    forecaster = others.forecaster(module.tokenizer, module.predictor, window_of(data), "float32")
    paths = forecast_closes(forecaster, manifest, others.path_settings, (1, 4))
    figures = mean_figures(Outcome(manifest).of_paths(paths))
    for name, figure in {"val_rank_ic": "rank_ic_h", "val_crps": "crps", "val_coverage": "coverage"}.items():
        assert outcome[f"predictor/{name}"] == pytest.approx(figures[figure], rel=1e-4)
    assert outcome["predictor/val_coverage_ideal"] == pytest.approx(0.5)


@pytest.mark.parametrize(("monitor", "best"), [("val_rank_ic", max), ("val_crps", min)])
def test_a_forecast_can_pick_the_checkpoint(finetune, monitor, best):
    run = finetune.changed(epochs=3, callbacks=(callback(),), monitor=monitor)
    _, outcome = run.fit("predictor")
    logged = run.metrics()[f"predictor/{monitor}"].dropna()
    assert len(logged) == 3 and min(logged) < max(logged)
    assert outcome[f"predictor/{monitor}"] == pytest.approx(best(logged), rel=1e-6)


def test_adapters_forecast_too(finetune):
    from kronos_lab.training.tuning import Lora

    lora = Lora(rank=2, alpha=4, dropout=0.0, targets=["q_proj", "v_proj"])
    run = finetune.changed(callbacks=(callback(),), tuning=lora)
    _, outcome = run.fit("predictor")
    logged = run.metrics()["predictor/val_crps"].dropna()
    assert len(logged) == 2 and np.isfinite(outcome["predictor/val_crps"])


def test_the_tokenizer_stage_forecasts_nothing(finetune):
    run = finetune.changed(epochs=1, callbacks=(callback(),))
    _, outcome = run.fit("tokenizer")
    assert not any("rank_ic" in name for name in outcome)
    with pytest.raises(InputError, match="monitor=val_rank_ic is no metric of the tokenizer stage"):
        run.changed(monitor="val_rank_ic").fit("tokenizer")


def test_off_means_off(finetune):
    run = finetune.changed(epochs=1, callbacks=(callback(days=0),))
    with pytest.raises(InputError, match="monitor=val_crps is no metric of the predictor stage"):
        run.changed(monitor="val_crps").fit("predictor")
    assert "predictor/val_crps" not in run.fit("predictor")[1]


def test_one_path_and_few_names_say_what_they_can(finetune):
    with pytest.raises(InputError, match="monitor=val_crps is no metric"):
        finetune.changed(callbacks=(callback(paths=1),), monitor="val_crps").fit("predictor")
    assert "val_crps" not in {metric.name for metric in callback(stratified=True).validation_metrics("predictor")}
    _, outcome = finetune.changed(epochs=1, callbacks=(callback(paths=1),)).fit("predictor")
    assert "predictor/val_coverage" not in outcome and outcome["predictor/val_error_to_persistence"] > 0


def test_settings_of_runs_that_are_older_than_neutral_ranks_can_be_read():
    """`resume=` and `from_run=` take the configuration of a run as it was written."""
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from kronos_lab.runs.folder import project_root

    saved = OmegaConf.load(project_root() / "conf" / "evaluation" / "default.yaml")
    del saved["level_neutral"]
    older = OmegaConf.merge(saved, {"paths": 2, "seed": 1, "forecast": FORECAST})
    assert instantiate(older).level_neutral is False
