"""What approximate forecasts cost in accuracy: `overflow=hop` and `precision=bfloat16` against the exact ones.

    python benchmarks/approximations.py --file bars.parquet --checkpoint outputs/train/<run> --max-context 96
    python benchmarks/approximations.py --model mini           # random weights, random bars, context 512

Each way forecasts the same series with the same random numbers. Reported are the share of equal tokens, at the first
bar and over all bars (paths that have once taken another token go on differently), and how far the mean path's return
over the horizon is from the exact one, beside how far it moves when only the seed changes. Times are medians, relative
to the exact forecast.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from benchmark_commands import RESULTS, add_series_arguments, save_record, settings_of
from torch import Tensor

if TYPE_CHECKING:
    from kronos_lab.forecasting.series_batches import Series

CLOSE = 3


def main() -> None:
    """Measure what the command line asks for; print and save it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_series_arguments(parser, model="mini", series=64, context=480, horizon=96)
    parser.add_argument("--paths", type=int, default=5)
    parser.add_argument("--max-context", type=int, default=512)
    parser.add_argument("--hops", type=lambda text: [int(n) for n in text.split(",")], default=[16, 64, 128])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS / "approximations.json")
    options = parser.parse_args()

    import machine
    from some_series import read_series

    torch.set_num_threads(options.threads)
    series = read_series(options.file, options.series, options.context, options.horizon, options.paths)
    rng = np.random.default_rng(len(series))
    reseeded = [one._replace(uniforms_PH2=rng.random(one.uniforms_PH2.shape, dtype=np.float32)) for one in series]
    exact = forecast(options, series)
    ways = {"exact, other random numbers": forecast(options, reseeded)}
    for hop in options.hops:
        ways[f"hop {hop}"] = forecast(options, series, overflow="hop", hop=hop)
    ways["bfloat16"] = forecast(options, series, precision="bfloat16")
    rows = [{"way": name, **compare(exact, found)} for name, found in ways.items()]
    record = {
        "settings": settings_of(options),
        "machine": machine.describe(torch.device(options.device), options.threads),
        "rows": rows,
    }
    save_record(record, options.output)
    for row in rows:
        print(
            ", ".join(
                f"{key} {value:.4g}" if isinstance(value, float) else f"{value:<28}" for key, value in row.items()
            )
        )
    print(f"saved {options.output}")


def forecast(options: argparse.Namespace, series: "list[Series]", **way: Any) -> dict[str, Any]:
    """Paths, tokens, last closes and seconds of one way to forecast."""
    from some_series import load_models

    from kronos_lab.forecasting import forecaster as module
    from kronos_lab.forecasting.series_batches import forecast_series
    from kronos_lab.forecasting.token_sampling import Sampling

    models = load_models(options.checkpoint, options.model)
    forecaster = module.Forecaster(*models, options.max_context, **way).to(options.device)
    tokens: list[Tensor] = []
    generate = module.generate

    def recorded(*arguments: Any, **keywords: Any) -> Any:
        pair = generate(*arguments, **keywords)
        tokens.append(torch.stack(pair, dim=-1).cpu())
        return pair

    module.generate = recorded
    seconds = []
    for _ in range(4):
        tokens.clear()
        started = time.perf_counter()
        paths = np.stack(forecast_series(forecaster, series, Sampling(temperature=0.6, top_p=0.9)))
        seconds.append(time.perf_counter() - started)
    module.generate = generate
    last_close = np.array([one.context_CF[-1, CLOSE] for one in series])
    returns = paths[:, :, -1, CLOSE].mean(axis=1) / last_close - 1
    return {"tokens": torch.cat(tokens), "returns": returns, "seconds": statistics.median(seconds[1:])}


def compare(exact: dict[str, Any], found: dict[str, Any]) -> dict[str, float]:
    """How near one way comes to the exact one."""
    equal_BPH = (exact["tokens"] == found["tokens"]).all(-1).double()
    difference = np.abs(exact["returns"] - found["returns"])
    return {
        "equal_tokens_first_bar": float(equal_BPH[:, :, 0].mean()),
        "equal_tokens_all_bars": float(equal_BPH.mean()),
        "mean_abs_return_difference": float(difference.mean()),
        "mean_abs_return": float(np.abs(exact["returns"]).mean()),
        "speed_up": exact["seconds"] / found["seconds"],
    }


if __name__ == "__main__":
    main()
