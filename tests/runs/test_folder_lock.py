"""Nobody gets into the folder of a run that is at work; everybody into one whose process has ended."""

import os
import signal
import socket
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from kronos_lab.errors import InputError
from kronos_lab.runs.beginning import begin_run
from kronos_lab.runs.folder import CONFIG_FILE, has_only_begun
from kronos_lab.runs.folder_lock import keep_folder
from kronos_lab.runs.walk_forward.folder import go_on_or_begin
from kronos_lab.runs.walk_forward.planned_run import PlannedRun
from many_commands import ROOT, assert_refused, run_commands

# As a training does, with a process that it forks: a worker of its data loader.
AT_WORK = """
import os, sys, time
from pathlib import Path
from kronos_lab.runs.folder_lock import keep_folder

keep_folder(Path(sys.argv[1]))
keep_folder(Path(sys.argv[1]))
worker = os.fork()
if worker:
    print(worker, flush=True)
time.sleep(60)
"""


@pytest.fixture
def at_work(tmp_path):
    """A run whose process is at work."""
    (folder := tmp_path / "a run").mkdir()
    OmegaConf.save({"seed": 1}, folder / CONFIG_FILE)
    process = subprocess.Popen([sys.executable, "-c", AT_WORK, str(folder)], stdout=subprocess.PIPE, text=True)
    worker = int(process.stdout.readline())
    yield folder, process
    process.kill()
    os.kill(worker, signal.SIGKILL)
    process.communicate()


@pytest.fixture
def begin(monkeypatch):
    """Begin a run in a folder, or go on with the one there, as rank 0 or another."""
    from hydra.core.hydra_config import HydraConfig
    from lightning.pytorch.utilities import rank_zero_only

    monkeypatch.setattr(rank_zero_only, "rank", 0, raising=False)
    hydra = OmegaConf.create({"overrides": {"task": []}})
    monkeypatch.setattr(HydraConfig, "get", staticmethod(lambda: hydra))

    def begin(folder, resume=True, rank=0):
        rank_zero_only.rank = rank
        return begin_run(OmegaConf.create({"resume": str(folder) if resume else None, "from_run": None}), folder)

    return begin


def fold_of(folder) -> PlannedRun:
    return PlannedRun("fold 1", "train", folder, ["name=a run"], market_fingerprint="")


def test_a_run_at_work_is_refused_to_others_until_its_process_is_killed(at_work, begin):
    folder, process = at_work
    line = f"^{folder} is at work in process {process.pid} on {socket.gethostname()}: wait for it, or stop it$"
    for resume in (True, False):  # or told of its folder, as a job of a sweep is
        with pytest.raises(InputError, match=line):
            begin(folder, resume)
    with pytest.raises(InputError, match=line):
        go_on_or_begin(fold_of(folder))  # of a walk-forward, which would remove what has only begun
    begin(folder, rank=1)  # further ranks are processes of the same run
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert begin(folder).seed == 1
    assert begin(folder).seed == 1  # its own process is no other
    assert has_only_begun(folder)


def test_a_name_that_was_taken_is_said(tmp_path, caplog):
    caplog.set_level("INFO")
    for folder in ("soft", "soft-2", "soft-2-x"):
        (tmp_path / folder).mkdir()
        keep_folder(tmp_path / folder, "soft")
    assert [record.getMessage() for record in caplog.records] == ["name        soft is taken: this run is soft-2"]


def test_a_walk_forward_begins_a_fold_anew_that_had_only_begun(at_work):
    folder, process = at_work
    process.kill()
    process.wait()
    assert go_on_or_begin(fold_of(folder)) == ["train.py", "name=a run"]
    assert not folder.exists()


@pytest.mark.slow
@pytest.mark.parametrize("script", ["train.py", "backtest.py", "finetune/evaluate_forecasts.py"])
def test_commands_that_go_on_in_a_folder_keep_it(at_work, script, monkeypatch):
    folder, process = at_work
    monkeypatch.setenv("KRONOS_LAB_RUN_DIR", str(folder))
    done = run_commands(script, {"second": [f"paths.outputs='{folder.parent}'"]}, ROOT)["second"]
    assert_refused(done, f"{folder} is at work in process {process.pid} on ")
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]
