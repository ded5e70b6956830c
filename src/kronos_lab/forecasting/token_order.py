"""Which tokens stand for high prices: the order in which stratified draws go through them."""

import torch
from torch import Tensor

from kronos_lab.data.bars import FIELDS
from kronos_lab.models.tokenizer import KronosTokenizer

CLOSE = FIELDS.index("close")
PARTNERS = 64  # of the other half, with which a token is decoded


@torch.inference_mode()
def close_order(tokenizer: KronosTokenizer) -> tuple[Tensor, Tensor]:
    """Tokens s1 [V1] and s2 [V2] of a tokenizer from low to high closes, int64, on its device.

    The close of a token is that of a bar on its own, in normalised units, as a mean over some tokens of the other
    half: a bar among others decodes to something else, but hardly in another order.
    """
    device = tokenizer.embed.weight.device
    s1_V, s2_V = (torch.arange(2**bits, device=device) for bits in (tokenizer.s1_bits, tokenizer.s2_bits))

    def closes(s1: Tensor, s2: Tensor) -> Tensor:
        """Closes of all pairs [len(s1), len(s2)]."""
        pairs = s1.repeat_interleave(len(s2)).unsqueeze(1), s2.repeat(len(s1)).unsqueeze(1)
        return tokenizer.decode(pairs, half=True)[:, 0, CLOSE].view(len(s1), len(s2))

    return (
        closes(s1_V, _spread(s2_V)).mean(dim=1).argsort(stable=True),
        closes(_spread(s1_V), s2_V).mean(dim=0).argsort(stable=True),
    )


def _spread(token_V: Tensor) -> Tensor:
    """Some tokens, always the same, chosen by lot: evenly spaced ones would share their last bits."""
    chosen = torch.randperm(len(token_V), generator=torch.Generator().manual_seed(0))[:PARTNERS]
    return token_V[chosen.to(token_V.device)]
