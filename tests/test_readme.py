"""Every command of the README is understood, and the road it describes can be walked."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

if TYPE_CHECKING:
    from kronos_lab.data.market import Market

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [shlex.split(line, comments=True) for block in BLOCKS for line in block.splitlines()]
PYTHON = [" ".join(command[1:]) for command in COMMANDS if command[:1] == ["python"]]
RECORDED = [file.read_text().splitlines() for file in sorted(ROOT.glob("experiments/*/results/commands.txt"))]
EXPERIMENTS = [line.split("python ")[1] for lines in RECORDED for line in lines]
BENCHMARKS = [command for command in PYTHON if command.startswith("benchmarks/")]


@pytest.mark.parametrize("command", [*(command for command in PYTHON if command not in BENCHMARKS), *EXPERIMENTS])
def test_command_is_understood(command: str) -> None:
    """The script exists and its configuration takes every override as written."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from kronos_lab.runs.folder import register_resolvers

    command = re.sub("<(run|sweep|folder)>", r"\1", command)
    script, *overrides = os.path.expandvars(command).split(" ")
    assert (ROOT / script).is_file()
    if overrides == ["--help"]:
        return
    if overrides[:1] == ["-m"]:
        jobs = [] if overrides[1].startswith("resume=") else jobs_of_sweep(overrides[1:])
        for job in jobs:
            test_command_is_understood(" ".join([script, *job]))
        return
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose(Path(script).stem, overrides)
    for override in overrides:
        key, value = override.split("=", 1)
        if key in {"experiment", "hparams_search"}:  # changes settings and leaves none of its own
            continue
        chosen = OmegaConf.select(cfg, key)
        if value == "null":  # Hydra has refused a key that does not exist
            assert chosen is None
            continue
        assert chosen is not None, f"{key} is not a setting of {script}"
        if not OmegaConf.is_config(chosen):
            assert str(chosen).lower() == value.lower() or float(chosen) == float(value)


def jobs_of_sweep(arguments: list[str]) -> list[list[str]]:
    """Overrides of each job, those for Hydra itself left out."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    own = [argument for argument in arguments if not argument.startswith("hydra")]
    return BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(own), None)[0]


@pytest.mark.parametrize("command", BENCHMARKS)
def test_benchmark_is_understood(command: str) -> None:
    script, *arguments = command.split(" ")
    options = [argument for argument in arguments if argument.startswith("--")]
    done = subprocess.run([sys.executable, script, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(option in done.stdout for option in options)


def test_performance_is_quoted_as_recorded() -> None:
    """Every row of the README's tables stands in the machine-written results, and every recorded row in the README."""
    results = ROOT / "benchmarks" / "results"
    rows = json.loads((results / "forecast_cpu_cpu.json").read_text())["rows"]
    quoted = [f"| {row['title']} | {row['seconds_per_series'] * 1e3:.0f} ms | {row['ratio']:.1f} × |" for row in rows]
    assert [line for line in README.splitlines() if re.fullmatch(r"\| .* series, .* ms \| .* × \|", line)] == quoted
    assert all(row["ratio"] >= row["at_least"] for row in rows)
    assert all(row["same_tokens"] for row in rows if row["overflow"] == "exact")


def test_a_backtest_is_quoted_as_recorded() -> None:
    record = json.loads((ROOT / "benchmarks" / "results" / "backtest.json").read_text())
    for stage, seconds in record["seconds"].items():
        assert stage == "simulation and statistics" or f"| {stage} | {seconds:.1f} s |" in README
    assert f"resident set was {record['largest_resident_gib']:.1f} GiB" in README
    assert f"{record['forecasts']:,} forecasts of {record['paths']} paths" in README
    assert record["seconds"]["simulation and statistics"] < 90 and record["seconds"]["report"] < 10
    assert record["largest_resident_gib"] < 4
    larger = json.loads((ROOT / "benchmarks" / "results" / "backtest_1000_stocks.json").read_text())
    quoted = f"{larger['forecasts']:,} forecasts of {larger['universe']}, {larger['largest_resident_gib']:.1f} GiB"
    assert quoted in " ".join(README.split())
    assert larger["universe"] == "csi1000" and larger["largest_resident_gib"] < 4


