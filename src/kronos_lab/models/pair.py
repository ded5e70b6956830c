"""Which predictor goes with which tokenizer."""

import torch

from kronos_lab.errors import InputError
from kronos_lab.models.predictor import Kronos
from kronos_lab.models.tokenizer import KronosTokenizer

# The predictor's config.json does not say which tokenizer it was trained with, but both published tokenizers have
# 10 + 10 bits. Its size tells: (n_layers, d_model) of mini, small and base → group_size of their tokenizer.
_GROUP_SIZE_OF_PUBLISHED = {(4, 256): 5, (8, 512): 4, (12, 832): 4}


def check_pair(predictor: Kronos, tokenizer: KronosTokenizer) -> None:
    """Refuse a predictor and a tokenizer that were not made for each other.

    Raises:
        InputError: the bits differ, or the predictor has the size of a published one whose tokenizer has another
            `group_size`.
    """
    bits = {
        "predictor": (predictor.s1_bits, predictor.s2_bits),
        "tokenizer": (tokenizer.s1_bits, tokenizer.s2_bits),
    }
    if bits["predictor"] != bits["tokenizer"]:
        raise InputError(
            "predictor and tokenizer do not belong together: s1+s2 bits are "
            + " and ".join(f"{s1}+{s2} ({who})" for who, (s1, s2) in bits.items())
        )
    size = (len(predictor.transformer), predictor.embedding.emb_s1.embedding_dim)
    expected = _GROUP_SIZE_OF_PUBLISHED.get(size) if bits["predictor"] == (10, 10) else None
    if expected is not None and tokenizer.group_size != expected:
        right = "Kronos-Tokenizer-2k" if expected == 5 else "Kronos-Tokenizer-base"
        raise InputError(
            f"predictor and tokenizer do not belong together: a Kronos of {size[0]} layers and width {size[1]} goes "
            f"with NeoQuasar/{right} (group_size {expected}), this tokenizer has group_size {tokenizer.group_size}"
        )


def untrained_like(tokenizer: KronosTokenizer, predictor: Kronos, seed: int) -> tuple[KronosTokenizer, Kronos]:
    """Both networks with random weights, those that `train.py seed=<seed>` starts from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return KronosTokenizer(**tokenizer.config), Kronos(**predictor.config)
