"""How fast forecasts are, and how much memory they take, next to a decoder that recomputes everything.

    python benchmarks/forecast.py --table cpu                  # the table of the README
    python benchmarks/forecast.py --table memory
    python benchmarks/forecast.py --table published --device cuda --precision bfloat16
    python benchmarks/forecast.py --model small --series 16 --context 400 --horizon 48 --paths 5 --devices 1,2

Weights and bars are random: neither changes the work. Each row runs in a process of its own, so that its peak memory
is its own; fast and recomputing forecasts alternate, and ratios are medians over the repeats. Results are saved after
every row under benchmarks/results/.
"""

import argparse
import multiprocessing as mp
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmark_commands import RESULTS, save_record
from own_process import in_own_process, in_own_processes

ROOT = Path(__file__).resolve().parents[1]
WARM_UP_SERIES = 2  # on a CPU; on a GPU a whole batch, whose shapes choose the kernels
SAME_TOKENS = 1e-3  # of a lookback's standard deviation: less is rounding, another token is far more


@dataclass(frozen=True)
class Work:
    """One row of a table.

    Attributes:
        model: of `conf/model/`, without "kronos_".
        series, context, horizon, paths: how many series and paths, of how many bars.
        overflow, hop: past the window, see `Window`.
        rows_at_once: upper bound on series × paths in memory.
        at_least: ratio to the recomputing decoder that the row is meant to reach.
    """

    model: str = "mini"
    series: int = 32
    context: int = 400
    horizon: int = 112
    paths: int = 1
    overflow: str = "exact"
    hop: int | None = None
    rows_at_once: int = 1000
    at_least: float | None = None

    def title(self) -> str:
        """The row in words."""
        way = f", hop {self.hop} (approximate)" if self.overflow == "hop" else ""
        return f"{self.model}, {self.series} series, {self.context} → {self.horizon}, {self.paths} path(s){way}"


TABLES = {
    "cpu": [
        Work("mini", 32, 400, 112, 1, at_least=30),
        Work("mini", 32, 90, 10, 5, at_least=12),
        Work("small", 4, 400, 112, 1, at_least=40),
        Work("mini", 8, 480, 96, 1, at_least=1.4),
        Work("mini", 8, 480, 96, 1, overflow="hop", hop=64, at_least=18),
    ],
    "memory": [
        Work("mini", 100, 400, 112, 1, rows_at_once=100),
        Work("mini", 1000, 400, 112, 1, rows_at_once=100),
        Work("mini", 200, 400, 112, 5, rows_at_once=1000),
    ],
    "published": [  # 1,000 stocks, context 512, 120 bars ahead; the first row is what fits the window
        Work("base", 1000, 392, 120, 1),
        Work("base", 1000, 512, 120, 1, overflow="hop", hop=64),
        Work("base", 20, 512, 120, 1),
    ],
}


@dataclass(frozen=True)
class Settings:
    """How rows are measured."""

    device: str
    precision: str
    threads: int
    max_context: int
    reference_series: int
    repeats: int


def main() -> None:
    """Measure what the command line asks for; print and save it."""
    options = parse_arguments()
    settings = Settings(
        options.device,
        options.precision,
        options.threads,
        options.max_context,
        options.reference_series,
        options.repeats,
    )
    rows = chosen_rows(options)
    record: dict[str, Any] = {"command": " ".join(["python", "benchmarks/forecast.py", *sys.argv[1:]])}
    record |= in_own_process(measure_machine, settings)
    record["settings"], record["rows"] = asdict(settings), []
    kind = settings.device if settings.precision == "float32" else f"{settings.device}_{settings.precision}"
    output = options.output or RESULTS / f"forecast_{options.table or 'row'}_{kind}.json"
    for work in rows:
        for devices in options.devices:
            print(f"measuring {work.title()}, on {devices} device(s)", file=sys.stderr)
            record["rows"].append(measure(work, settings, devices))
            save_record(record, output)
    show(record)
    print(f"saved {output}")
    for row in record["rows"]:
        if row["overflow"] == "exact" and settings.precision == "float32" and row.get("same_tokens") is False:
            sys.exit(f"{row['title']}: other tokens than the recomputing decoder's")
        if row["at_least"] and row.get("ratio", row["at_least"]) < row["at_least"]:
            sys.exit(f"{row['title']}: {row['ratio']:.1f} × is less than {row['at_least']} ×")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", choices=TABLES, help="a set of rows; else one row, described by what follows")
    known = sorted(path.stem.removeprefix("kronos_") for path in (ROOT / "conf" / "model").glob("*.yaml"))
    parser.add_argument("--model", choices=[name for name in known if name != "default"])
    for name, kind in (("series", int), ("context", int), ("horizon", int), ("paths", int)):
        parser.add_argument(f"--{name}", type=kind, help="one row; with --table, the same for all rows")
    parser.add_argument("--overflow", choices=["exact", "hop"])
    parser.add_argument("--hop", type=int)
    parser.add_argument("--rows-at-once", type=int, help="series × paths in memory")
    parser.add_argument("--max-context", type=int, default=512)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps")
    parser.add_argument("--devices", type=lambda text: [int(n) for n in text.split(",")], default=[1], help="1,2,4")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each process")
    parser.add_argument("--reference-series", type=int, default=1, help="forecast by the recomputing decoder; 0: none")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path)
    return parser.parse_args()


def chosen_rows(options: argparse.Namespace) -> list[Work]:
    """Rows of the table, or the default row, with what the command line changes."""
    names = ("model", "series", "context", "horizon", "paths", "overflow", "hop", "rows_at_once")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if given:
        given["at_least"] = None
    return [replace(work, **given) for work in (TABLES[options.table] if options.table else [Work()])]


