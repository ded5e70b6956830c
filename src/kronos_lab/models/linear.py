"""A linear layer that takes the fastest product a CPU has for it; `nn.Linear` everywhere else."""

import platform
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

MOST_FEW_ROWS = 5
FEWEST_MANY_ROWS = 64

# torch multiplies float32 matrices with MKL, which on AMD's processors leaves half of the vector units idle; oneDNN,
# which comes with torch as well, does not.
ONEDNN = (
    torch.backends.mkldnn.is_available()
    and platform.machine().lower() in {"x86_64", "amd64"}
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # torch's own, and undocumented
)


class Linear(nn.Linear):
    """`nn.Linear`, up to twice as fast on a CPU in float32, both in training and where a few rows are decoded.

    A product with a few rows waits for the weights to come from memory, and BLAS reads them faster as the left factor;
    see `benchmarks/few_rows.py`. Training multiplies by many rows, with oneDNN; see `benchmarks/train_step.py`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] → [..., outputs]."""
        if x.device.type != "cpu" or x.dtype != torch.float32 or self.weight.dtype != torch.float32:
            return super().forward(x)
        rows = x.numel() // self.in_features
        if torch.is_grad_enabled():
            many = ONEDNN and rows >= FEWEST_MANY_ROWS and not torch.is_autocast_enabled("cpu")
            return _ManyRows.apply(x, self.weight, self.bias) if many else super().forward(x)
        return self._few_rows(x, rows) if 2 <= rows <= MOST_FEW_ROWS else super().forward(x)

    def _few_rows(self, x: Tensor, rows: int) -> Tensor:
        rows_first = x.reshape(rows, self.in_features)
        if self.bias is None:
            outputs_first = torch.mm(self.weight, rows_first.t())
        else:
            outputs_first = torch.addmm(self.bias.unsqueeze(1), self.weight, rows_first.t())
        return outputs_first.t().contiguous().view(*x.shape[:-1], self.out_features)


class _ManyRows(torch.autograd.Function):
    """`x wᵀ + b` and its gradients by oneDNN."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _times_transposed(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        rows = gradient.flatten(0, -2)
        wanted_x, wanted_weight, wanted_bias = ctx.needs_input_grad
        return (
            _times_transposed(gradient, weight.t().contiguous()) if wanted_x else None,
            _times_transposed(rows.t().contiguous(), x.flatten(0, -2).t().contiguous()) if wanted_weight else None,
            rows.sum(0) if wanted_bias else None,
        )


# An operation of its own, because `torch.compile` has no way with oneDNN's where weights are trained.
@torch.library.custom_op("kronos_lab::times_transposed", mutates_args=())
def _times_transposed(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(left, right.contiguous(), bias, "none", [], "")


@_times_transposed.register_fake
def _(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    return left.new_empty((*left.shape[:-1], right.shape[0]))
