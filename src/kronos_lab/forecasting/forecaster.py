"""From raw past bars to sampled raw future bars, on tensors.

Shapes: B series, P paths, C context bars, H horizon bars, F = 6 fields. Prices in currency per share, volume in
shares, amount in currency: whatever units go in come out.
"""

import warnings
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from kronos_lab.data.bars import FIELDS, PRICES
from kronos_lab.data.normaliser import CLIP, Scale, denormalise, fit_scale, normalise
from kronos_lab.data.settings import switch
from kronos_lab.errors import InputError
from kronos_lab.forecasting.decoding import Overflow, Prompt, Window, generate
from kronos_lab.forecasting.detokenising import decode_paths
from kronos_lab.forecasting.key_values import series_at_once
from kronos_lab.forecasting.path_decoder import DependencyRope
from kronos_lab.forecasting.token_order import close_order
from kronos_lab.forecasting.token_sampling import Sampling
from kronos_lab.models.pair import check_pair
from kronos_lab.models.predictor import Kronos
from kronos_lab.models.tokenizer import KronosTokenizer

Precision = Literal["float32", "bfloat16"]
CLOSE = FIELDS.index("close")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Forecaster:
    """Tokenizer and predictor joined: raw past bars in, sampled raw future bars out.

    Args:
        tokenizer: put into evaluation mode; it stays in float32.
        predictor: put into evaluation mode and, where `precision` asks for it, cast.
        max_context: bars seen at the most; None is what the published models of this kind were trained with.
        clip: bound of normalised values.
        rescale: see `fit_scale`.
        overflow, hop, dependency_rope: see `Window`.
        precision: of the predictor's arithmetic; None leaves it as it is.
        anchor: scale the prices of a forecast so that the last bar of its context, as the tokens have it, closes
            where it really closed. Tokens are coarse: without it their error in that one bar is part of every return
            forecast. The original does not do this.

    Raises:
        InputError: tokenizer and predictor do not belong together, or there is no such choice.
    """

    def __init__(
        self,
        tokenizer: KronosTokenizer,
        predictor: Kronos,
        max_context: int | None = None,
        clip: float = CLIP,
        rescale: bool = False,
        overflow: Overflow = "exact",
        hop: int | None = None,
        dependency_rope: DependencyRope = "published",
        precision: Precision | None = None,
        anchor: bool = False,
    ) -> None:
        check_pair(predictor, tokenizer)
        if precision is not None and precision not in DTYPES:
            raise InputError(f"precision={precision}: choose one of {', '.join(DTYPES)}")
        self.window = Window(
            tokenizer.max_context if max_context is None else max_context, overflow, hop, dependency_rope
        )
        if self.window.max_context > tokenizer.max_context:
            warnings.warn(
                f"max_context {max_context} is more than the {tokenizer.max_context} bars this kind of model was "
                "trained to see: forecasts past that are extrapolation",
                stacklevel=2,
            )
        self.tokenizer = tokenizer.eval()
        self.predictor = predictor.eval()
        if precision is not None:
            self.predictor.to(DTYPES[precision])
        self.clip = clip
        self.rescale = rescale
        self.anchor = switch("forecast.anchor", anchor)
        self._orders: tuple[Tensor, Tensor] | None = None

    @property
    def precision(self) -> str:
        """Of the predictor's arithmetic: "float32", "bfloat16"."""
        return str(self.predictor.norm.weight.dtype).removeprefix("torch.")

    @property
    def device(self) -> torch.device:
        """Where the models are."""
        return self.predictor.norm.weight.device

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
        lengths_B: Tensor | None = None,
        rows_at_once: int | None = None,
        on_bars: Callable[[int], None] = lambda bars: None,
    ) -> Tensor:
        """Sample futures of a batch of series.

        Statistics and tokens come from all bars of a context, also where there are more than `max_context`; the
        predictor sees the last `max_context` tokens.

        Args:
            context_BCF: past bars in the order of `FIELDS`, any units, no NaN; shorter series padded at the end.
            stamp_BC5: their calendar features, see `time_features`.
            future_stamp_BH5: those of the bars to forecast; H ≤ max_context.
            uniforms_BPH2: random numbers in [0, 1), see `series_uniforms`.
            sampling: how tokens are drawn.
            lengths_B: bars of each series, int64; None is C for all. Where the window overflows they must be equal,
                those above `max_context` apart.
            rows_at_once: upper bound on series × paths decoded together; further paths wait.
            on_bars: called with the number of bars generated since the last call, B · P · H in all.

        Returns:
            float32 [B, P, H, F] in the units of the context, on the CPU.

        Raises:
            InputError: H is more than max_context, or series of several lengths overflow the window.
        """
        horizon, size = uniforms_BPH2.shape[2], self.window.max_context
        if horizon > size:
            raise InputError(f"a horizon (pred_len) of {horizon} bars is more than max_context {size}")
        if self.anchor and horizon >= size - 1:
            raise InputError(f"forecast.anchor=true: a horizon of {horizon} leaves no context in max_context {size}")
        if lengths_B is None:
            lengths_B = torch.full((len(context_BCF),), context_BCF.shape[1])
        longest, seen_B = int(lengths_B.max()), lengths_B.clamp(max=size)
        if bool((seen_B != seen_B[0]).any()) and not self.window.holds(longest, horizon):
            raise InputError("series of several lengths overflow max_context: forecast each length in its own batch")
        # Statistics on the CPU and in float64: it holds amounts of 1e11 to the cent, and not every device has it.
        context_BCF = context_BCF[:, :longest].cpu().double()
        scale = _scale_of_lookbacks(context_BCF, lengths_B, self.rescale)
        normalised_BCF = normalise(context_BCF, scale, self.clip)
        s1_BC, s2_BC = self._tokens(normalised_BCF.to(self.device, self.tokenizer.embed.weight.dtype))
        row_B1 = torch.arange(len(lengths_B)).unsqueeze(1)
        bar_BC = (lengths_B - seen_B).unsqueeze(1) + torch.arange(min(longest, size))  # padding ends where C does
        seen = (row_B1.to(self.device), bar_BC.to(self.device))
        stamp_BC5 = stamp_BC5.to(self.device)
        prompt = Prompt(s1_BC[seen], s2_BC[seen], stamp_BC5[seen], future_stamp_BH5.to(self.device), seen_B)
        generated = generate(
            self.predictor,
            prompt,
            uniforms_BPH2.to(self.device),
            sampling,
            self.window,
            rows_at_once,
            on_bars,
            self._token_orders() if sampling.stratified else None,
        )
        context, close_B = (prompt.s1_BC, prompt.s2_BC), context_BCF[row_B1[:, 0], lengths_B - 1, CLOSE]
        if self.anchor:
            context, generated, seen_B = _last_bar_first(context, generated, seen_B)
        future_BPHF = decode_paths(self.tokenizer, context, generated, seen_B, size, rows_at_once)
        for_every_path = Scale(*(statistic.unsqueeze(1) for statistic in scale))
        future_BPHF = denormalise(future_BPHF.cpu().double(), for_every_path)
        return (_anchored(future_BPHF, close_B) if self.anchor else future_BPHF).float()

    def _token_orders(self) -> tuple[Tensor, Tensor]:
        """Tokens of each half from low to high closes: parts of the probability are then parts of the price."""
        if self._orders is None or self._orders[0].device != self.device:
            self._orders = close_order(self.tokenizer)
        return self._orders

    def _tokens(self, normalised_BCF: Tensor) -> tuple[Tensor, Tensor]:
        """Coarse and fine tokens of bars, int32 [B, C] each; a part of the series at a time."""
        s1_BC = torch.empty(normalised_BCF.shape[:2], dtype=torch.int32, device=normalised_BCF.device)
        s2_BC = torch.empty_like(s1_BC)
        size = series_at_once(s1_BC.shape[1], s1_BC.device)
        for begin in range(0, len(s1_BC), size):
            part = slice(begin, begin + size)
            s1_BC[part], s2_BC[part] = self.tokenizer.encode(normalised_BCF[part], half=True)
        return s1_BC, s2_BC