def measure(work: Work, settings: Settings, devices: int) -> dict[str, Any]:
    """One row: all devices forecast their shard at the same time, each in a process of its own."""
    with mp.get_context("spawn").Manager() as manager:
        barrier = manager.Barrier(devices)
        shards = in_own_processes(measure_shard, devices, work, settings, devices, barrier)
    first = shards[0]
    wall = max(shard["seconds"] for shard in shards)
    row: dict[str, Any] = {"title": work.title(), **asdict(work), "devices": devices, "seconds": wall}
    row["seconds_per_series"] = wall / work.series
    row["series_per_s"] = work.series / wall
    row["tokens_per_s"] = work.series * work.paths * work.horizon / wall  # a token: the pair s1, s2 of one bar
    row["host_peak_mib"] = sum(shard["host_peak_mib"] for shard in shards)
    row["device_peak_mib"] = max(shard["device_peak_mib"] for shard in shards)
    return row | {key: value for key, value in first.items() if key not in row}


def measure_machine(_: int, settings: Settings) -> dict[str, Any]:
    """The machine and its peaks."""
    import machine
    import torch

    torch.set_num_threads(settings.threads)
    device = torch.device(settings.device)
    dtype = getattr(torch, settings.precision)
    return {"machine": machine.describe(device, settings.threads), "peaks": machine.peaks(device, dtype)}


def measure_shard(rank: int, work: Work, settings: Settings, devices: int, barrier: Any) -> dict[str, Any]:
    """One device's part of a row; the first device, alone, is compared with the recomputing decoder."""
    import machine
    import torch
    from recomputing_forecaster import Reference
    from synthetic import load_random_models, random_series

    from kronos_lab.forecasting.forecaster import Forecaster
    from kronos_lab.forecasting.series_batches import forecast_series
    from kronos_lab.forecasting.token_sampling import Sampling

    torch.set_num_threads(settings.threads)
    device = torch.device(f"cuda:{rank}" if settings.device == "cuda" else settings.device)
    tokenizer, predictor = load_random_models(work.model)
    ways: Any = {"overflow": work.overflow, "hop": work.hop, "precision": settings.precision}
    forecaster = Forecaster(tokenizer, predictor, settings.max_context, **ways).to(device)
    greedy = Sampling(top_k=1)
    series = [
        random_series(number, work.context, work.horizon, work.paths) for number in range(rank, work.series, devices)
    ]
    batch = max(1, work.rows_at_once // work.paths)

    forecasts: list[Any] = []

    def forecast(count: int | None = None) -> None:
        forecasts[:] = forecast_series(forecaster, series[:count], greedy, work.rows_at_once)

    forecast(WARM_UP_SERIES if device.type == "cpu" else batch)
    compare = settings.reference_series if devices == 1 else 0
    reference = Reference(tokenizer, predictor, series[:compare], settings.max_context) if compare else None
    times, reference_times, cpu = [], [], []
    host_peak = device_peak = 0.0
    for repeat in range(settings.repeats):
        barrier.wait()
        busy = time.process_time()
        times += machine.seconds(forecast, device, 1)
        timed = list(forecasts)
        cpu.append((time.process_time() - busy) / times[-1])
        if repeat == 0:  # before the recomputing decoder takes its own
            host_peak = machine.host_peak_mib()
            device_peak = torch.cuda.max_memory_allocated(device) / machine.MEBIBYTE if device.type == "cuda" else 0.0
        if reference:
            reference_times += machine.seconds(reference.forecast, device, 1)
    found: dict[str, Any] = {
        "seconds": machine.median(times),
        "host_peak_mib": host_peak,
        "device_peak_mib": device_peak,
        "cpu_use": machine.median(cpu),
    }
    with machine.WorkCounter() as counted:
        forecast(batch)
    share = len(series) / min(batch, len(series))
    found["achieved_flops_per_s"] = counted.flops * share / found["seconds"]
    found["achieved_bytes_per_s"] = counted.bytes * share / found["seconds"]
    if reference:
        per_series = [
            (plain / compare) / (fast / len(series)) for plain, fast in zip(reference_times, times, strict=True)
        ]
        found["reference_seconds_per_series"] = machine.median(reference_times) / compare
        found["ratio"], found["ratios"] = machine.median(per_series), per_series
        found["same_tokens"] = reference.deviation(timed[:compare]) < SAME_TOKENS
    return found


def show(record: dict[str, Any]) -> None:
    """The table, as people read it."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{record['machine']['processor']}, {record['machine']['device']}, {record['settings']}")
    for column in (
        "work", "devices", "time", "per series", "series/s", "tokens/s", "ratio", "at least", "same tokens",
        "host MiB", "device MiB", "CPU use", "matrix peak", "memory peak",
    ):  # fmt: skip
        table.add_column(column, justify="left" if column == "work" else "right")
    for row in record["rows"]:
        table.add_row(
            row["title"],
            str(row["devices"]),
            f"{row['seconds']:.2f} s",
            f"{row['seconds_per_series'] * 1e3:.1f} ms",
            f"{row['series_per_s']:.1f}",
            f"{row['tokens_per_s']:,.0f}",
            f"{row['ratio']:.1f} ×" if "ratio" in row else "",
            f"{row['at_least']} ×" if row["at_least"] else "",
            str(row.get("same_tokens", "")),
            f"{row['host_peak_mib']:,.0f}",
            f"{row['device_peak_mib']:,.0f}",
            f"{row['cpu_use']:.0%}",
            f"{row['achieved_flops_per_s'] / record['peaks']['matrix_flops_per_s']:.0%}",
            f"{row['achieved_bytes_per_s'] / record['peaks']['memory_bytes_per_s']:.0%}",
        )
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
