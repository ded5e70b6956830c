"""How fast a training step of the predictor is, next to the plain step, in the same run.

    python benchmarks/train_step.py                                    # the figures of the README
    python benchmarks/train_step.py --device cuda --precision bf16-mixed
    python benchmarks/train_step.py --model mini --batch 8 --no-compile

A step is all of it: the module's own `training_step` (tokens included), backward, clipping, optimiser; Lightning's
Trainer, the schedule and the data are left out on both sides. Both have the dropout of the model's configuration and
the same precision. Weights and bars are random: neither changes the work. Steps alternate, ratios are medians over
the repeats; compiling is outside the timing. Memory is that of a process of its own.
"""

import argparse
import multiprocessing as mp
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmark_commands import RESULTS, save_record

TITLE = {"reference": "plain step", "eager": "this package", "compiled": "compiled", "float32": "plain step, float32"}
AT_LEAST = {"cpu": {"eager": 1.05, "compiled": 1.2}, "cuda": {"eager": 4.0, "compiled": 4.0}}  # of `STANDARD`
STANDARD = {"model": "small", "batch": 50, "bars": 101}
LEARNING_RATE = 1e-5


@dataclass(frozen=True)
class Settings:
    """What is measured, and how.

    Attributes:
        model: of `conf/model/`, without "kronos_".
        batch, bars: windows of a step, and bars of a window.
        device, precision, threads: where; "float32" or "bf16-mixed"; CPU threads.
        compile: measure compiled blocks too.
        repeats: steps of each way.
    """

    model: str
    batch: int
    bars: int
    device: str
    precision: str
    threads: int
    compile: bool
    repeats: int

    def ways(self) -> list[str]:
        """What alternates: the plain step first."""
        against = ["reference"] if self.precision == "float32" else ["reference", "float32"]
        return [*against, "eager", *(["compiled"] if self.compile else [])]


