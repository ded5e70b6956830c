"""How fast training windows are made, and how much memory they take: 5,000 stocks, 15 years of daily bars.

    python benchmarks/dataloader.py
    python benchmarks/dataloader.py --stocks 500 --years 5 --batches 50

Random bars are written as a market whose bars are cached already; everything after that is the way of a training run:
`Market`, `KLineDataModule`, its sampler and its `DataLoader`. Speed is on one thread and without workers, stamps and
normalisation included, next to windows cut out of one pandas frame per stock and collated one by one. Start-up is in
a fresh process. Memory is the proportional set size (Linux: pages that processes share count once) of the parent and
its workers after all of the bars were read, pages of libraries apart, less what they take on a market of a few stocks.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmark_commands import RESULTS, save_record
from own_process import in_own_process

if TYPE_CHECKING:
    from kronos_lab.data.datamodule import KLineDataModule

LOOKBACK, HORIZON = 90, 10
SESSIONS_PER_YEAR = 242
FEW_STOCKS = 20  # their bars are nothing beside the libraries
BATCH = 50  # of the measurements of memory and start-up: the default of a run
PAGE = 4096
TARGETS = {"windows_per_cpu_s": 100_000, "startup_seconds": 5.0, "memory_ratio": 1.2}


def main() -> None:
    """Measure what the command line asks for; print and save it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stocks", type=int, help="default 5000; given, no target is checked")
    parser.add_argument("--years", type=float, help="default 15; the same")
    parser.add_argument("--batches", type=lambda text: [int(n) for n in text.split(",")], default=[50, 1000])
    parser.add_argument("--windows", type=int, default=100_000, help="in an epoch")
    parser.add_argument("--reference-windows", type=int, default=500)
    parser.add_argument("--workers", type=int, default=4, help="in the measurement of memory")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS / "dataloader.json")
    options = parser.parse_args()
    checked = options.stocks is None and options.years is None
    stocks, sessions = options.stocks or 5000, round((options.years or 15) * SESSIONS_PER_YEAR)

    record: dict[str, Any] = {"command": " ".join(["python", "benchmarks/dataloader.py", *sys.argv[1:]])}
    record |= {"stocks": stocks, "sessions": sessions, "lookback": LOOKBACK, "horizon": HORIZON}
    with TemporaryDirectory() as temporary:
        market, few = Path(temporary) / "market", Path(temporary) / "few stocks"
        bar_bytes = in_own_process(write_market, market, stocks, sessions)
        in_own_process(write_market, few, min(stocks, FEW_STOCKS), sessions)
        record |= in_own_process(measure_startup, market)
        speeds = (options.batches, options.windows, options.reference_windows, options.repeats)
        record |= in_own_process(measure_speed, market, *speeds)
        windows = max(2 * BATCH * options.workers, sum(bar_bytes.values()) // PAGE)  # as many as reach every page
        with_data = in_own_process(measure_memory, market, options.workers, windows)
        without = in_own_process(measure_memory, few, options.workers, windows)
        record["memory"] = describe_memory(with_data, without, bar_bytes, options.workers)
    record["targets"] = TARGETS if checked else None
    save_record(record, options.output)
    show(record)
    print(f"saved {options.output}")
    if checked:
        check(record)


def write_market(_: int, folder: Path, stocks: int, sessions: int) -> dict[str, int]:
    """A store without features, and its bars in the cache beside it; bytes of its parts."""
    import pandas as pd

    from kronos_lab.data.bar_cache import save_bars
    from kronos_lab.data.bars import Bars
    from kronos_lab.data.store import MARKET_JSON, calendar_content

    calendar = pd.bdate_range("2010-01-04", periods=sessions)
    symbols = [f"SH{600000 + n}" for n in range(stocks)]
    for name in ("calendars", "instruments"):
        (folder / "store" / name).mkdir(parents=True)
    (folder / "store" / "calendars" / "day.txt").write_bytes(calendar_content(calendar, "day"))
    life = f"{calendar[0]:%Y-%m-%d}\t{calendar[-1]:%Y-%m-%d}"
    members = "".join(f"{symbol}\t{life}\n" for symbol in symbols)
    (folder / "store" / "instruments" / "all.txt").write_text(members)
    (folder / "store" / MARKET_JSON).write_text(json.dumps({"fingerprint": "random", "indices": []}))

    rng = np.random.default_rng(0)
    values_MF = rng.random((stocks * sessions, 6), dtype=np.float32)
    values_MF[:, :4] += 10
    values_MF[:, 4:] *= 1e6
    position_M = np.tile(np.arange(sessions, dtype=np.int32), stocks)
    offsets = np.arange(stocks + 1) * sessions
    bars = Bars(symbols, values_MF, position_M, offsets, calendar, np.arange(sessions, dtype=np.int32))
    save_bars(folder / "cache", "random", "day", bars)
    # Suspended sessions have no row, so there are no flags beside the fields and the time of a bar.
    return {"fields": values_MF.nbytes, "time": position_M.nbytes, "flags": 0}


def open_data(
    folder: Path, batch_size: int = BATCH, windows_per_epoch: int = 100_000, num_workers: int = 0
) -> "KLineDataModule":
    """The windows of the market as a training run opens them: the first seven of ten days."""
    from kronos_lab.data.datamodule import KLineDataModule
    from kronos_lab.data.market import Market
    from kronos_lab.data.split import DateSplit

    market = Market(folder / "store", cache=folder / "cache")
    days = [f"{market.calendar[len(market.calendar) * tenth // 10]:%Y-%m-%d}" for tenth in (7, 8, 9)]
    next_day = f"{market.calendar[len(market.calendar) * 7 // 10 + 1]:%Y-%m-%d}"
    return KLineDataModule(
        market,
        "all",
        DateSplit(None, days[0], next_day, days[1], days[2], None),
        lookback=LOOKBACK,
        horizon=HORIZON,
        batch_size=batch_size,
        windows_per_epoch=windows_per_epoch,
        val_windows=None,
        max_gap=20,
        clip=5.0,
        rescale=False,
        date_jitter=0,
        num_workers=num_workers,
        seed=1,
    )


def measure_startup(_: int, folder: Path) -> dict[str, float]:
    """From a fresh process to the first batch, and the libraries' part of it apart."""
    started = time.perf_counter()
    from kronos_lab.data.datamodule import KLineDataModule  # noqa: F401  (Lightning and torch with it)
    from kronos_lab.data.market import Market  # noqa: F401  (timed: what users wait for)

    imported = time.perf_counter()
    next(iter(open_data(folder).train_dataloader()))
    return {"import_seconds": imported - started, "startup_seconds": time.perf_counter() - imported}


def measure_speed(
    _: int, folder: Path, batches: list[int], windows: int, reference_windows: int, repeats: int
) -> dict[str, Any]:
    """Windows per second at each batch size, and those of pandas frames, turn by turn."""
    import machine
    import torch
    from pandas_windows import PandasWindows

    torch.set_num_threads(1)
    data = open_data(folder)
    index = data.windows("train")
    reference = PandasWindows(index.bars, LOOKBACK, HORIZON, data.clip)
    rng, width = np.random.default_rng(0), index.width
    starts_of = {
        name: rng.integers(0, len(frame) - width + 1, reference_windows // len(reference.frames) + 1)
        for name, frame in reference.frames.items()
    }
    chosen = [(name, int(start)) for name, starts in starts_of.items() for start in starts][:reference_windows]

    plain: list[float] = []
    found: dict[int, dict[str, list[float]]] = {size: {"wall": [], "cpu": []} for size in batches}
    count = 0
    for epoch in range(repeats):
        started = time.perf_counter()
        for begin in range(0, len(chosen), batches[0]):
            last = reference.batch(chosen[begin : begin + batches[0]])
        plain.append(len(chosen) / (time.perf_counter() - started))
        for size, rates in found.items():
            loader = open_data_again(data, size, windows).train_dataloader()
            loader.sampler.set_epoch(epoch)
            started, busy = time.perf_counter(), time.process_time()
            count = sum(len(batch.bars_BTF) for batch in loader)
            rates["wall"].append(count / (time.perf_counter() - started))
            rates["cpu"].append(count / (time.process_time() - busy))
    first = (len(chosen) - 1) // batches[0] * batches[0]
    rows = [int(index.bars.offsets[int(name)]) + start + index.lookback - 1 for name, start in chosen[first:]]
    ours = data.train_dataloader().dataset.of_rows(np.array(rows))
    difference = float((ours.bars_BTF - last[0]).abs().max())
    if difference > 1e-3 or not torch.equal(ours.stamp_BT5.float(), last[1]):
        sys.exit(f"windows of the reference differ by {difference}")
    pandas = machine.median(plain)
    return {
        "machine": machine.describe(torch.device("cpu"), threads=1),
        "load_average": os.getloadavg()[0],  # processes that wanted a core, this one among them
        "windows": len(index),
        "reference_windows_per_s": pandas,
        "speed": [
            {
                "batch_size": size,
                "windows_an_epoch": count,
                "windows_per_s": machine.median(rates["wall"]),
                "best_windows_per_s": max(rates["wall"]),
                "windows_per_cpu_s": machine.median(rates["cpu"]),
                "ratio": machine.median([ours / theirs for ours, theirs in zip(rates["wall"], plain, strict=True)]),
            }
            for size, rates in found.items()
        ],
    }


def open_data_again(data: "KLineDataModule", batch_size: int, windows_per_epoch: int) -> "KLineDataModule":
    """The same windows in other batches."""
    data.batch_size, data.windows_per_epoch = batch_size, windows_per_epoch
    return data


def measure_memory(_: int, folder: Path, workers: int, windows: int) -> dict[str, int] | None:
    """PSS of the parent and all its workers once they have read that many windows; None where it cannot be had.

    `own_pss` leaves out files from elsewhere: a library's pages are shared with whatever other processes use it, so its
    part of them moves when those come and go.
    """
    import multiprocessing
    import warnings

    import psutil
    import torch

    torch.set_num_threads(1)
    multiprocessing.set_start_method(None, force=True)  # the platform's, not that by which this process was started
    warnings.filterwarnings("ignore", ".*worker processes in total")  # more than this machine has cores
    loader = open_data(folder, BATCH, windows, workers).train_dataloader()
    for _batch in loader:
        pass
    processes = [psutil.Process(), *psutil.Process().children()]  # workers persist between epochs
    parts = [process.memory_full_info() for process in processes]
    if not hasattr(parts[0], "pss"):
        return None
    own = sum(
        part.pss
        for process in processes
        for part in process.memory_maps(grouped=True)
        if not part.path.startswith("/") or part.path.startswith(str(folder.resolve()))
    )
    total = {"pss": sum(part.pss for part in parts), "rss": sum(part.rss for part in parts)}
    return {"processes": len(parts), "own_pss": own, **total}


def describe_memory(
    with_data: dict[str, int] | None, without: dict[str, int] | None, bar_bytes: dict[str, int], workers: int
) -> dict[str, Any] | None:
    """What the bars take, against what they are."""
    if with_data is None or without is None:
        return None
    bytes_of_bars = sum(bar_bytes.values())
    return {
        "workers": workers,
        "bytes": bar_bytes,
        "pss_bytes": with_data["pss"],
        "rss_bytes": with_data["rss"],
        "own_pss_bytes": with_data["own_pss"],
        "own_pss_bytes_of_a_few_stocks": without["own_pss"],
        "ratio": (with_data["own_pss"] - without["own_pss"]) / bytes_of_bars,
        "ratio_libraries_included": with_data["pss"] / bytes_of_bars,
    }


def show(record: dict[str, Any]) -> None:
    """What was measured, as people read it."""
    print(f"{record['stocks']:,} stocks × {record['sessions']:,} sessions, {record['windows']:,} training windows")
    cores, load = record["machine"]["cores"], record["load_average"]
    print(f"measured while {load:.1f} processes shared {cores} cores")
    print(f"windows of pandas frames  {record['reference_windows_per_s']:>12,.0f} windows/s")
    for row in record["speed"]:
        speed = f"{row['windows_per_s']:>12,.0f} windows/s, {row['ratio']:,.0f} × pandas"
        further = f"best {row['best_windows_per_s']:,.0f}, per CPU second {row['windows_per_cpu_s']:,.0f}"
        print(f"batches of {row['batch_size']:<14} {speed} ({further})")
    print(
        f"start-up from the cache   {record['startup_seconds']:>12.2f} s ({record['import_seconds']:.1f} s to import)"
    )
    if record["memory"] is not None:
        memory = record["memory"]
        print(
            f"memory of the bars        {memory['ratio']:>12.2f} × their bytes, parent and {memory['workers']} workers "
            f"together ({memory['ratio_libraries_included']:.2f} × with libraries)"
        )


def check(record: dict[str, Any]) -> None:
    """End with an error where a target is missed."""
    # Of a core that others use too, the clock on the wall counts their time as well.
    slowest = min(row["windows_per_cpu_s"] for row in record["speed"])
    if slowest < TARGETS["windows_per_cpu_s"]:
        sys.exit(f"{slowest:,.0f} windows per second of one core are less than {TARGETS['windows_per_cpu_s']:,}")
    if record["startup_seconds"] > TARGETS["startup_seconds"]:
        sys.exit(f"a start-up of {record['startup_seconds']:.1f} s is more than {TARGETS['startup_seconds']} s")
    if record["memory"] is not None and record["memory"]["ratio"] > TARGETS["memory_ratio"]:
        sys.exit(f"{record['memory']['ratio']:.2f} × the bytes of the bars is more than {TARGETS['memory_ratio']} ×")


if __name__ == "__main__":
    main()
