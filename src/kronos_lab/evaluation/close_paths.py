"""Forecast closes of a manifest, on any number of ranks: the same figures whatever their number.

S pairs, P paths, K horizons.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kronos_lab.data.bars import FIELDS
from kronos_lab.data.settings import whole_number
from kronos_lab.evaluation.manifest import Manifest
from kronos_lab.forecasting.forecaster import Forecaster
from kronos_lab.forecasting.token_sampling import Sampling
from kronos_lab.forecasting.window_series import WindowSeries, forecast_batch
from kronos_lab.forecasting.within_memory import WithinMemory

CLOSE = FIELDS.index("close")


@dataclass(frozen=True)
class PathSettings:
    """How the paths of a comparison are drawn.

    Attributes:
        sampling: how tokens are drawn.
        paths: per pair.
        seed: of the random numbers.
        batch_size: upper bound on series × paths at once.
    """

    sampling: Sampling
    paths: int
    seed: int
    batch_size: int

    def __post_init__(self) -> None:
        whole_number("evaluation.paths", self.paths, 1)
        whole_number("evaluation.seed", self.seed, 0)
        whole_number("evaluation.batch_size", self.batch_size, 1)


@dataclass(frozen=True)
class Ranks:
    """The processes that share a forecast.

    Attributes:
        rank: this one.
        world_size: how many there are.
        sum: a tensor's sum over all of them, on each of them; on a device that they can talk from.
    """

    rank: int = 0
    world_size: int = 1
    sum: Callable[[Tensor], Tensor] = lambda tensor: tensor


@dataclass(frozen=True)
class ClosePaths:
    """Sampled closes of a manifest.

    Attributes:
        horizons: the K horizons, in bars.
        return_SPK: close(t + k) / close(t) − 1 of every path, float32.
        independent: whether the paths of a pair are; stratified ones tell its mean, not how wide it spreads.
    """

    horizons: tuple[int, ...]
    return_SPK: np.ndarray
    independent: bool = True

    def returns(self, horizon: int) -> np.ndarray:
        """Returns of one horizon, float32 [S, P]."""
        return self.return_SPK[:, :, self.horizons.index(horizon)]


def forecast_closes(
    forecaster: Forecaster,
    manifest: Manifest,
    settings: PathSettings,
    horizons: Sequence[int],
    ranks: Ranks | None = None,
    on_progress: Callable[[float], None] = lambda series: None,
) -> ClosePaths:
    """Sample futures of every pair; only the closes that are asked for are kept.

    The batches are those of one process whatever the number of ranks, so their results are equal to the last bit.

    Args:
        forecaster: tokenizer and predictor.
        manifest: the pairs.
        settings: how paths are drawn.
        horizons: bars ahead, up to that of the manifest.
        ranks: who shares the work; None for this process alone.
        on_progress: called with the number of series done; other ranks are taken to be as fast as this one.
    """
    ranks = Ranks() if ranks is None else ranks
    series = WindowSeries(
        manifest.windows,
        manifest.row_S,
        settings.paths,
        max(horizons),
        settings.seed,
        settings.sampling.stratified,
        manifest.market.future_stamps,
    )
    memory = WithinMemory(settings.batch_size)
    size = max(1, settings.batch_size // settings.paths)
    bar_K = np.array(horizons) - 1
    return_SPK = np.zeros((len(manifest), settings.paths, len(bar_K)), np.float32)
    # What autocast does to a step of training it must not do to a forecast.
    with torch.autocast(forecaster.device.type, enabled=False):
        for number, begin in enumerate(range(0, len(manifest), size)):
            if number % ranks.world_size != ranks.rank:
                continue
            part = slice(begin, min(begin + size, len(manifest)))
            done = begin - ranks.rank * size

            def shown(here: float, done: int = done) -> None:
                on_progress(min(done + here * ranks.world_size, len(manifest)))

            paths_BPHF, _ = forecast_batch(forecaster, series.gather(part), settings.sampling, memory, shown)
            close_BPK = paths_BPHF[:, :, bar_K, CLOSE].astype(np.float64)
            return_SPK[part] = close_BPK / manifest.last_close_S[part][:, None, None] - 1
    return_SPK = ranks.sum(torch.from_numpy(return_SPK)).cpu().numpy()
    return ClosePaths(tuple(horizons), return_SPK, independent=not settings.sampling.stratified)
