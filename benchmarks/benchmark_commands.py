"""What the commands of benchmarks share: arguments that stand for series and models, and the record they leave."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


def add_series_arguments(parser: ArgumentParser, model: str, series: int, context: int, horizon: int) -> None:
    """What `load_models` and `read_series` of `some_series.py` are given, and the defaults of these."""
    parser.add_argument("--checkpoint", help="run folder, model folder or Hub id; else --model with random weights")
    parser.add_argument("--model", default=model)
    parser.add_argument("--file", type=Path, help="Parquet or CSV of bars; else random walks")
    parser.add_argument("--series", type=int, default=series)
    parser.add_argument("--context", type=int, default=context)
    parser.add_argument("--horizon", type=int, default=horizon)


def save_record(record: Mapping[str, Any], output: Path) -> None:
    """Write a record as JSON, its folder too."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(record, indent=2) + "\n")


def settings_of(options: Namespace) -> dict[str, Any]:
    """What the command line asked for, as a record keeps it."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
