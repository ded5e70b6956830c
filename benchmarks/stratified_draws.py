"""How much less the mean of a few paths strays with `forecast.stratified=true`.

    python benchmarks/stratified_draws.py --file bars.parquet --checkpoint outputs/train/<run>
    python benchmarks/stratified_draws.py                      # random weights, random bars

The same series are forecast again and again with other random numbers, independent and stratified. Reported is the
variance of the mean path's return that comes from the draws, stratified relative to independent, after 1 bar, half of
the horizon and all of it: 0.5 is what twice as many independent paths would give. Beside it the share of the draws in
the variance across series of an independent forecast, which is what hides what the model knows, and the time of a
stratified forecast relative to that of an independent one.
"""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from benchmark_commands import RESULTS, add_series_arguments, save_record, settings_of

if TYPE_CHECKING:
    from kronos_lab.forecasting.forecaster import Forecaster
    from kronos_lab.forecasting.series_batches import Series

CLOSE = 3
SAMPLINGS = {"temperature 0.6, top_p 0.9": (0.6, 0.9), "temperature 1, top_p 1": (1.0, 1.0)}


def main() -> None:
    """Measure what the command line asks for; print and save it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_series_arguments(parser, model="tiny", series=200, context=90, horizon=10)
    parser.add_argument("--paths", type=lambda text: [int(n) for n in text.split(",")], default=[5, 20])
    parser.add_argument("--repetitions", type=int, default=30)
    parser.add_argument("--output", type=Path, default=RESULTS / "stratified_draws.json")
    options = parser.parse_args()

    import machine
    from some_series import load_models, read_series

    from kronos_lab.forecasting.forecaster import Forecaster

    torch.set_num_threads(1)
    series = read_series(options.file, options.series, options.context, options.horizon, 1)
    forecaster = Forecaster(*load_models(options.checkpoint, options.model))
    rows = [
        {"sampling": name, "paths": paths, **measure(forecaster, series, paths, options.repetitions, *sampling)}
        for name, sampling in SAMPLINGS.items()
        for paths in options.paths
    ]
    record = {
        "settings": settings_of(options),
        "machine": machine.describe(torch.device("cpu"), 1),
        "rows": rows,
    }
    save_record(record, options.output)
    for row in rows:
        print(", ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{value}" for key, value in row.items()))
    print(f"saved {options.output}")


def measure(
    forecaster: "Forecaster", series: "list[Series]", paths: int, repetitions: int, temperature: float, top_p: float
) -> dict[str, float]:
    """Variances of one number of paths and one sampling."""
    from kronos_lab.forecasting.series_batches import forecast_series
    from kronos_lab.forecasting.token_sampling import Sampling, series_uniforms

    horizon = len(series[0].future_stamp_H5)
    last_close_S1 = np.array([[one.context_CF[-1, CLOSE]] for one in series])

    def forecast(seed: int, stratified: bool) -> np.ndarray:
        """Mean path's return at every bar, float64 [S, H]."""
        drawn = [
            one._replace(uniforms_PH2=series_uniforms(seed, str(n), "", paths, horizon, stratified))
            for n, one in enumerate(series)
        ]
        paths_SPHF = np.stack(forecast_series(forecaster, drawn, Sampling(temperature, top_p, 0, stratified)))
        return paths_SPHF[..., CLOSE].astype(np.float64).mean(axis=1) / last_close_S1 - 1

    noise_H, seconds = {}, {}
    for stratified in (False, True):
        forecast(0, stratified)
        started = time.perf_counter()
        return_RSH = np.stack([forecast(seed, stratified) for seed in range(1, repetitions + 1)])
        seconds[stratified] = time.perf_counter() - started
        noise_H[stratified] = return_RSH.var(axis=0, ddof=1).mean(axis=0)
        if not stratified:
            across_series = return_RSH[:, :, -1].var(axis=1).mean()
    ratio_H = noise_H[True] / noise_H[False]
    half, last = horizon // 2 - 1, horizon - 1
    return {
        "variance_ratio_1": float(ratio_H[0]),
        f"variance_ratio_{half + 1}": float(ratio_H[half]),
        f"variance_ratio_{last + 1}": float(ratio_H[last]),
        "share_of_draws": float(noise_H[False][last] / across_series),
        "time_ratio": seconds[True] / seconds[False],
    }


if __name__ == "__main__":
    main()
