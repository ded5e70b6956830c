"""Products of a few rows with weights that come from memory: `kronos_lab.models.linear.Linear` against `nn.Linear`.

    python benchmarks/few_rows.py

Prints, for some shapes and rows, the ratio of times (above 1: ours is faster); medians, one thread.
"""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from kronos_lab.models.linear import MOST_FEW_ROWS, Linear

BEYOND_CACHES = 64 * 2**20  # bytes of weights that are gone through in turn


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    with torch.inference_mode():
        for inputs, outputs in ((256, 512), (512, 1024), (832, 2048), (1024, 512)):
            plain = [nn.Linear(inputs, outputs) for _ in range(BEYOND_CACHES // (4 * inputs * outputs))]
            ours = [Linear(inputs, outputs) for _ in plain]
            ratios = []
            for rows in range(2, MOST_FEW_ROWS + 1):
                x = torch.randn(rows, inputs)
                ratios.append(f"{rows} rows {seconds(plain, x) / seconds(ours, x):.2f}")
            print(f"{inputs} → {outputs}: {', '.join(ratios)}")


def seconds(layers: Sequence[Callable[[Tensor], Tensor]], x: Tensor) -> float:
    """Median over repeats of one pass of the rows through each layer."""
    taken = []
    for _ in range(9):
        started = time.perf_counter()
        for layer in layers:
            layer(x)
        taken.append(time.perf_counter() - started)
    return sorted(taken)[len(taken) // 2]


if __name__ == "__main__":
    main()
