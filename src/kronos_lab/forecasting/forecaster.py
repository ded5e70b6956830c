"""From raw past bars to sampled raw future bars, on tensors.

Shapes: B series, P paths, C context bars, H horizon bars, F = 6 fields. Prices in currency per share, volume in
shares, amount in currency: whatever units go in come out.
"""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from kronos_lab.data.normaliser import CLIP, Scale, denormalise, fit_scale, normalise
from kronos_lab.errors import InputError
from kronos_lab.forecasting.decoding import generate
from kronos_lab.forecasting.token_sampling import Sampling
from kronos_lab.models.pair import check_pair
from kronos_lab.models.predictor import Kronos
from kronos_lab.models.tokenizer import KronosTokenizer


class Forecaster:
    """Tokenizer and predictor joined: raw past bars in, sampled raw future bars out.

    Args:
        tokenizer: put into evaluation mode.
        predictor: put into evaluation mode.
        max_context: bars seen at the most; None is what the published models of this kind were trained with.
        clip: bound of normalised values.
        rescale: see `fit_scale`.

    Raises:
        InputError: tokenizer and predictor do not belong together.
    """

    def __init__(
        self,
        tokenizer: KronosTokenizer,
        predictor: Kronos,
        max_context: int | None = None,
        clip: float = CLIP,
        rescale: bool = False,
    ) -> None:
        check_pair(predictor, tokenizer)
        if max_context is not None and max_context < 1:
            raise InputError(f"max_context must be at least 1, not {max_context}")
        if max_context is not None and max_context > tokenizer.max_context:
            warnings.warn(
                f"max_context {max_context} is more than the {tokenizer.max_context} bars this kind of model was "
                "trained to see: forecasts past that are extrapolation",
                stacklevel=2,
            )
        self.tokenizer = tokenizer.eval()
        self.predictor = predictor.eval()
        self.max_context = max_context or tokenizer.max_context
        self.clip = clip
        self.rescale = rescale

    def to(self, device: torch.device | str) -> "Forecaster":
        """Move both models; returns itself."""
        self.tokenizer.to(device)
        self.predictor.to(device)
        return self

    @torch.inference_mode()
    def paths(
        self,
        context_BCF: Tensor,
        stamp_BC5: Tensor,
        future_stamp_BH5: Tensor,
        uniforms_BPH2: Tensor,
        sampling: Sampling,
        on_step: Callable[[], None] = lambda: None,
    ) -> Tensor:
        """Sample futures of series that have the same number of past bars.

        Statistics and tokens come from all C bars, also where C is more than `max_context`; the predictor sees the
        last `max_context` tokens.

        Args:
            context_BCF: past bars in the order of `FIELDS`, any units, no NaN.
            stamp_BC5: their calendar features, see `time_features`.
            future_stamp_BH5: those of the bars to forecast; H ≤ max_context.
            uniforms_BPH2: random numbers in [0, 1), see `series_uniforms`.
            sampling: how tokens are drawn.
            on_step: called after each of the H steps.

        Returns:
            float32 [B, P, H, F] in the units of the context, on the models' device.
        """
        paths, horizon = uniforms_BPH2.shape[1:3]
        if horizon > self.max_context:
            raise InputError(f"pred_len {horizon} is more than max_context {self.max_context}")
        device = self.predictor.norm.weight.device
        # float64 holds amounts of 1e11 to the cent; the models see float32
        context = context_BCF.to(device, torch.float64 if device.type != "mps" else torch.float32)
        scale = fit_scale(context, self.rescale)
        normalised = normalise(context, scale, self.clip).to(self.tokenizer.embed.weight.dtype)
        s1_BC, s2_BC = self.tokenizer.encode(normalised, half=True)
        s1, s2 = generate(
            self.predictor,
            s1_BC,
            s2_BC,
            stamp_BC5.to(device),
            future_stamp_BH5.to(device),
            uniforms_BPH2.to(device),
            sampling,
            self.max_context,
            on_step,
        )
        decoded = self.tokenizer.decode((s1[:, -self.max_context :], s2[:, -self.max_context :]), half=True)
        future_BPHF = decoded[:, -horizon:].unflatten(0, (-1, paths)).to(context.dtype)
        wide_scale = Scale(*(statistic.unsqueeze(1) for statistic in scale))  # the same for every path
        return denormalise(future_BPHF, wide_scale).float()
