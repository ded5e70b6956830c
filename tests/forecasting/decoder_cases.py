"""The tiny golden models and what is forecast with them."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kronos_lab import Kronos, KronosTokenizer
from kronos_lab.forecasting.forecaster import Forecaster
from kronos_lab.forecasting.token_sampling import Sampling

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
GREEDY = Sampling(temperature=1.0, top_k=1)
SAMPLED = Sampling(temperature=0.8, top_p=0.9)
ROUNDING = 1e-4  # of a lookback's standard deviation; another token moves a bar a hundred times as far


def load_models(name: str) -> tuple[KronosTokenizer, Kronos]:
    folder = GOLDEN / name
    return KronosTokenizer.from_pretrained(folder / "tokenizer"), Kronos.from_pretrained(folder / "predictor")


def forecaster(name: str = "tiny", max_context: int = 64, **options: Any) -> Forecaster:
    return Forecaster(*load_models(name), max_context, **options)


def random_series(series: int, context: int, horizon: int, paths: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Context, stamps, future stamps and uniforms, as `Forecaster.paths` takes them."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    close = 20 * torch.exp(0.02 * normal(series, context).cumsum(1))
    spread = 0.005 * close * (1 + normal(series, context).abs())
    volume = 1e5 * torch.exp(0.5 * normal(series, context))
    fields = (close - spread / 2, close + spread, close - spread, close, volume, volume * close)
    stamps = torch.stack(
        [torch.randint(0, size, (series, context + horizon), generator=generator) for size in (60, 24, 7, 31, 12)], -1
    )
    uniforms = torch.rand(series, paths, horizon, 2, generator=generator)
    return torch.stack(fields, -1).double(), stamps[:, :context], stamps[:, context:], uniforms


def deviation_BP(context: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Largest difference of two forecasts on each path, in standard deviations of the lookback."""
    scale = context.std(1, correction=0)[:, None, None] + 1e-5
    return ((first - second).abs() / scale).flatten(2).amax(-1)


def assert_same_paths(context: Tensor, first: Tensor, second: Tensor, sampling: Sampling = SAMPLED) -> None:
    """Equal up to rounding. Of several paths that are drawn, one may have a draw on the border of two tokens."""
    different = deviation_BP(context, first, second) > ROUNDING
    assert int(different.sum()) <= (sampling.top_k != 1 and different.numel() > 1)
