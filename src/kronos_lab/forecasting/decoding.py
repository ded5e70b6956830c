"""Autoregressive decoding of token pairs: which bars the predictor sees at each step, and what is drawn.

While context and generated bars fit into the window, each step computes one position per path (`PathDecoder`). Past
it, `overflow` decides.

Shapes: B series, P paths, G paths decoded together, C context bars, H horizon bars, M = max_context.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from kronos_lab.data.settings import whole_number
from kronos_lab.errors import InputError
from kronos_lab.forecasting.key_values import series_at_once
from kronos_lab.forecasting.path_decoder import DependencyRope, PathDecoder
from kronos_lab.forecasting.token_sampling import Sampling
from kronos_lab.models.predictor import Kronos

Overflow = Literal["exact", "hop"]

# Fewer rows than this leave the matrix units waiting for the weights, whatever else is saved.
FEWEST_ROWS = 64


@dataclass(frozen=True)
class Window:
    """What the predictor sees of a long series.

    Attributes:
        max_context: bars seen at the most, M.
        overflow: past the window, "exact" drops one bar a step and computes the whole window anew, as the original
            does; "hop" drops `hop` bars at once and computes anew only then, so that a step sees M − hop to M bars.
        hop: bars dropped at once, from 1 to M − 1; None is an eighth of the window.
        dependency_rope: see `PathDecoder`.
    """

    max_context: int
    overflow: Overflow = "exact"
    hop: int | None = None
    dependency_rope: DependencyRope = "published"

    def __post_init__(self) -> None:
        whole_number("max_context", self.max_context, 1)
        if self.hop is not None:
            whole_number("hop", self.hop, 1, max(1, self.max_context - 1))
        for name, kind in (("overflow", Overflow), ("dependency_rope", DependencyRope)):
            if getattr(self, name) not in get_args(kind):
                raise InputError(f"{name}={getattr(self, name)}: choose one of {', '.join(get_args(kind))}")

    def holds(self, context: int, horizon: int) -> bool:
        """Whether context and generated bars fit into it together."""
        return context + horizon <= self.max_context

    def hops(self, context: int, horizon: int) -> Iterator[tuple[int, int, int]]:
        """Windows one after the other: (its first bar, first step, step after its last), bars counted from the context.

        Under "exact" there is one, and the steps it leaves out slide.
        """
        start, step = max(0, context - self.max_context), 0
        while step < horizon:
            end = min(horizon, start + self.max_context - context + 1)  # step k sees context + k - start bars
            yield start, step, end
            if self.overflow == "exact":
                return
            start, step = start + (self.hop or max(1, self.max_context // 8)), end


class Prompt(NamedTuple):
    """Tokens of the contexts, padded at the end to the longest, and stamps.

    Attributes:
        s1_BC: coarse tokens.
        s2_BC: fine tokens.
        stamp_BC5: calendar features of the context bars.
        future_stamp_BH5: those of the bars to generate; the last has no effect.
        lengths_B: bars of each context, on the CPU; equal where a window overflows.
    """

    s1_BC: Tensor
    s2_BC: Tensor
    stamp_BC5: Tensor
    future_stamp_BH5: Tensor
    lengths_B: Tensor


def generate(
    predictor: Kronos,
    prompt: Prompt,
    uniforms_BPH2: Tensor,
    sampling: Sampling,
    window: Window,
    rows_at_once: int | None = None,
    on_bars: Callable[[int], None] = lambda bars: None,
    orders: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Sample P futures of each series.

    Args:
        predictor: in evaluation mode.
        prompt: what is known of the B series.
        uniforms_BPH2: in [0, 1), one for each token drawn.
        sampling: how a token is drawn.
        window: what the predictor sees.
        rows_at_once: upper bound on series × paths decoded together; more paths are decoded bundle after bundle.
        on_bars: called with the number of bars generated since the last call.
        orders: of the tokens s1 and s2, see `Sampling.draw`; None: as they are numbered.

    Returns:
        s1 and s2 of the generated bars, int32 [B, P, H] each.

    Raises:
        InputError: weights or logits are not finite.
    """
    series, paths, horizon = uniforms_BPH2.shape[:3]
    context = prompt.s1_BC.shape[1]
    tokens = _Tokens(uniforms_BPH2, sampling, on_bars, orders)
    bundles = _bundles(series, paths, context, horizon, rows_at_once)
    end = 0
    for start, first, end in window.hops(context, horizon):
        _decode_window(predictor, prompt, tokens, window.dependency_rope, bundles, start, first, end)
    if end < horizon:
        _slide_window(predictor, prompt, tokens, window, end)
    if not tokens.finite:
        raise InputError("the predictor's numbers are not finite: the checkpoint is broken")
    return tokens.s1_BPH, tokens.s2_BPH


