"""What a machine can do, measured: its name, its matrix and memory peaks, and the work that a forecast asks of it."""

import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop

MEBIBYTE = 2**20

# Attention of the CPU, which torch's own table of operations leaves out.
CPU_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
COUNTED = {**flop_registry, CPU_ATTENTION: lambda q, k, v, *_, out_val=None, **__: sdpa_flop(q.shape, k.shape, v.shape)}


class WorkCounter(TorchDispatchMode):
    """Counts what matrix products and attention do while it is entered.

    Attributes:
        flops: two for each multiplication and addition; attention counted without regard to its mask.
        bytes: what these operations must read and write at the least.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        count = COUNTED.get(func._overloadpacket)
        if count is None:
            with self:  # what the operation is made of, where it is made of others
                parts = func.decompose(*args, **kwargs)
            return func(*args, **kwargs) if parts is NotImplemented else parts
        out = func(*args, **kwargs)
        self.flops += count(*args, **kwargs, out_val=out)
        written = out[0] if isinstance(out, tuple) else out
        self.bytes += sum(x.numel() * x.element_size() for x in (*args, written) if isinstance(x, Tensor))
        return out


def seconds(work: Callable[[], Any], device: torch.device, repeats: int) -> list[float]:
    """Wall-clock seconds of each of some repeats, the device's queue emptied before and after."""
    taken = []
    for _ in range(repeats):
        synchronize(device)
        started = time.perf_counter()
        work()
        synchronize(device)
        taken.append(time.perf_counter() - started)
    return taken


def synchronize(device: torch.device) -> None:
    """Wait for what was queued on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def peaks(device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """Measured best of a large matrix product (flop/s) and of a large copy (bytes/s, read and written)."""
    size, copied = (2048, 64 * MEBIBYTE) if device.type == "cpu" else (8192, 1024 * MEBIBYTE)
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    source = torch.zeros(copied // 4, device=device)
    target = torch.empty_like(source)
    matrix = min(seconds(lambda: left @ right, device, 6)[1:])
    if device.type == "cpu" and dtype == torch.float32 and torch.backends.mkldnn.is_available():
        layout = left.to_mkldnn()  # twice the speed of the plain product where MKL does not know the processor
        matrix = min(matrix, *seconds(lambda: torch.nn.functional.linear(layout, right), device, 6)[1:])
    copy = min(seconds(lambda: target.copy_(source), device, 6)[1:])
    return {"matrix_flops_per_s": 2 * size**3 / matrix, "memory_bytes_per_s": 2 * copied / copy}


def host_peak_mib() -> float:
    """Most memory this process has held so far, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MEBIBYTE if platform.system() == "Darwin" else peak / 1024


def describe(device: torch.device, threads: int) -> dict[str, Any]:
    """The machine, for the record; nothing that names it within its network."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "torch": torch.__version__,
        "tf32": torch.backends.cuda.matmul.allow_tf32,
    }


def median(values: list[float]) -> float:
    """Middle of the values."""
    return statistics.median(values)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
