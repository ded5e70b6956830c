"""Second stage: the predictor learns which token comes next; the tokenizer is frozen."""

from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from kronos_lab.data.datamodule import WindowBatch
from kronos_lab.errors import InputError
from kronos_lab.models.hub import PublishedModel
from kronos_lab.models.predictor import Kronos, PredictorLosses, S1Conditioning, cross_entropy
from kronos_lab.models.tokenizer import KronosTokenizer
from kronos_lab.training.metrics import Perplexity, in_top
from kronos_lab.training.monitor import ValidationMetric
from kronos_lab.training.optim import Optimisation
from kronos_lab.training.stage_module import StageModule
from kronos_lab.training.tuning import Tuning

LossBars = Literal["window", "horizon"]


def check_loss_choices(s1_conditioning: str, loss_bars: str) -> None:
    """Refuse what is no choice; before the first stage has been trained, if it is asked then."""
    for key, given, choices in (
        ("s1_conditioning", s1_conditioning, get_args(S1Conditioning)),
        ("loss_bars", loss_bars, get_args(LossBars)),
    ):
        if given not in choices:
            raise InputError(f"{key}={given}: choose one of {', '.join(choices)}")


class PredictorModule(StageModule):
    """Trains a predictor on the tokens of a frozen tokenizer.

    Validation is causal and teacher-forced. `val_loss` is (CE(s1) + CE(s2)) / 2 in nats over the tokens of the
    horizon bars, each predicted from what came before it; `val_s1` and `val_s2` are its halves; `val_loss_window` is
    the mean over the whole window. See `training.metrics` for the others.

    Args:
        predictor: the network to train.
        tokenizer: fixed; in evaluation mode, without gradients.
        optimisation: optimiser and schedule.
        s1_conditioning: what the fine token is conditioned on in training: a draw from the coarse token's
            distribution ("sampled", as the original), or the true coarse token ("teacher").
        loss_bars: which targets the training loss is the mean over: all of the window (as the original), or those of
            the horizon bars.
        tuning: which weights are trained.
        lookback: bars before the horizon.
        horizon: bars whose tokens select the checkpoint.
        seed: of dropout, of the drawn s1 and of new weights.
    """

    stage: ClassVar[str] = "predictor"
    validation_metrics: ClassVar[tuple[ValidationMetric, ...]] = (
        ValidationMetric("val_loss"),
        ValidationMetric("val_s1"),
        ValidationMetric("val_s2"),
        ValidationMetric("val_loss_window"),
        ValidationMetric("val_s1_window"),
        ValidationMetric("val_s2_window"),
        ValidationMetric("val_s1_perplexity"),
        ValidationMetric("val_s2_perplexity"),
        ValidationMetric("val_s1_top1", higher_is_better=True),
        ValidationMetric("val_s1_top5", higher_is_better=True),
        ValidationMetric("val_s2_top1", higher_is_better=True),
        ValidationMetric("val_s2_top5", higher_is_better=True),
    )

    def __init__(
        self,
        predictor: Kronos,
        tokenizer: KronosTokenizer,
        optimisation: Optimisation,
        s1_conditioning: S1Conditioning,
        loss_bars: LossBars,
        tuning: Tuning,
        lookback: int,
        horizon: int,
        seed: int,
    ) -> None:
        check_loss_choices(s1_conditioning, loss_bars)
        no_means = {f"val_{token}_perplexity": Perplexity("disable") for token in ("s1", "s2")}
        super().__init__(optimisation, lookback, horizon, seed, no_means)
        self.predictor = predictor.train()
        self.tokenizer = tokenizer.eval().requires_grad_(False)
        self.s1_conditioning, self.loss_bars = s1_conditioning, loss_bars
        self.tuning = tuning
        tuning.prepare(self.predictor, seed)

    @property
    def models(self) -> dict[str, PublishedModel]:
        """Both networks: a checkpoint of this stage is complete."""
        return {"tokenizer": self.tokenizer, "predictor": self.predictor}

    def training_losses(self, batch: WindowBatch) -> dict[str, Tensor]:
        """Cross entropies in nats, means over the positions that `loss_bars` names."""
        losses = self.predictor.losses(*self._tokens(batch), batch.stamp_BT5, self.s1_conditioning)
        if self.loss_bars == "horizon":
            losses = PredictorLosses(losses.s1_BT[:, self._horizon], losses.s2_BT[:, self._horizon])
        return {"loss": losses.mean(), "s1": losses.s1_BT.mean(), "s2": losses.s2_BT.mean()}

    def validation_values(self, batch: WindowBatch) -> dict[str, Tensor]:
        """Cross entropies (nats) and hits, most of them of the positions in `_horizon`."""
        s1_BT, s2_BT = self._tokens(batch)
        horizon = self._horizon
        logits = self.predictor.window_logits(s1_BT, s2_BT, batch.stamp_BT5, "teacher")
        values: dict[str, Tensor] = {}
        for token, logits_BTV, true_BT in zip(("s1", "s2"), logits, (s1_BT[:, 1:], s2_BT[:, 1:]), strict=True):
            window_BT = cross_entropy(logits_BTV, true_BT)
            values[f"val_{token}"] = values[f"val_{token}_perplexity"] = window_BT[:, horizon]
            values[f"val_{token}_window"] = window_BT
            for k in (1, 5):
                values[f"val_{token}_top{k}"] = in_top(logits_BTV[:, horizon], true_BT[:, horizon], k)
        values["val_loss"] = (values["val_s1"] + values["val_s2"]) / 2
        values["val_loss_window"] = (values["val_s1_window"] + values["val_s2_window"]) / 2
        return values

    def finish(self) -> None:
        """Merge what the tuning has added."""
        self.tuning.merge(self.predictor)

    @property
    def _horizon(self) -> slice:
        """Positions that predict the horizon bars: position t predicts bar t + 1, so it begins one early."""
        return slice(self.lookback - 1, self.lookback - 1 + self.horizon)

    def _tokens(self, batch: WindowBatch) -> tuple[Tensor, Tensor]:
        # Tokens are the data of this stage: the precision of training must not change them.
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            s1_BT, s2_BT = self.tokenizer.encode(batch.bars_BTF, half=True)
        return s1_BT.clone(), s2_BT.clone()  # tensors that a backward pass may keep
