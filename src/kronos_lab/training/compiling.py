"""`compile=true`: transformer blocks compiled by torch for as long as a stage is trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kronos_lab.errors import InputError
from kronos_lab.models.layers import TransformerBlock

# Sizes of a batch, with gradients and without, frozen blocks and trained ones; above torch's limit of 8 it would go on
# without compiled kernels.
KERNELS_OF_A_BLOCK = 64


@contextmanager
def compiled_blocks(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Compile the blocks of a network, in place; afterwards they are as before. No name of a weight changes.

    Blocks are where the time goes, and all blocks of a stack share what is compiled for one: once for each size of a
    batch, with gradients and without (sizes differ by one window within an epoch, and in validation). The kernels of
    a size do not depend on the sizes seen before it, so that a resumed stage goes on bit by bit wherever it begins.

    Args:
        network: a tokenizer or predictor, with adapters or without.
        device: where it is trained.

    Raises:
        InputError: this machine cannot compile for the device.
    """
    _check_compiler(device)
    # On a CPU the random numbers of eager mode, which are faster there; on a GPU kernels draw their own.
    options: dict[str, Any] = {"fallback_random": True} if device.type == "cpu" else {}
    blocks = [block for block in network.modules() if isinstance(block, TransformerBlock)]
    for block in blocks:
        block.compile(dynamic=False, options=options)
    try:
        with torch._dynamo.config.patch(recompile_limit=KERNELS_OF_A_BLOCK):
            yield
    finally:
        for block in blocks:
            block._compiled_call_impl = None
        torch._dynamo.reset()  # what a stage has compiled is of no use to the next


def _check_compiler(device: torch.device) -> None:
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        if not has_triton():
            raise InputError("compile=true needs triton on CUDA: install it, or leave out compile=true")
        return
    home = Path(torch.__file__).parent
    if " " in str(home):
        raise InputError(
            f"compile=true: on a CPU torch cannot link to what lies in a path with a space, as {home}: put the "
            "environment elsewhere, or leave out compile=true"
        )
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise InputError(
            "compile=true needs a C++ compiler on a CPU: install g++ or clang (CXX=<path> names one), "
            "or leave out compile=true"
        ) from error
