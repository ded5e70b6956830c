"""Forecasts of a manifest through Lightning's Trainer: on its devices, on all ranks of the job."""

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from kronos_lab.evaluation.close_paths import ClosePaths, PathSettings, Ranks, forecast_closes
from kronos_lab.evaluation.manifest import Manifest
from kronos_lab.forecasting.forecaster import Forecaster
from kronos_lab.forecasting.progress import SeriesProgress
from kronos_lab.runs.lost_ranks import explain_lost_connection
from kronos_lab.runs.ranks import build_trainer, check_ranks


def ranks_of(trainer: Trainer, device: torch.device) -> Ranks:
    """The processes of a trainer that is at work, adding up on their device."""

    def total(tensor: Tensor) -> Tensor:
        reduced = trainer.strategy.reduce(tensor.to(device), reduce_op="sum")
        assert isinstance(reduced, Tensor)
        return reduced

    return Ranks(trainer.global_rank, trainer.world_size, total)


def forecast_on_ranks(
    make_trainer: Callable[..., Trainer],
    forecaster: Forecaster,
    manifest: Manifest,
    settings: PathSettings,
) -> ClosePaths:
    """Forecast the closes of one bar and of the whole horizon, the same on every rank.

    Args:
        make_trainer: Lightning's Trainer, to be called with the arguments that are ours to choose.
        forecaster: tokenizer and predictor; on the CPU afterwards.
        manifest: the pairs.
        settings: how paths are drawn.

    Raises:
        InputError: the trainer's arguments do not go together, or a rank was lost.
    """
    trainer = build_trainer(
        make_trainer,
        logger=False,
        precision="32-true",  # that of the forecaster is its own
        limit_predict_batches=1,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    check_ranks(trainer)
    module = _WholeForecast(forecaster, manifest, settings)
    try:
        trainer.predict(module, DataLoader(TensorDataset(torch.zeros(1))), return_predictions=False)
    except RuntimeError as error:
        explain_lost_connection(error, trainer.global_rank)
        raise
    assert module.result is not None
    forecaster.to("cpu")
    return module.result


class _WholeForecast(LightningModule):
    """One predict step that is everything: Lightning brings the models to their device and the ranks together."""

    def __init__(self, forecaster: Forecaster, manifest: Manifest, settings: PathSettings) -> None:
        super().__init__()
        self.forecaster, self.manifest, self.settings = forecaster, manifest, settings
        self.tokenizer, self.predictor = forecaster.tokenizer, forecaster.predictor  # submodules, to be moved
        self.result: ClosePaths | None = None

    def predict_step(self, batch: Any, batch_idx: int) -> int:
        """Forecast this rank's share and take those of the others."""
        with SeriesProgress(len(self.manifest), shown=self.trainer.is_global_zero) as progress:
            self.result = forecast_closes(
                self.forecaster,
                self.manifest,
                self.settings,
                (1, self.manifest.horizon),
                ranks_of(self.trainer, self.device),
                progress.update,
            )
        return len(self.manifest)