def test_approximations_and_memory_are_quoted_as_recorded() -> None:
    results = ROOT / "benchmarks" / "results"
    for row in json.loads((results / "approximations.json").read_text())["rows"]:
        equal, moved = row["equal_tokens_all_bars"], row["mean_abs_return_difference"]
        assert f"| {row['way']} | {equal:.0%} | {moved:.1%} | {row['speed_up']:.1f} × |" in README
    few, many, wide = (
        row["host_peak_mib"] for row in json.loads((results / "forecast_memory_cpu.json").read_text())["rows"]
    )
    for peak in (few, many, wide):
        assert f"{peak:,.0f} MiB" in README
    assert many - few < 50
    assert wide * 2**20 < 2.5e9


def test_stratified_draws_are_quoted_as_recorded() -> None:
    record = json.loads((ROOT / "benchmarks" / "results" / "stratified_draws.json").read_text())
    for row in record["rows"]:
        bars = " | ".join(f"{row[f'variance_ratio_{bar}']:.2f}" for bar in (1, 5, 10))
        assert f"| {row['sampling']} | {row['paths']} | {bars} |" in README
        assert row["time_ratio"] < 1.1


def test_speed_of_training_is_quoted_as_recorded() -> None:
    results = ROOT / "benchmarks" / "results"
    ways = json.loads((results / "train_step_cpu_float32.json").read_text())["ways"]
    data = json.loads((results / "dataloader.json").read_text())
    batches, memory = data["speed"][0], data["memory"]
    prose = " ".join(README.split())
    for quoted in (
        f"is {ways['eager']['ratio']:.2f} × as fast as a plain one",
        f"{ways['compiled']['ratio']:.2f} × when compiled",
        f"{batches['ratio']:.0f} × as fast as by slicing pandas, {batches['windows_per_s']:,.0f} windows a second",
        f"{memory['ratio']:.2f} × the bytes of fields and times, with {memory['workers']} workers",
        f"start in {data['startup_seconds']:.1f} s",
    ):
        assert quoted in prose, quoted


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = [command[1] for command in COMMANDS if command[:1] == ["make"]]
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


@pytest.mark.parametrize("path", re.findall(r"^([\w./]+/?[\w./]*)  ", README, flags=re.MULTILINE))
def test_layout_names_what_is_there(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.slow
def test_the_road_from_another_folder(small_market: "Market", tmp_path: Path) -> None:
    """Finetune, backtest and forecast as typed, on a small store, from a folder with a space in its name."""
    here = tmp_path / "another folder"
    here.mkdir()
    market = ["market=qlib", f"market.store={small_market.store}", f"paths.data={here / 'da ta'}"]
    outputs = f"paths.outputs={here / 'out puts'}"
    split = ["split.train_end=2024-04-30", "split.val_start=2024-05-01", "split.val_end=2024-08-30"]
    split += ["split.test_start=2024-09-02"]
    small = ["data.lookback=30", "data.windows_per_epoch=200", "data.val_windows=50", "trainer.max_epochs=1"]

    def run(script: str, *arguments: str) -> str:
        command = [sys.executable, str(ROOT / script), outputs, *arguments]
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("train.py", *market, *split, *small, "name=my run")
    trained = here / "out puts" / "train" / "my run"
    for file in ("config.yaml", "summary.json", "tokenizer/config.json", "predictor/model.safetensors"):
        assert (trained / file).is_file()

    printed = run("backtest.py", *market, *split, "universe=csi500", "strategy.topk=5", "strategy.n_drop=1")
    assert "my run" in printed and "report.html" in printed
    (backtest,) = (here / "out puts" / "backtest").iterdir()
    for file in ("signals.parquet", "portfolio.parquet", "metrics.json", "report.html", "summary.json"):
        assert (backtest / file).is_file()

    bars = here / "my bars.csv"
    prices = small_market.wide(["open", "high", "low", "close"], ["SH600001"])
    pd.DataFrame({name: frame["SH600001"] for name, frame in prices.items()}).to_csv(bars, index_label="date")
    printed = run("forecast.py", f"file={bars.name}", "horizon=5")
    assert "forecast.png" in printed
