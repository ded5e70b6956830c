"""Forecast the bars of one file: a CSV of the forecast, its sample paths, and a picture.

python forecast.py file=bars.csv horizon=120
python forecast.py file=bars.parquet horizon=24 until="2024-08-20 15:00" checkpoint=NeoQuasar/Kronos-small
"""

import hydra
from omegaconf import DictConfig

from kronos_lab.runs.errors import one_line_errors
from kronos_lab.runs.folder import register_resolvers, save_config, this_run_folder
from kronos_lab.runs.sweep_jobs import own_process_in_sweeps
from kronos_lab.runs.threads import let_idle_threads_sleep

register_resolvers()
let_idle_threads_sleep()


@one_line_errors
@hydra.main(version_base="1.3", config_path="conf", config_name="forecast")
@own_process_in_sweeps
def main(cfg: DictConfig) -> None:
    """Forecast one file as configured by `conf/forecast.yaml`."""
    from pathlib import Path

    from rich.console import Console
    from rich.markup import escape

    from kronos_lab.data.normaliser import CLIP
    from kronos_lab.data.settings import switch, whole_number
    from kronos_lab.errors import InputError
    from kronos_lab.forecasting.devices import resolve_device
    from kronos_lab.forecasting.file_forecast import forecast_file, read_series_file, save_forecast
    from kronos_lab.runs.checkpoint import find_checkpoint
    from kronos_lab.runs.configured_forecaster import configured_forecaster, configured_sampling
    from kronos_lab.runs.provenance import (
        compared_with_training,
        knowledge_warnings,
        training_config,
        window_settings,
    )

    folder = this_run_folder()
    device = resolve_device(cfg.device)
    sampling = configured_sampling(cfg.forecast)
    paths = whole_number("forecast.paths", cfg.forecast.paths, 1)
    given = {
        "lookback": None if cfg.lookback is None else whole_number("lookback", cfg.lookback, 2),
        "horizon": cfg.horizon,
        "max_gap": 0,
        "clip": None,
        "rescale": None if cfg.rescale is None else switch("rescale", cfg.rescale),
    }
    max_context = None if cfg.max_context is None else whole_number("max_context", cfg.max_context, 2)
    if not isinstance(cfg.columns, DictConfig):
        raise InputError(f"columns={cfg.columns}: name them one by one, such as columns.stamp=when")
    columns = {str(field): column for field, column in cfg.columns.items() if column is not None}
    series = read_series_file(Path(str(cfg.file)).expanduser(), cfg.symbol, columns, cfg.until, cfg.horizon)

    checkpoint = find_checkpoint(cfg.checkpoint, cfg.tokenizer, Path(cfg.paths.outputs), market=None)
    print(f"checkpoint  {checkpoint.title}")
    trained = training_config(checkpoint)
    tokenizer, predictor = checkpoint.load()
    without_run = {"lookback": max_context or tokenizer.max_context, "clip": CLIP, "rescale": False}
    window = window_settings(given, trained, without_run)
    series = series.shortened(window.lookback)
    print(f"lookback    {compared_with_training(len(series.history), trained)}")
    forecaster = configured_forecaster(tokenizer, predictor, window, cfg.forecast, max_context=max_context).to(device)
    paths_PHF = forecast_file(forecaster, series, sampling, paths, cfg.seed)
    cfg.lookback, cfg.rescale = window.lookback, window.rescale
    save_config(folder, cfg)
    for path in save_forecast(folder, series, paths_PHF):
        print(f"written     {path}")
    console = Console(stderr=True)
    for warning in knowledge_warnings(checkpoint, trained, series.future_stamps[0], "forecast"):
        console.print(f"[yellow]{escape(warning)}[/]", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()
