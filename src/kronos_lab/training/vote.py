"""Ranks agree on something without waiting for each other."""

from typing import Any

import torch

from kronos_lab.errors import InputError


class Vote:
    """Ranks agree on a number, 0 or the largest any of them brings, in the same call on each.

    What is brought to one call is the answer of the next: meanwhile it travels in the background, between the CPUs,
    so that neither the host nor a GPU waits. A process that is alone has its answer at once.

    Args:
        world_size: number of ranks; they must all be constructed together.

    Raises:
        InputError: the ranks cannot reach each other.
    """

    def __init__(self, world_size: int) -> None:
        self._group: Any = None
        self._under_way: tuple[Any, torch.Tensor] | None = None
        if world_size > 1:
            try:
                self._group = torch.distributed.new_group(backend="gloo")
            except RuntimeError as error:
                raise InputError(
                    "the ranks' CPUs cannot reach each other: set GLOO_SOCKET_IFNAME to the network's interface "
                    f"({str(error).splitlines()[0]})"
                ) from error

    def __call__(self, number: int) -> int:
        """Answer to what was brought to the last call, after which `number` is brought."""
        if self._group is None:
            return number
        answer = self._answer()
        brought = torch.tensor(number)
        work = torch.distributed.all_reduce(brought, torch.distributed.ReduceOp.MAX, self._group, async_op=True)
        self._under_way = work, brought
        return answer

    def now(self, number: int) -> int:
        """Answer to this call and the last."""
        return max(self(number), self._answer() if self._group is not None else 0)

    def _answer(self) -> int:
        if self._under_way is None:
            return 0
        work, brought = self._under_way
        self._under_way = None
        work.wait()
        return int(brought)
