"""The plan of the house holds: floors, imports, what loads without the heavy libraries."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "kronos_lab"

# Each room may import from itself, from rooms on lower floors, and from kronos_lab.errors.
FLOORS = [{"models", "data"}, {"forecasting"}, {"evaluation", "runs"}, {"training", "backtesting"}]
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
SCRIPTS = [*ROOT.glob("*.py"), *(ROOT / "finetune").glob("*.py"), *(ROOT / "backtest").glob("*.py")]


def imported_rooms(file: Path) -> set[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names.append(node.module or "")
    return {name.split(".")[1] for name in names if name.startswith("kronos_lab.")} & set(LEVEL)


def test_no_import_runs_back_up() -> None:
    for file in PACKAGE.rglob("*.py"):
        room = file.relative_to(PACKAGE).parts[0]
        if room not in LEVEL:
            continue
        for other in imported_rooms(file) - {room}:
            allowed = LEVEL[other] < LEVEL[room] or (LEVEL[other] == LEVEL[room] == 2)
            assert allowed, f"{file.relative_to(ROOT)} imports {other}"


def test_no_two_files_import_each_other() -> None:
    imports: dict[str, set[str]] = {}
    for file in PACKAGE.rglob("*.py"):
        module = ".".join(("kronos_lab", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        tree = ast.parse(file.read_text())
        type_only = {
            id(child)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for child in ast.walk(node)
        }
        imports[module] = {
            node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module and id(node) not in type_only
        }
    for module, others in imports.items():
        for other in others & set(imports):
            assert module not in imports[other], f"{module} and {other} import each other"


def test_scripts_are_run_and_never_imported() -> None:
    assert SCRIPTS
    for folder in ("finetune", "backtest", "experiments", "benchmarks"):
        assert not (ROOT / folder / "__init__.py").exists()
    for file in SCRIPTS:
        assert '__name__ == "__main__"' in file.read_text(), f"{file} does not run"


def test_package_files_import_nothing() -> None:
    for file in PACKAGE.rglob("__init__.py"):
        if file.parent != PACKAGE:
            body = ast.parse(file.read_text()).body
            assert len(body) == 1 and isinstance(body[0], ast.Expr), f"{file} holds more than its docstring"


@pytest.mark.parametrize("blocked", ["lightning", "qlib", "hydra", "comet_ml", "matplotlib", "pyarrow"])
def test_forecasting_works_without(blocked: str) -> None:
    code = f"""
import sys
sys.modules[{blocked!r}] = None
import pandas as pd
from kronos_lab import Kronos, KronosPredictor, KronosTokenizer
golden = {str(ROOT / "tests" / "data" / "golden" / "tiny")!r}
api = KronosPredictor(Kronos.from_pretrained(golden + "/predictor"),
                      KronosTokenizer.from_pretrained(golden + "/tokenizer"), device="cpu", max_context=64)
stamps = pd.Series(pd.date_range("2024-01-01", periods=24))
bars = pd.DataFrame({{name: [10.0 + i % 3 for i in range(20)] for name in ("open", "high", "low", "close")}})
print(len(api.predict(bars, stamps[:20], stamps[20:], pred_len=4, verbose=False)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "4"


def test_importing_the_package_is_light() -> None:
    code = "import sys, kronos_lab; print([m for m in ('torch', 'pandas', 'lightning', 'qlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