def _scale_of_lookbacks(context_BCF: Tensor, lengths_B: Tensor, rescale: bool) -> Scale:
    """Statistics of each series over its own bars, without the padding."""
    if int(lengths_B.min()) == context_BCF.shape[1]:
        return fit_scale(context_BCF, rescale)
    each = [fit_scale(bars_CF[None, :length], rescale) for bars_CF, length in zip(context_BCF, lengths_B, strict=True)]
    return Scale(*(torch.cat(statistics) for statistics in zip(*each, strict=True)))


def _last_bar_first(
    context_BC: tuple[Tensor, Tensor], generated_BPH: tuple[Tensor, Tensor], lengths_B: Tensor
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Tensor]:
    """Tokens, and lengths of contexts, with the last bar of each context moved to the front of its paths."""
    shorter_B = lengths_B - 1
    last_B1 = shorter_B.unsqueeze(1).to(context_BC[0].device)

    def moved(context_BC: Tensor, new_BPH: Tensor) -> Tensor:
        first_B11 = context_BC.gather(1, last_B1).unsqueeze(1)
        return torch.cat((first_B11.expand(-1, new_BPH.shape[1], 1).to(new_BPH.dtype), new_BPH), dim=2)

    longest = int(shorter_B.max())
    context = context_BC[0][:, :longest], context_BC[1][:, :longest]
    return context, (moved(context_BC[0], generated_BPH[0]), moved(context_BC[1], generated_BPH[1])), shorter_B


def _anchored(bars_BPHF: Tensor, close_B: Tensor) -> Tensor:
    """Forecast bars with prices scaled so that the bar ahead of them, which is taken off, closes at `close_B`."""
    ratio_BP1 = close_B[:, None, None] / bars_BPHF[:, :, 0, CLOSE, None]
    bars_BPHF = bars_BPHF[:, :, 1:].clone()
    bars_BPHF[..., : len(PRICES)] *= ratio_BP1.unsqueeze(-1)
    return bars_BPHF