class _Tokens:
    """The tokens generated so far, and how the next are drawn."""

    def __init__(
        self,
        uniforms_BPH2: Tensor,
        sampling: Sampling,
        on_bars: Callable[[int], None],
        orders: tuple[Tensor, Tensor] | None,
    ) -> None:
        self.s1_BPH = torch.zeros(uniforms_BPH2.shape[:3], dtype=torch.int32, device=uniforms_BPH2.device)
        self.s2_BPH = torch.zeros_like(self.s1_BPH)
        self._uniforms_BPH2 = uniforms_BPH2
        self._sampling = sampling
        self._orders = (None, None) if orders is None else orders
        self._on_bars = on_bars
        self._finite = torch.ones((), dtype=torch.bool, device=uniforms_BPH2.device)

    @property
    def finite(self) -> bool:
        """Whether all that was drawn from was finite; looked at once, so that no step waits for a GPU."""
        return bool(self._finite)

    def draw(
        self, decoder: PathDecoder, h_BGD: Tensor, series: slice | Tensor, paths: slice | Tensor, step: int
    ) -> None:
        """Draw the pair of one step for some series and paths, given hidden states of the bar before.

        Slices choose a block [B, G]; index tensors [R], one path each, go with hidden states [R, 1, D].
        """
        uniforms_BG2 = self._uniforms_BPH2[series, paths, step].view(*h_BGD.shape[:2], 2)
        s1_BG = self._sampling.draw(decoder.s1_logits(h_BGD), uniforms_BG2[..., 0], self._orders[0])
        s2_BG = self._sampling.draw(decoder.s2_logits(h_BGD, s1_BG), uniforms_BG2[..., 1], self._orders[1])
        chosen = self.s1_BPH[series, paths, step].shape
        self.s1_BPH[series, paths, step] = s1_BG.int().view(chosen)
        self.s2_BPH[series, paths, step] = s2_BG.int().view(chosen)
        self._finite &= h_BGD.isfinite().all()
        self._on_bars(s1_BG.numel())


def _bundles(series: int, paths: int, context: int, horizon: int, rows_at_once: int | None) -> list[slice]:
    """Paths decoded together.

    A bundle looks through the generated bars of all its paths, so these should not be many more than the context's.
    """
    most = max(1, 2 * context // horizon, FEWEST_ROWS // series)
    if rows_at_once is not None:
        most = max(1, min(most, rows_at_once // series))
    return [slice(begin, min(begin + most, paths)) for begin in range(0, paths, most)]


def _decode_window(
    predictor: Kronos,
    prompt: Prompt,
    tokens: _Tokens,
    rope: DependencyRope,
    bundles: list[slice],
    start: int,
    first: int,
    end: int,
) -> None:
    """Generate steps `first .. end - 1`, all of which see the bars from `start` on."""
    s1_BC, s2_BC, stamp_BC5 = prompt.s1_BC[:, start:], prompt.s2_BC[:, start:], prompt.stamp_BC5[:, start:]
    known = max(0, start - prompt.s1_BC.shape[1])  # the window's first generated bar
    decoder = PathDecoder(
        predictor,
        lengths_B=(prompt.lengths_B - start).clamp(min=0),
        paths=bundles[0].stop,
        steps=end - 1 - known,
        dependency_rope=rope,
    )
    if s1_BC.shape[1]:
        decoder.encode_context(s1_BC, s2_BC, stamp_BC5)
    for bundle in bundles:
        h_BGD = decoder.restart(bundle.stop - bundle.start)
        for step in range(first, end):
            begin = known if step == first else step - 1
            if begin < step:
                new = slice(begin, step)
                h_BGD = decoder.extend(
                    tokens.s1_BPH[:, bundle, new], tokens.s2_BPH[:, bundle, new], prompt.future_stamp_BH5[:, new]
                )
            tokens.draw(decoder, h_BGD, slice(None), bundle, step)


def _slide_window(predictor: Kronos, prompt: Prompt, tokens: _Tokens, window: Window, first: int) -> None:
    """Generate the steps from `first` on, each of which sees exactly the last M bars, numbered from 0."""
    size, context = window.max_context, prompt.s1_BC.shape[1]
    series, paths, horizon = tokens.s1_BPH.shape
    stamp_BT5 = torch.cat((prompt.stamp_BC5, prompt.future_stamp_BH5), dim=1)
    row_R = torch.arange(series * paths, device=stamp_BT5.device)
    for rows in row_R.split(series_at_once(size, stamp_BT5.device)):
        of_series, path = rows // paths, rows % paths
        decoder = PathDecoder(predictor, torch.full((len(rows),), size), 1, 0, window.dependency_rope)
        for step in range(first, horizon):
            s1_RT, s2_RT = (
                torch.cat((known[of_series], generated[of_series, path, :step]), dim=1)[:, -size:]
                for known, generated in ((prompt.s1_BC, tokens.s1_BPH), (prompt.s2_BC, tokens.s2_BPH))
            )
            end = context + step
            decoder.encode_context(s1_RT, s2_RT, stamp_BT5[of_series, end - size : end])
            tokens.draw(decoder, decoder.restart(1), of_series, path, step)
