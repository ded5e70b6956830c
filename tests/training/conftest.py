"""A finetune small enough to run in a second, on the small market."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

TINY_TOKENIZER = {
    "d_in": 6, "d_model": 8, "n_heads": 2, "ff_dim": 16, "n_enc_layers": 2, "n_dec_layers": 2, "ffn_dropout_p": 0.1,
    "attn_dropout_p": 0.1, "resid_dropout_p": 0.1, "s1_bits": 2, "s2_bits": 2, "beta": 0.05, "gamma0": 1.0,
    "gamma": 1.1, "zeta": 0.05, "group_size": 4,
}  # fmt: skip
TINY_PREDICTOR = {
    "s1_bits": 2, "s2_bits": 2, "n_layers": 1, "d_model": 8, "n_heads": 2, "ff_dim": 16, "ffn_dropout_p": 0.1,
    "attn_dropout_p": 0.1, "resid_dropout_p": 0.1, "token_dropout_p": 0.1, "learn_te": True,
}  # fmt: skip


@dataclass(frozen=True)
class Finetune:
    """What a test may change about a finetune; `fit` runs one stage of it."""

    market: Any
    folder: Path
    epochs: int = 2
    checkpoint_every: int = 1000
    compiled: bool = False
    monitor: str = "val_loss"
    learning_rate: float = 3e-3
    trainer: tuple[tuple[str, Any], ...] = ()
    data: tuple[tuple[str, Any], ...] = ()
    callbacks: tuple[Any, ...] = ()
    schedule: str = "one_cycle"
    predictor: tuple[tuple[str, Any], ...] = ()
    tuning: Any = None
    s1_conditioning: str = "sampled"
    loss_bars: str = "window"

    def changed(self, **changes: Any) -> "Finetune":
        return replace(self, **changes)

    def make_data(self) -> Any:
        from kronos_lab.data.datamodule import KLineDataModule
        from kronos_lab.data.split import DateSplit

        settings = {
            "lookback": 20, "horizon": 4, "batch_size": 16, "windows_per_epoch": 120, "val_windows": 61,
            "max_gap": 5, "clip": 5.0, "rescale": False, "date_jitter": 0, "num_workers": 0, "seed": 3,
        } | dict(self.data)  # fmt: skip
        split = DateSplit(None, "2024-03-29", "2024-04-01", "2024-06-28", "2024-07-01", None)
        return KLineDataModule(self.market, "csi300", split, **settings)

    def windows(self, count: int) -> Any:
        """The first windows of validation."""
        return self.make_data().val_dataloader().dataset[np.arange(count)]

    def optimisation(self) -> Any:
        import torch

        from kronos_lab.training.optim import Optimisation, warmup_cosine

        one_cycle = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=self.learning_rate, cycle_momentum=False)
        cosine = partial(warmup_cosine, warmup=0.3, floor=0.1)
        schedule = {"one_cycle": one_cycle, "warmup_cosine": cosine, "constant": None}[self.schedule]
        return Optimisation(
            partial(torch.optim.AdamW, lr=self.learning_rate, fused=True), schedule, gradient_clip=2.0, decay_all=False
        )

    def make_module(self, stage: str, tokenizer: Any = None) -> Any:
        import torch

        from kronos_lab.models.predictor import Kronos
        from kronos_lab.models.tokenizer import KronosTokenizer
        from kronos_lab.training.predictor_module import PredictorModule
        from kronos_lab.training.tokenizer_module import TokenizerModule
        from kronos_lab.training.tuning import AllWeights

        torch.manual_seed(0)
        tokenizer = tokenizer or KronosTokenizer(**TINY_TOKENIZER)
        if stage == "tokenizer":
            return TokenizerModule(tokenizer, self.optimisation(), lookback=20, horizon=4, seed=3)
        predictor = Kronos(**(TINY_PREDICTOR | dict(self.predictor)))
        choices = (self.s1_conditioning, self.loss_bars, self.tuning or AllWeights())
        return PredictorModule(predictor, tokenizer, self.optimisation(), *choices, lookback=20, horizon=4, seed=3)

    def fit(self, stage: str, data: Any = None, tokenizer: Any = None) -> tuple[Any, dict[str, float]]:
        from lightning.pytorch import Trainer

        from kronos_lab.runs.tracking import csv_logger
        from kronos_lab.training.attempts import Attempts
        from kronos_lab.training.fit import fit_stage

        settings = {
            "accelerator": "cpu", "devices": 1, "max_epochs": self.epochs, "num_sanity_val_steps": 0,
            "use_distributed_sampler": False, "enable_progress_bar": False, "enable_model_summary": False,
            "log_every_n_steps": 1,
        } | dict(self.trainer)  # fmt: skip
        module = self.make_module(stage, tokenizer)
        outcome = fit_stage(
            module,
            data or self.make_data(),
            make_trainer=partial(Trainer, **settings),
            make_callbacks=lambda: {str(i): callback for i, callback in enumerate(self.callbacks)},
            logger=csv_logger(str(self.folder)),
            folder=self.folder,
            monitor=self.monitor,
            checkpoint_every_n_steps=self.checkpoint_every,
            attempts=Attempts(self.folder),
            compiled=self.compiled,
        )
        return module, outcome

    def validate(self, module: Any) -> dict[str, float]:
        """Metrics of a module as it is, by their names without the stage's."""
        from lightning.pytorch import Trainer

        trainer = Trainer(
            accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
            use_distributed_sampler=False, enable_checkpointing=False,
        )  # fmt: skip
        trainer.validate(module, self.make_data(), verbose=False)
        return dict(module.last_validation)

    def metrics(self) -> Any:
        """The table of everything logged so far."""
        import pandas as pd

        (path,) = (self.folder / "csv").glob("*/metrics.csv")
        return pd.read_csv(path)


@pytest.fixture
def finetune(small_market, tmp_path):
    return Finetune(small_market, tmp_path)


@pytest.fixture
def three_blocks(finetune):
    """A predictor of three blocks, and as many steps as make a checkpoint in between."""
    return finetune.changed(predictor=(("n_layers", 3),), checkpoint_every=2, trainer=(("max_steps", 5),))


@pytest.fixture
def command(small_market, tmp_path):
    from train_command import Command

    return Command(small_market, tmp_path)
