"""First stage: the tokenizer learns to compress this market's bars."""

from typing import ClassVar

from torch import Tensor

from kronos_lab.data.bars import FIELDS, PRICES
from kronos_lab.data.datamodule import WindowBatch
from kronos_lab.models.hub import PublishedModel
from kronos_lab.models.tokenizer import KronosTokenizer
from kronos_lab.training.metrics import CodeEntropy, RootMean, TokenPerplexity, TokenUse
from kronos_lab.training.monitor import ValidationMetric
from kronos_lab.training.optim import Optimisation
from kronos_lab.training.stage_module import StageModule

FIELD_ERRORS = tuple(f"val_error_{field}{coarse}" for coarse in ("", "_coarse") for field in FIELDS)
PRICE_ERRORS = tuple(f"val_price_error_{price}{coarse}" for coarse in ("", "_coarse") for price in PRICES)


class TokenizerModule(StageModule):
    """Trains a tokenizer on its published loss; validates what its tokens keep of the bars, see `training.metrics`.

    `val_loss` is the squared error of the horizon bars, `val_loss_window` that of the whole window, both in normalised
    units.
    """

    stage: ClassVar[str] = "tokenizer"
    validation_metrics: ClassVar[tuple[ValidationMetric, ...]] = (
        *map(ValidationMetric, ("val_loss", "val_loss_coarse", "val_loss_window", *FIELD_ERRORS, *PRICE_ERRORS)),
        ValidationMetric("val_s1_use", higher_is_better=True),
        ValidationMetric("val_s1_perplexity", higher_is_better=True),
        ValidationMetric("val_s2_use", higher_is_better=True),
        ValidationMetric("val_s2_perplexity", higher_is_better=True),
        ValidationMetric("val_commitment"),
        ValidationMetric("val_entropy_sample"),
        ValidationMetric("val_entropy_code", higher_is_better=True),
    )

    def __init__(
        self, tokenizer: KronosTokenizer, optimisation: Optimisation, lookback: int, horizon: int, seed: int
    ) -> None:
        vocabularies = {"s1": 2**tokenizer.s1_bits, "s2": 2**tokenizer.s2_bits}
        no_means = {
            **{name: RootMean("disable") for name in (*FIELD_ERRORS, *PRICE_ERRORS)},
            **{f"val_{token}_use": TokenUse(size) for token, size in vocabularies.items()},
            **{f"val_{token}_perplexity": TokenPerplexity(size) for token, size in vocabularies.items()},
            "val_entropy_code": CodeEntropy(tokenizer.s1_bits + tokenizer.s2_bits),
        }
        super().__init__(optimisation, lookback, horizon, seed, no_means)
        self.tokenizer = tokenizer.train()

    @property
    def models(self) -> dict[str, PublishedModel]:
        """The tokenizer."""
        return {"tokenizer": self.tokenizer}

    def training_losses(self, batch: WindowBatch) -> dict[str, Tensor]:
        """Reconstruction from s1 alone and from both tokens, the quantiser's loss and its terms."""
        return self.tokenizer.losses(batch.bars_BTF)._asdict()

    def validation_values(self, batch: WindowBatch) -> dict[str, Tensor]:
        """Squared errors of the horizon bars; tokens and the quantiser's terms of the whole window."""
        coarse_BTF, full_BTF, quantised = self.tokenizer.reconstruct(batch.bars_BTF)
        s1_BT, s2_BT = self.tokenizer.tokenizer.split(quantised.bits_BTK)
        window_BTF = (full_BTF.float() - batch.bars_BTF).square()
        horizon = slice(self.lookback, self.lookback + self.horizon)
        full_BHF = window_BTF[:, horizon]
        coarse_BHF = (coarse_BTF[:, horizon].float() - batch.bars_BTF[:, horizon]).square()
        close_B11 = batch.mean_B1F[..., PRICES.index("close"), None].abs()
        to_price_B1F = (batch.deviation_B1F[..., : len(PRICES)] / close_B11).square()
        fields = [*full_BHF.unbind(-1), *coarse_BHF.unbind(-1)]
        prices = [*(full_BHF[..., : len(PRICES)] * to_price_B1F).unbind(-1)]
        prices += (coarse_BHF[..., : len(PRICES)] * to_price_B1F).unbind(-1)
        return {
            "val_loss": full_BHF,
            "val_loss_coarse": coarse_BHF,
            "val_loss_window": window_BTF,
            **dict(zip(FIELD_ERRORS, fields, strict=True)),
            **dict(zip(PRICE_ERRORS, prices, strict=True)),
            "val_s1_use": s1_BT,
            "val_s1_perplexity": s1_BT,
            "val_s2_use": s2_BT,
            "val_s2_perplexity": s2_BT,
            "val_commitment": quantised.terms.commitment_BT,
            "val_entropy_sample": quantised.terms.entropy_sample_BT,
            "val_entropy_code": quantised.terms.p_BTK,
        }
