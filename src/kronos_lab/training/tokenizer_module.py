"""First stage: the tokenizer learns to compress this market's bars."""

from typing import ClassVar

from torch import Tensor

from kronos_lab.data.datamodule import WindowBatch
from kronos_lab.models.hub import PublishedModel
from kronos_lab.models.tokenizer import KronosTokenizer
from kronos_lab.training.monitor import ValidationMetric
from kronos_lab.training.optim import Optimisation
from kronos_lab.training.stage_module import StageModule


class TokenizerModule(StageModule):
    """Trains a tokenizer on its published loss; validates by the squared error of the reconstruction.

    `val_loss` is the error of the horizon bars, `val_loss_window` that of the whole window, both in normalised units.
    """

    stage: ClassVar[str] = "tokenizer"
    validation_metrics: ClassVar[tuple[ValidationMetric, ...]] = (
        ValidationMetric("val_loss"),
        ValidationMetric("val_loss_window"),
    )

    def __init__(
        self, tokenizer: KronosTokenizer, optimisation: Optimisation, lookback: int, horizon: int, seed: int
    ) -> None:
        super().__init__(optimisation, lookback, horizon, seed)
        self.tokenizer = tokenizer.train()

    @property
    def models(self) -> dict[str, PublishedModel]:
        """The tokenizer."""
        return {"tokenizer": self.tokenizer}

    def training_losses(self, batch: WindowBatch) -> dict[str, Tensor]:
        """Reconstruction from s1 alone and from both tokens, and the quantiser's terms."""
        return self.tokenizer.losses(batch.bars_BTF)._asdict()

    def validation_errors(self, batch: WindowBatch) -> dict[str, Tensor]:
        """Squared reconstruction errors."""
        (_, reconstructed_BTF), *_ = self.tokenizer(batch.bars_BTF)
        error_BTF = (reconstructed_BTF.float() - batch.bars_BTF).square()
        horizon = slice(self.lookback, self.lookback + self.horizon)
        return {"val_loss": error_BTF[:, horizon], "val_loss_window": error_BTF}
