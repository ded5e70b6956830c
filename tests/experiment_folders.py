"""What stands under `experiments/`: scripts that record, commands, and tables that READMEs quote."""

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
EXPERIMENTS, CONFIGURATIONS = ROOT / "experiments", ROOT / "conf" / "experiment"
CONFIGURED = sorted(path.stem for path in CONFIGURATIONS.glob("*.yaml"))
COMMAND = re.compile(r"^(?:OMP_NUM_THREADS=1 )?python (\S+\.py .*)$", re.MULTILINE)
NUMBER = re.compile(r"-?\d+\.?(\d*)(e-?\d+)?( ?%)?")


def record_of(experiment: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"record_{experiment.name}", experiment / "record.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands_of(experiment: Path) -> list[list[str]]:
    """Commands that stand on a line of their own in the README, and those that were recorded: scripts and overrides."""
    recorded = experiment / "results" / "commands.txt"
    texts = [(experiment / "README.md").read_text(), recorded.read_text() if recorded.is_file() else ""]
    return [shlex.split(line) for text in texts for line in COMMAND.findall(text)]


def tables_of(experiment: Path) -> list[list[list[str]]]:
    """Tables of the README: cells of their rows, the heading first."""
    tables: list[list[list[str]]] = [[]]
    for line in (experiment / "README.md").read_text().replace("−", "-").splitlines():
        if not line.startswith("|"):
            tables.append([])
        elif not line.startswith("|---"):
            tables[-1].append([cell.strip() for cell in line.split("|")[1:-1]])
    return [table for table in tables if table]


def assert_quoted(cell: str, *values: float) -> None:
    """The numbers of a cell are these, each as exactly as it is written; the last ones may be left out."""
    numbers = list(NUMBER.finditer(cell))
    assert 0 < len(numbers) <= len(values), cell
    for number, value in zip(numbers, values, strict=False):
        digits, exponent, percent = number.groups()
        written = f"{100 * value if percent else value:.{len(digits)}{'e' if exponent else 'f'}}"
        assert float(written) == float(number[0].rstrip(" %")), f"{cell}: {value}"
