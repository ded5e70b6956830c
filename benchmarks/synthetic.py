"""Models with random weights and series with random bars: the work of the real ones, without their files."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kronos_lab.forecasting.series_batches import Series
    from kronos_lab.models.predictor import Kronos
    from kronos_lab.models.tokenizer import KronosTokenizer


def load_random_models(name: str) -> "tuple[KronosTokenizer, Kronos]":
    """Tokenizer and predictor of `conf/model/kronos_<name>.yaml` (or `<name>.yaml`), in evaluation mode."""
    from pathlib import Path

    import torch
    from hydra import compose, initialize_config_dir
    from hydra.utils import instantiate

    from kronos_lab.runs.folder import register_resolvers

    register_resolvers()
    conf = Path(__file__).resolve().parents[1] / "conf"
    choice = name if (conf / "model" / f"{name}.yaml").is_file() else f"kronos_{name}"
    with initialize_config_dir(str(conf), version_base="1.3"):
        model = compose("train", overrides=[f"model={choice}"]).model
    torch.manual_seed(0)
    return instantiate(model.tokenizer).eval(), instantiate(model.predictor).eval()


def random_series(number: int, context: int, horizon: int, paths: int) -> "Series":
    """A random walk; the same for the same number."""
    from kronos_lab.forecasting.series_batches import Series

    rng = np.random.default_rng(number)
    close = 20 * np.exp(0.02 * rng.standard_normal(context).cumsum())
    spread = 0.005 * close * (1 + np.abs(rng.standard_normal(context)))
    volume = 1e5 * np.exp(0.5 * rng.standard_normal(context))
    bars = np.stack((close - spread / 2, close + spread, close - spread, close, volume, volume * close), axis=-1)
    stamps = rng.integers(0, (60, 24, 7, 31, 12), size=(context + horizon, 5)).astype(np.int16)
    uniforms = rng.random((paths, horizon, 2), dtype=np.float32)
    return Series(bars.astype(np.float32), stamps[:context], stamps[context:], uniforms)
