"""The order of windows: a permutation that is computed, not stored, and its division among epochs and ranks.

Everything is a pure function of (seed, epoch, rank, world size, position): no random state, no array of the length
of the data, nothing to save but the position.
"""

import hashlib
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from kronos_lab.errors import InputError

STEPS_AT_ONCE = 1024  # steps whose windows are computed together
ROUNDS = 6  # of the Feistel network; four already pass for random (Luby and Rackoff, 1988)


class Permutation:
    """A pseudo-random bijection of [0, size), evaluated where it is asked for.

    A Feistel network permutes the numbers of 2b bits; where it leads outside the range it is applied again until it
    leads back inside (cycle walking), which less than 4 steps do on average.
    """

    def __init__(self, size: int, key: str) -> None:
        self.size = size
        self._half_bits = max(1, -(-max(size - 1, 1).bit_length() // 2))
        self._round_keys = numbers_of(key, ROUNDS)

    def __call__(self, index: np.ndarray) -> np.ndarray:
        """Images of the indices, int64 of the same shape."""
        index = np.asarray(index)
        if index.size and not (index.min() >= 0 and index.max() < self.size):
            raise IndexError(f"indices lie between 0 and {self.size - 1}")
        image = self._encrypt(index.astype(np.uint64))
        while (outside := image >= self.size).any():
            image[outside] = self._encrypt(image[outside])
        return image.astype(np.int64)

    def _encrypt(self, number: np.ndarray) -> np.ndarray:
        shift, mask = np.uint64(self._half_bits), np.uint64(2**self._half_bits - 1)
        left, right = number >> shift, number & mask
        for key in self._round_keys:
            left, right = right, left ^ (mix(right ^ key) & mask)
        return (left << shift) | right


def numbers_of(key: str, count: int) -> np.ndarray:
    """Pseudo-random numbers that a text stands for, uint64 [count]."""
    return np.frombuffer(hashlib.blake2b(key.encode(), digest_size=8 * count).digest(), np.uint64)


def mix(number: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): every input bit reaches every output bit."""
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


class TrainingSampler(Sampler[np.ndarray]):
    """Batches of window numbers for one rank: each window at most once an epoch, and all of them over a pass.

    A pass is one permutation of all windows, cut into the fewest epochs of at most `windows_per_epoch`; the next pass
    uses another permutation. An epoch is cut evenly into steps, and a step evenly among the ranks, so no window is
    dropped or repeated, batches differ by at most one window, all ranks and epochs have equally many steps, and the
    windows of a step depend on batch_size · world_size alone. Where batches are accumulated, an epoch is a whole number
    of optimiser steps (if it has a window for each batch), of the same windows that larger batches would give them.

    Args:
        windows: how many windows there are; at least `world_size`.
        windows_per_epoch: an upper bound, over all ranks.
        batch_size: windows per rank and step, an upper bound.
        seed: of the permutations.
        rank: this process.
        world_size: number of processes.
        accumulated: batches of an optimiser step.
    """

    def __init__(
        self,
        windows: int,
        windows_per_epoch: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        accumulated: int = 1,
    ) -> None:
        self.windows, self.seed, self.rank, self.world_size = windows, seed, rank, world_size
        self.epochs_per_pass = max(1, -(-windows // windows_per_epoch))
        smallest, largest = windows // self.epochs_per_pass, -(-windows // self.epochs_per_pass)
        if smallest < world_size:
            raise InputError(f"{windows} training windows, {smallest} an epoch, cannot feed {world_size} processes")
        optimiser_steps = -(-largest // (batch_size * world_size * accumulated))
        self._steps = min(optimiser_steps * accumulated, smallest // world_size)
        self._epoch, self._resume_at = 0, (0, 0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to iterate (Lightning calls this)."""
        self._epoch = epoch

    def resume_at(self, epoch: int, step: int) -> None:
        """Begin this one epoch at a later step, where an interrupted run goes on."""
        self._resume_at = (epoch, step)

    def __len__(self) -> int:
        """Steps of an epoch."""
        return self._steps

    def __iter__(self) -> Iterator[np.ndarray]:
        this_pass, part = divmod(self._epoch, self.epochs_per_pass)
        permutation = Permutation(self.windows, f"{self.seed} pass {this_pass}")
        first, last = (self.windows * (part + i) // self.epochs_per_pass for i in (0, 1))
        begin_step = self._resume_at[1] if self._resume_at[0] == self._epoch else 0
        for block in range(begin_step, self._steps, STEPS_AT_ONCE):
            steps = range(block, min(block + STEPS_AT_ONCE, self._steps))
            batches = [first + _share(last - first, self._steps, step, self.rank, self.world_size) for step in steps]
            ends = np.cumsum([len(batch) for batch in batches])
            yield from np.split(permutation(np.concatenate(batches)), ends[:-1])


class ValidationSampler(Sampler[np.ndarray]):
    """Batches of an evenly spread subset of the windows, the same in every epoch and run; each on one rank, once.

    The windows are cut into `limit` stretches of equal length, and one is taken from each, at a place that varies
    from stretch to stretch: a fixed stride could meet the same day in every stock.

    Args:
        windows: how many windows there are.
        limit: how many of them to take; None for all.
        batch_size: windows per rank and step, an upper bound.
        rank: this process.
        world_size: number of processes.
    """

    def __init__(self, windows: int, limit: int | None, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        self.windows = windows
        self.chosen = windows if limit is None else min(limit, windows)
        if not 1 <= world_size <= self.chosen:
            raise InputError(f"{self.chosen} of {windows} validation windows cannot feed {world_size} processes")
        self.rank, self.world_size = rank, world_size
        self._steps = min(-(-self.chosen // (batch_size * world_size)), self.chosen // world_size)

    def __len__(self) -> int:
        """Steps of a validation."""
        return self._steps

    def __iter__(self) -> Iterator[np.ndarray]:
        for step in range(self._steps):
            stretch = _share(self.chosen, self._steps, step, self.rank, self.world_size)
            first, last = (self.windows * (stretch + i) // self.chosen for i in (0, 1))
            place = mix(stretch.astype(np.uint64) + np.uint64(1)) % (last - first).astype(np.uint64)
            yield first + place.astype(np.int64)


def _share(total: int, steps: int, step: int, rank: int, world_size: int) -> np.ndarray:
    """Numbers out of [0, total) that fall to a rank in a step: consecutive, cut as evenly as can be."""
    part, parts = step * world_size + rank, steps * world_size
    return np.arange(total * part // parts, total * (part + 1) // parts)
