"""The plain decoder that speed is measured against: every bar of every path computes the whole window anew.

Written for clarity from the models' public calls alone, the way the original forecasts. The tests hold it to the
recorded reference outputs, and the fast decoder to it.

Shapes: B series, P paths, C context bars, H horizon bars, F = 6 fields.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from kronos_lab.data.normaliser import CLIP, denormalise, fit_scale, normalise
from kronos_lab.forecasting.series_batches import Series
from kronos_lab.forecasting.token_sampling import Sampling
from kronos_lab.models.predictor import Kronos
from kronos_lab.models.tokenizer import KronosTokenizer


class RecomputingForecaster:
    """Tokenizer and predictor joined, with nothing kept from one bar to the next.

    Args:
        tokenizer: in evaluation mode.
        predictor: in evaluation mode.
        max_context: bars seen at the most.
        clip: bound of normalised values.
    """

    def __init__(
        self, tokenizer: KronosTokenizer, predictor: Kronos, max_context: int = 512, clip: float = CLIP
    ) -> None:
        self.tokenizer = tokenizer
        self.predictor = predictor
        self.max_context = max_context
        self.clip = clip

    @torch.inference_mode()
    def paths(
        self,
        context_BCF: Tensor,
        stamp_BC5: Tensor,
        future_stamp_BH5: Tensor,
        uniforms_BPH2: Tensor,
        sampling: Sampling,
    ) -> Tensor:
        """Sample futures, float32 [B, P, H, F]; arguments as those of `Forecaster.paths`."""
        device = self.predictor.norm.weight.device
        paths, horizon = uniforms_BPH2.shape[1:3]
        context_RCF = context_BCF.double().repeat_interleave(paths, dim=0)
        stamp_RT5 = torch.cat((stamp_BC5, future_stamp_BH5), dim=1).repeat_interleave(paths, dim=0).to(device)
        scale = fit_scale(context_RCF)
        s1_RC, s2_RC = self.tokenizer.encode(normalise(context_RCF, scale, self.clip).float().to(device), half=True)
        s1_RT, s2_RT = self.generate(s1_RC, s2_RC, stamp_RT5, uniforms_BPH2.flatten(0, 1).to(device), sampling)
        window = slice(-self.max_context, None)
        bars_RTF = self.tokenizer.decode((s1_RT[:, window], s2_RT[:, window]), half=True)
        return denormalise(bars_RTF[:, -horizon:].cpu().double(), scale).float().unflatten(0, (-1, paths))

    def generate(
        self, s1_RC: Tensor, s2_RC: Tensor, stamp_RT5: Tensor, uniforms_RH2: Tensor, sampling: Sampling
    ) -> tuple[Tensor, Tensor]:
        """Continue rows of tokens by H bars: s1 and s2 [R, C + H], given stamps of all C + H bars."""
        for step in range(uniforms_RH2.shape[1]):
            end = s1_RC.shape[1]
            window = slice(max(0, end - self.max_context), end)
            s1_logits, h = self.predictor.decode_s1(s1_RC[:, window], s2_RC[:, window], stamp_RT5[:, window])
            s1_R = sampling.draw(s1_logits[:, -1], uniforms_RH2[:, step, 0])
            s2_logits = self.predictor.decode_s2(h, s1_R.unsqueeze(1))
            s2_R = sampling.draw(s2_logits[:, -1], uniforms_RH2[:, step, 1])
            s1_RC, s2_RC = torch.cat((s1_RC, s1_R.unsqueeze(1)), 1), torch.cat((s2_RC, s2_R.unsqueeze(1)), 1)
        return s1_RC, s2_RC


class Reference:
    """Series through the recomputing decoder, the best token each time.

    Args:
        tokenizer: in evaluation mode.
        predictor: in evaluation mode.
        series: of one length, horizon and number of paths.
        max_context: bars seen at the most.
    """

    def __init__(
        self, tokenizer: KronosTokenizer, predictor: Kronos, series: Sequence[Series], max_context: int
    ) -> None:
        self._forecaster = RecomputingForecaster(tokenizer, predictor, max_context)
        context, stamp, future_stamp, uniforms = (
            torch.stack([torch.from_numpy(one[part]) for one in series]) for part in range(4)
        )
        self._inputs = (context, stamp, future_stamp, uniforms)
        self._sampling = Sampling(top_k=1)

    def forecast(self) -> None:
        """Forecast them all."""
        self.paths_BPHF = self._forecaster.paths(*self._inputs, self._sampling)

    def deviation(self, forecasts: Sequence[np.ndarray]) -> float:
        """Largest difference from other forecasts of theirs [P, H, F], in standard deviations of the lookback."""
        other = torch.stack([torch.from_numpy(paths_PHF) for paths_PHF in forecasts])
        scale = self._inputs[0].double().std(1, correction=0)[:, None, None] + 1e-5
        return float(((self.paths_BPHF - other).abs() / scale).max())
