"""Run the commands of the README beside this file and write what they printed, took and found into `results/`.

python experiments/real_csi800_import/record.py
"""

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

from kronos_lab.data.import_report import NAME, condense_findings

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from recorded_run import PROJECT, refuse_changes

RESULTS = Path(__file__).parent / "results"
SCRIPT = ["python", "finetune/prepare_market.py"]
DAILY = [
    "market.name=csi800", "market.bars=../shared/data/cn_csi800_day.parquet",
    "market.memberships=../shared/data/instruments", "market.indices=../shared/data/cn_index_day.csv.gz",
]  # fmt: skip
FIVE_MINUTES = [
    "market.name=sh600977_5min", "market.bars=../shared/data/XSHG_5min_600977.csv", "market.freq=5min",
    "market.volume_unit=hands",
]  # fmt: skip
RENAMED = ["market.renamed={SZ000022: SZ001872, SZ000043: SZ001914, SZ300114: SZ302132}"]


def run(options: list[str]) -> dict[str, Any]:
    """One command in the project's folder: what it printed, seconds, and peak memory."""
    started = time.perf_counter()
    child = subprocess.Popen([sys.executable, *SCRIPT[1:], *options], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    printed = child.stdout.read().strip()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{shlex.join(options)} failed")
    return {
        "command": shlex.join([*SCRIPT, *options]),
        "seconds": round(time.perf_counter() - started, 1),
        "peak_memory_gib": round(usage.ru_maxrss / 2**20, 2),  # Linux counts in KiB
        "printed": printed,
    }


def record() -> None:
    """Import both files from nothing, open the daily one again, join its older codes, and write the results."""
    refuse_changes()
    RESULTS.mkdir(exist_ok=True)
    stores = {name: PROJECT / "data" / name for name in ("csi800", "csi800_renamed", "sh600977_5min")}
    for store in stores.values():
        shutil.rmtree(store, ignore_errors=True)
    steps = {"import": run(DAILY), "open_again": run(DAILY), "import_minutes": run(FIVE_MINUTES)}
    steps["import_renamed"] = run(["market.name=csi800_renamed", *DAILY[1:], *RENAMED])
    printed = [f"$ {step['command']}\n{step.pop('printed')}\n" for step in steps.values()]
    (RESULTS / "printed.txt").write_text("\n".join(printed).replace(f"{PROJECT}/", ""))
    reports = {name: json.loads((store / f"{NAME}.json").read_text()) for name, store in stores.items()}
    machine = {"system": platform.system(), "python": platform.python_version(), "cores": os.cpu_count()}
    summary = {"machine": machine, "steps": steps, "reports": reports}
    (RESULTS / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    found = pd.read_csv(stores["csi800"] / f"{NAME}.csv", parse_dates=["date"])
    pd.DataFrame(reports["csi800"]["checks"]).to_csv(RESULTS / "counts.csv", index=False)
    events = condense_findings(found[found["action"] != "suspended"])
    events.to_csv(RESULTS / "findings.csv", index=False)


if __name__ == "__main__":
    record()
