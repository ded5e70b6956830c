"""What a validation's losses cannot say: how good are the forecasts that the predictor makes on its own?"""

from collections.abc import Sequence

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from kronos_lab.data.datamodule import KLineDataModule
from kronos_lab.errors import InputError
from kronos_lab.evaluation.calibration import ideal_coverage
from kronos_lab.evaluation.close_paths import forecast_closes
from kronos_lab.evaluation.daily_figures import Outcome, mean_figures
from kronos_lab.evaluation.manifest import Manifest
from kronos_lab.evaluation.on_ranks import ranks_of
from kronos_lab.evaluation.ranking import SMALLEST_CROSS_SECTION
from kronos_lab.evaluation.settings import EvaluationSettings
from kronos_lab.runs.provenance import WindowSettings
from kronos_lab.training.monitor import ValidationMetric
from kronos_lab.training.predictor_module import PredictorModule

RANK = (
    ValidationMetric("val_rank_ic", higher_is_better=True),
    ValidationMetric("val_rank_ic_1", higher_is_better=True),
)
SPREAD = (ValidationMetric("val_crps"),)
ERRORS = (ValidationMetric("val_error_to_persistence"), ValidationMetric("val_error_to_persistence_1"))
# Logged and kept, but no reason to choose a checkpoint: of coverage neither more nor less is better.
NAMES = {
    "val_rank_ic": "rank_ic_h",
    "val_rank_ic_1": "rank_ic_1",
    "val_crps": "crps",
    "val_coverage": "coverage",
    "val_error_to_persistence": "error_to_persistence_h",
    "val_error_to_persistence_1": "error_to_persistence_1",
}


class ForecastValidation(Callback):
    """Forecasts a fixed manifest of the validation part at the end of every validation of the predictor.

    The pairs and their random numbers are the same every time, so that figures of two validations, and of any number
    of ranks, can be compared. Training goes on as if nothing had been forecast.

    Args:
        settings: which pairs and how they are forecast; `validation.days=0` for none.
    """

    def __init__(self, settings: EvaluationSettings) -> None:
        self.settings = settings
        self._outcome: Outcome | None = None

    def validation_metrics(self, stage: str) -> Sequence[ValidationMetric]:
        """Metrics that may pick the checkpoint; see `AddsMetrics`."""
        if stage != PredictorModule.stage or self.settings.validation_size.days == 0:
            return ()
        drawn = self.settings.path_settings
        independent = drawn.paths > 1 and not drawn.sampling.stratified
        return (*RANK, *(SPREAD if independent else ()), *ERRORS)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the pairs.

        Raises:
            InputError: there are none, or too few names to rank where the order is to pick the checkpoint.
        """
        if not isinstance(pl_module, PredictorModule) or self.settings.validation_size.days == 0:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]  # set by `fit`
        assert isinstance(data, KLineDataModule)
        manifest = validation_manifest(data, self.settings)
        ranked = {f"{pl_module.stage}/{metric.name}" for metric in RANK}
        monitored = {getattr(callback, "monitor", None) for callback in trainer.checkpoint_callbacks} & ranked
        if monitored and manifest.names_per_day < SMALLEST_CROSS_SECTION:
            name = str(monitored.pop()).split("/")[1]
            raise InputError(
                f"monitor={name} needs {SMALLEST_CROSS_SECTION} names a day to rank, universe "
                f"{data.universe} has {manifest.names_per_day}: choose val_crps"
            )
        self._outcome = Outcome(manifest, self.settings.level_neutral)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forecast, and log what came out: equal on every rank.

        Raises:
            InputError: the figure that picks the checkpoint is no number.
        """
        if self._outcome is None or trainer.sanity_checking or not isinstance(pl_module, PredictorModule):
            return
        manifest = self._outcome.manifest
        data = trainer.datamodule  # type: ignore[attr-defined]  # set by `fit`
        assert isinstance(data, KLineDataModule)
        modes = [(module, module.training) for module in pl_module.modules()]
        # As it is trained: its precision is not changed, adapters and all.
        forecaster = self.settings.forecaster(pl_module.tokenizer, pl_module.predictor, window_of(data), precision=None)
        # Blocks compiled for whole windows would be compiled again for every length of a forecast.
        with torch.compiler.set_stance("force_eager"):
            paths = forecast_closes(
                forecaster,
                manifest,
                self.settings.path_settings,
                (1, manifest.horizon),
                ranks_of(trainer, pl_module.device),
            )
        for module, training in modes:
            module.training = training
        figures = mean_figures(self._outcome.of_paths(paths))
        values = {name: figures[figure] for name, figure in NAMES.items()}
        values["val_coverage_ideal"] = ideal_coverage(self.settings.paths) if paths.independent else float("nan")
        monitored = {getattr(callback, "monitor", None) for callback in trainer.checkpoint_callbacks}
        for name, value in values.items():
            if np.isfinite(value):
                pl_module.log_validation(name, value)
            elif f"{pl_module.stage}/{name}" in monitored:
                raise InputError(
                    f"monitor={name} is no number after {pl_module.global_step} steps: choose another metric, or more "
                    "of evaluation.validation.days and names"
                )


def window_of(data: KLineDataModule) -> WindowSettings:
    """What a forecast sees where it sees what training does."""
    return WindowSettings(data.lookback, data.horizon, data.max_gap, data.clip, data.rescale)


def validation_manifest(data: KLineDataModule, settings: EvaluationSettings) -> Manifest:
    """The pairs forecast during training."""
    start, end = data.split.days("val")
    return Manifest(data.market, data.universe, window_of(data), start, end, settings.validation_size)