def main() -> None:
    """Measure what the command line asks for; print and save it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=STANDARD["model"], help="mini, small, base, tiny")
    parser.add_argument("--batch", type=int, default=STANDARD["batch"])
    parser.add_argument("--bars", type=int, default=STANDARD["bars"])
    parser.add_argument("--device", default="cpu", help="cpu, cuda")
    parser.add_argument("--precision", choices=["float32", "bf16-mixed"], default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True, help="of each way, too")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path)
    options = vars(parser.parse_args())
    output, memory = options.pop("output"), options.pop("memory")
    settings = Settings(**options)
    output = output or RESULTS / f"train_step_{settings.device}_{settings.precision}.json"
    record: dict[str, Any] = {"command": " ".join(["python", "benchmarks/train_step.py", *sys.argv[1:]])}
    record |= in_own_process(measure_times, settings)
    for way in settings.ways() if memory else ():
        record["ways"][way]["host_peak_mib"] = in_own_process(measure_memory, settings, way)
    save_record(record, output)
    show(record)
    print(f"saved {output}")
    check(record, settings)


def check(record: dict[str, Any], settings: Settings) -> None:
    """End with an error where the standard step is slower than it is meant to be."""
    if any(getattr(settings, name) != value for name, value in STANDARD.items()):
        return
    on_gpu = settings.device == "cuda"
    if on_gpu and settings.precision == "float32":
        return
    for way, least in AT_LEAST.get(settings.device, {}).items():
        found = record["ways"].get(way, {}).get("ratio_float32" if on_gpu else "ratio", least)
        if found < least:
            sys.exit(f"{TITLE[way]}: {found:.2f} × is less than {least} ×")


def measure_times(settings: Settings) -> dict[str, Any]:
    """Seconds of alternating steps, and what follows from them."""
    import machine
    import torch

    torch.set_num_threads(settings.threads)
    device = torch.device(settings.device)
    batch = make_batch(settings)
    record: dict[str, Any] = {
        "machine": machine.describe(device, settings.threads),
        "peaks": machine.peaks(device, torch.float32 if settings.precision == "float32" else torch.bfloat16),
        "load_average": os.getloadavg()[0],  # processes that wanted a core before the first step
        "settings": asdict(settings),
        "ways": {},
    }
    steps = {way: make_step(settings, way) for way in settings.ways()}
    times: dict[str, list[float]] = {way: [] for way in steps}
    for way, step in steps.items():
        began = time.perf_counter()
        step(batch)
        machine.synchronize(device)
        record["ways"][way] = {"first_step_seconds": time.perf_counter() - began, "device_peak_mib": 0.0}
    for _ in range(settings.repeats):
        for way, step in steps.items():
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
                before = torch.cuda.memory_allocated(device)
            times[way] += machine.seconds(partial(step, batch), device, 1)
            if device.type == "cuda":  # beside the weights and moments, which all ways hold at once here
                peak = (torch.cuda.max_memory_allocated(device) - before) / machine.MEBIBYTE
                record["ways"][way]["device_peak_mib"] = peak
    with machine.WorkCounter() as counted:
        steps["reference"](batch)
    for way, seconds in times.items():
        found = record["ways"][way]
        found["seconds"], found["all_seconds"] = machine.median(seconds), seconds
        found["tokens_per_s"] = settings.batch * settings.bars / found["seconds"]  # a token: the pair of one bar
        found["flops_per_s"] = counted.flops / found["seconds"]
        for against, name in (("reference", "ratio"), ("float32", "ratio_float32")):
            if against in times and against != way:
                pairs = zip(times[against], seconds, strict=True)
                found[name] = machine.median([plain / ours for plain, ours in pairs])
    record["flops_of_a_step"] = counted.flops
    return record


def measure_memory(settings: Settings, way: str) -> float:
    """Most memory of a process that takes two steps, MiB."""
    import machine
    import torch

    torch.set_num_threads(settings.threads)
    step, batch = make_step(settings, way), make_batch(settings)
    for _ in range(2):
        step(batch)
    machine.synchronize(torch.device(settings.device))
    return machine.host_peak_mib()


def make_batch(settings: Settings) -> Any:
    """A `WindowBatch` on the device."""
    import torch

    from kronos_lab.data.datamodule import WindowBatch

    random = torch.Generator().manual_seed(0)
    shape = (settings.batch, settings.bars)
    bars = torch.randn(*shape, 6, generator=random)
    stamps = [torch.randint(top, shape, generator=random) for top in (60, 24, 7, 32, 13)]
    stamps_BT5 = torch.stack(stamps, -1).to(torch.int16).to(settings.device)
    return WindowBatch(bars.to(settings.device), stamps_BT5, torch.zeros(0), torch.ones(0))  # no scale is looked at


def make_step(settings: Settings, way: str) -> Callable[[Any], Any]:
    """One way of a step, with its own copy of the same weights."""
    import torch
    from plain_train_step import PlainStep, plain_networks
    from synthetic import load_random_models

    tokenizer, predictor = (model.to(settings.device) for model in load_random_models(settings.model))
    mixed = settings.precision == "bf16-mixed" and way != "float32"
    autocast = torch.autocast(settings.device, torch.bfloat16, enabled=mixed, cache_enabled=False)
    if way in {"reference", "float32"}:
        plain_tokenizer, plain_predictor = plain_networks(tokenizer, predictor)
        on_device = plain_tokenizer.to(settings.device), plain_predictor.to(settings.device)
        plain = PlainStep(*on_device, LEARNING_RATE, autocast)
        return lambda batch: plain(batch.bars_BTF, batch.stamp_BT5)
    return OurStep(tokenizer, predictor, autocast, compiled=way == "compiled")


class OurStep:
    """A step of this package, without Lightning's Trainer around it."""

    def __init__(self, tokenizer: Any, predictor: Any, autocast: Any, compiled: bool) -> None:
        import torch
        from plain_train_step import BETAS, GRADIENT_CLIP, WEIGHT_DECAY

        from kronos_lab.training.compiling import compiled_blocks
        from kronos_lab.training.optim import Optimisation
        from kronos_lab.training.predictor_module import PredictorModule
        from kronos_lab.training.tuning import AllWeights

        def adamw(groups: Any) -> Any:
            return torch.optim.AdamW(groups, LEARNING_RATE, BETAS, weight_decay=WEIGHT_DECAY, fused=True)

        optimisation = Optimisation(adamw, None, GRADIENT_CLIP, decay_all=True)
        module = PredictorModule(
            predictor, tokenizer, optimisation, "sampled", "window", AllWeights(), lookback=90, horizon=10, seed=0
        )
        module.trainer = type("NoTrainer", (), {"global_rank": 0, "current_epoch": 0})()
        module.log = module.log_dict = lambda *_, **__: None
        self.module, self.autocast, self.steps = module, autocast, 0
        self.optimizer: Any = optimisation.configure(module, total_steps=1)
        if compiled:
            self.compiled = compiled_blocks(predictor, module.device)
            self.compiled.__enter__()

    def __call__(self, batch: Any) -> Any:
        """One step; the loss before it, 0-dim."""
        import torch

        with self.autocast:
            loss = self.module.training_step(batch, self.steps)
        self.steps += 1
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.module.predictor.parameters(), self.module.optimisation.gradient_clip)
        self.optimizer.step()
        return loss.detach()


def in_own_process(work: Any, *arguments: Any) -> Any:
    """What `work(...)` returns in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=mp.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def show(record: dict[str, Any]) -> None:
    """The table, as people read it."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{record['machine']['processor']}, {record['machine']['device']}, {record['settings']}")
    for column in ("step", "time", "tokens/s", "ratio", "first step", "host MiB", "device MiB", "matrix peak"):
        table.add_column(column, justify="left" if column == "step" else "right")
    for way, found in record["ways"].items():
        table.add_row(
            TITLE[way],
            f"{found['seconds']:.3f} s",
            f"{found['tokens_per_s']:,.0f}",
            f"{found['ratio']:.2f} ×" if "ratio" in found else "",
            f"{found['first_step_seconds']:.1f} s",
            f"{found['host_peak_mib']:,.0f}" if "host_peak_mib" in found else "",
            f"{found['device_peak_mib']:,.0f}",
            f"{found['flops_per_s'] / record['peaks']['matrix_flops_per_s']:.0%}",
        )
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
