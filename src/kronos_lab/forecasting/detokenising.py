"""Generated tokens back to bars: the tokenizer's decoder, run over a context once for all paths that share it.

Shapes: B series, P paths, C context bars, H horizon bars, F fields, D width.
"""

import torch
from torch import Tensor

from kronos_lab.forecasting.key_values import FollowContext, KeyValueBuffer, StoreContext, additive, series_at_once
from kronos_lab.models.layers import TransformerBlock
from kronos_lab.models.tokenizer import KronosTokenizer

MOST_PASSES_OF_PATHS = 16  # paths decoded together, in contexts' worth of memory


def decode_paths(
    tokenizer: KronosTokenizer,
    context_BC: tuple[Tensor, Tensor],
    generated_BPH: tuple[Tensor, Tensor],
    lengths_B: Tensor,
    max_context: int,
    rows_at_once: int | None = None,
) -> Tensor:
    """Decode the last `max_context` bars of context and generated ones, and return the generated ones.

    Args:
        tokenizer: in evaluation mode.
        context_BC: s1 and s2 of the contexts, padded at the end to the longest.
        generated_BPH: s1 and s2 of what follows them.
        lengths_B: bars of each context, on the CPU; equal where contexts are cut.
        max_context: bars decoded in one causal pass, at the most.
        rows_at_once: upper bound on series × paths decoded together.

    Returns:
        Normalised bars [B, P, H, F].
    """
    series, paths, horizon = generated_BPH[0].shape
    length = context_BC[0].shape[1]
    cut = max(0, length + horizon - max_context)
    device = context_BC[0].device
    # Paths share a pass over their context: many of them at once, as long as they are not too much by themselves.
    paths_at_once = min(paths, rows_at_once or paths, MOST_PASSES_OF_PATHS * series_at_once(length + horizon, device))
    size = series_at_once(length - cut + paths_at_once * horizon, device)
    bars_BPHF = torch.empty(series, paths, horizon, tokenizer.head.out_features, device=device)
    for begin in range(0, series, size):
        part = slice(begin, begin + size)
        context_BCD = tokenizer.embed_tokens(*(tokens[part, cut:] for tokens in context_BC))
        known_B = (lengths_B[part] - cut).to(device)
        for first in range(0, paths, paths_at_once):
            some = slice(first, first + paths_at_once)
            new_RHD = tokenizer.embed_tokens(*(tokens[part, some].flatten(0, 1) for tokens in generated_BPH))
            bars_BPHF[part, some] = _decode(tokenizer, context_BCD, new_RHD, known_B)
    return bars_BPHF


def _decode(tokenizer: KronosTokenizer, context_BCD: Tensor, new_RHD: Tensor, lengths_B: Tensor) -> Tensor:
    """The decoder's blocks over contexts [B, C, D] and rows of generated bars [B · P, H, D] → [B, P, H, F]."""
    length, horizon = context_BCD.shape[1], new_RHD.shape[1]
    paths = len(new_RHD) // len(context_BCD)
    last = len(tokenizer.decoder) - 1
    for layer, block in enumerate(tokenizer.decoder):
        assert isinstance(block, TransformerBlock)
        if layer == 0:
            rotation = block.self_attn.rotary(length + horizon)
            position_BH = lengths_B.unsqueeze(1) + torch.arange(horizon, device=lengths_B.device)
            of_context, of_new = rotation.at(slice(length)), rotation.at(position_BH.repeat_interleave(paths, dim=0))
            mask = _mask(lengths_B, length, horizon, new_RHD.dtype).repeat_interleave(paths, dim=0)
        buffer = KeyValueBuffer(block.self_attn, len(context_BCD), length)
        if layer < last:
            context_BCD = block(context_BCD, of_context, store=StoreContext(buffer, slice(None)))
        else:  # of the context only keys and values are still needed
            buffer.write(*block.self_attn.keys_values(block.norm1(context_BCD), of_context))
        new_RHD = block(new_RHD, of_new, store=FollowContext(buffer, paths, mask))
    return tokenizer.head(new_RHD).unflatten(0, (-1, paths))


def _mask(lengths_B: Tensor, length: int, horizon: int, dtype: torch.dtype) -> Tensor:
    """What is added to the scores of generated bars, [B, 1, H, C + H]: their context without padding, then causal."""
    device = lengths_B.device
    known_B11C = (torch.arange(length, device=device) < lengths_B.unsqueeze(1))[:, None, None]
    causal_HH = torch.ones(horizon, horizon, dtype=torch.bool, device=device).tril()
    series = len(lengths_B)
    return additive(
        torch.cat((known_B11C.expand(-1, -1, horizon, -1), causal_HH.expand(series, 1, -1, -1)), dim=-1), dtype
    )
