"""Autoregressive decoding of token pairs with a key/value cache: the prompt is encoded once, then one token a step.

Shapes: B series, P paths, C context bars, H horizon bars.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from kronos_lab.forecasting.token_sampling import Sampling
from kronos_lab.models.predictor import Kronos, PredictorCache


def generate(
    predictor: Kronos,
    s1_BC: Tensor,
    s2_BC: Tensor,
    stamp_BC5: Tensor,
    future_stamp_BH5: Tensor,
    uniforms_BPH2: Tensor,
    sampling: Sampling,
    max_context: int,
    on_step: Callable[[], None] = lambda: None,
) -> tuple[Tensor, Tensor]:
    """Sample P futures of each series.

    While prompt and generated tokens fit into `max_context`, keys and values are cached and every step computes one
    position. Past it the window slides by one bar a step and is recomputed from its first bar, positions counted
    from 0, as in the original.

    Args:
        predictor: in evaluation mode.
        s1_BC: coarse tokens of the context.
        s2_BC: fine tokens of the context.
        stamp_BC5: calendar features of the context bars.
        future_stamp_BH5: those of the bars to generate; the last has no effect.
        uniforms_BPH2: in [0, 1), one for each token drawn.
        sampling: how a token is drawn.
        max_context: bars the predictor sees at the most.
        on_step: called after each generated bar.

    Returns:
        s1 and s2 of context (its last `max_context` bars) and generated bars, int64 [B · P, C' + H] each.
    """
    s1_BC, s2_BC, stamp_BC5 = s1_BC[:, -max_context:], s2_BC[:, -max_context:], stamp_BC5[:, -max_context:]
    paths, horizon = uniforms_BPH2.shape[1:3]
    context = s1_BC.shape[1]
    uniforms = uniforms_BPH2.flatten(0, 1)
    stamp = torch.cat((stamp_BC5, future_stamp_BH5), dim=1).repeat_interleave(paths, dim=0)
    s1 = _with_room(s1_BC, paths, horizon)
    s2 = _with_room(s2_BC, paths, horizon)

    cache = PredictorCache(len(predictor.transformer), capacity=min(context + horizon, max_context))
    for step in range(horizon):
        end = context + step  # bars known so far
        if step == 0:  # paths share the context: it is encoded once per series
            s1_logits, hidden = predictor.next_s1_logits(s1_BC, s2_BC, stamp_BC5, cache)
            s1_logits, hidden = (x.repeat_interleave(paths, dim=0) for x in (s1_logits, hidden))
            cache.repeat_series(paths)
        else:
            begin = end - 1
            if end > max_context:
                begin = end - max_context
                cache = PredictorCache(len(predictor.transformer), capacity=max_context)
            window = slice(begin, end)
            s1_logits, hidden = predictor.next_s1_logits(s1[:, window], s2[:, window], stamp[:, window], cache)
        s1[:, end] = sampling.draw(s1_logits, uniforms[:, step, 0])
        s2_logits = predictor.next_s2_logits(hidden, s1[:, end], cache)
        s2[:, end] = sampling.draw(s2_logits, uniforms[:, step, 1])
        on_step()
    return s1, s2


def _with_room(tokens_BC: Tensor, paths: int, horizon: int) -> Tensor:
    """Copies of the context for each path, with `horizon` free places behind it."""
    repeated = tokens_BC.repeat_interleave(paths, dim=0)
    return torch.cat((repeated, repeated.new_zeros(repeated.shape[0], horizon)), dim=1)
