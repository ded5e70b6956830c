"""Several ranks through the real command: killed, stopped, started by torchrun and by Slurm's rules."""

import json
import re
import signal
import socket
import subprocess
import sys
import time

import pandas as pd
import psutil
import pytest
from train_command import SMALL, Command, last_checkpoint, processes

from kronos_lab.runs.curves import read_curves
from kronos_lab.runs.folder import project_root

TWO = (
    *SMALL, "stage=tokenizer", "logger=csv", "trainer.accelerator=cpu", "data.batch_size=8", "model.epochs=6",
    "trainer.log_every_n_steps=1", "checkpoint_every_n_steps=7",
)  # fmt: skip
STEPS = 6 * 12  # 200 windows at most an epoch, in 12 steps

RATES = "0.003", "0.001"
SEARCH = f"""
# @package _global_
defaults: [default]
name: search
objective: tokenizer/val_loss
callbacks:
  pruning:
    _target_: kronos_lab.training.pruning.PruneTrial
    _partial_: true
    trial: ${{hparams_search.trial}}
    storage: ${{hparams_search.storage}}
    stage: tokenizer
hydra:
  sweeper:
    n_trials: 2
    direction: minimize
    pruner: {{n_startup_trials: 1, n_warmup_steps: 0}}
    params: {{optim.tokenizer.optimizer.lr: "choice({",".join(RATES)})"}}
"""


class Ranks(Command):
    """Commands of two ranks; each run is compared with one that was not interrupted."""

    def environ(self, **variables):
        return self.environment | variables

    def run(self, name):
        return self.outputs / "train" / name

    def checkpoint(self, name):
        return self.run(name) / "checkpoints" / "tokenizer-last.ckpt"

    def wait_for(self, name, process):
        """Until the run has its third checkpoint, or so."""
        until, seen = time.time() + 200, set()
        while len(seen) < 3:
            if self.checkpoint(name).is_file():
                seen.add(self.checkpoint(name).stat().st_mtime_ns)
            assert process.poll() is None and time.time() < until, process.communicate()
            time.sleep(0.01)

    def popen(self, command, **variables):
        return subprocess.Popen(
            [str(part) for part in command], cwd=self.market.store, env=self.environ(**variables), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def start_two(self, name):
        return self.start(*self.where, *TWO, "trainer.devices=2", f"name={name}")

    def torchrun(self, *options_then_arguments, **variables):
        return self.popen([sys.executable, "-m", "torch.distributed.run", *options_then_arguments], **variables)


@pytest.fixture(scope="module")
def ranks(small_market, tmp_path_factory):
    return Ranks(small_market, tmp_path_factory.mktemp("ranks"))


@pytest.fixture(scope="module")
def whole(ranks):
    """A run of two ranks that nothing happens to."""
    process = ranks.start_two("whole")
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    assert f"effective batch {2 * 8} windows" in stdout
    return ranks.run("whole")


def assert_equal(run, whole):
    """Weights and curves of two runs, bit by bit."""
    first, second = (last_checkpoint(folder, "tokenizer") for folder in (whole, run))
    assert first["global_step"] == second["global_step"] == STEPS
    assert all(value.equal(second["state_dict"][name]) for name, value in first["state_dict"].items())
    exported = [folder / "tokenizer" / "model.safetensors" for folder in (whole, run)]
    assert exported[0].read_bytes() == exported[1].read_bytes()
    curves = [read_curves(folder).filter(regex="^(?!tokenizer/system_)") for folder in (whole, run)]
    assert curves[0].index.tolist() == list(range(STEPS))
    assert curves[0].sort_index(axis=1).equals(curves[1].sort_index(axis=1))


def ended(processes):
    _, alive = psutil.wait_procs(processes, timeout=20)
    return not alive


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_ends_the_run_and_it_goes_on_bit_by_bit(ranks, whole, rank):
    name = f"killed {rank}"
    process = ranks.start_two(f"'{name}'")
    ranks.wait_for(name, process)
    both = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]
    assert len(both) == 2
    both[rank].kill()
    _, stderr = process.communicate(timeout=60)
    assert ended(both)
    resume = f"go on with  python train.py \"resume='{ranks.run(name)}'\""
    if rank == 1:
        assert process.returncode == 1
        assert stderr == f"error: rank 1 was killed by SIGKILL; {resume}\n"
    else:
        assert process.returncode == -signal.SIGKILL
        assert stderr == f"[rank 1] error: the process that started it has ended; {resume}\n"
    done = ranks(f"resume='{ranks.run(name)}'")
    assert done.returncode == 0, done.stderr
    assert_equal(ranks.run(name), whole)


@pytest.mark.slow
def test_kill_on_any_rank_saves_on_one_step_and_ends_all(ranks, whole):
    """Rank 1 here: what rank 0 does with a signal of its own is tested with Ctrl-C."""
    name, rank = "stopped", 1
    process = ranks.start_two(name)
    ranks.wait_for(name, process)
    both = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]
    both[rank].terminate()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 143 and ended(both), stderr
    found = re.fullmatch(r"interrupted by SIGTERM, saved at step (\d+); python train.py .*\n", stderr)
    assert found and last_checkpoint(ranks.run(name), "tokenizer")["global_step"] == int(found[1]), stderr
    config = ranks.run(name) / "config.yaml"
    two, one = config.read_text(), config.read_text().replace("devices: 2", "devices: 1")
    config.write_text(one)
    refused = ranks(f"resume='{ranks.run(name)}'")
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1
    assert "cannot resume: world_size is 1, the checkpoint was made with 2" in refused.stderr
    config.write_text(two)
    assert ranks(f"resume='{ranks.run(name)}'").returncode == 0
    assert_equal(ranks.run(name), whole)


@pytest.mark.slow
def test_torchrun_trains_one_run_and_forwards_a_signal(ranks, whole):
    """The usual name holds the second a process began in; ranks that did not agree would make two folders."""
    before = set((ranks.outputs / "train").iterdir())
    command = ["--nproc_per_node=2", project_root() / "train.py", *ranks.where, *TWO, "trainer.devices=2"]
    process = ranks.torchrun(*command)
    stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr
    (run,) = set((ranks.outputs / "train").iterdir()) - before
    assert stdout.count("effective batch 16 windows") == 1
    assert_equal(run, whole)

    process = ranks.torchrun(*command, "name=elastic")
    ranks.wait_for("elastic", process)
    process.terminate()
    _, stderr = process.communicate(timeout=60)
    assert stderr.count("interrupted by SIGTERM, saved at step") == 1, stderr
    resumed = ranks.torchrun("--nproc_per_node=2", project_root() / "train.py", f"resume='{ranks.run('elastic')}'")
    _, stderr = resumed.communicate(timeout=200)
    assert resumed.returncode == 0, stderr
    assert_equal(ranks.run("elastic"), whole)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "slurm", "by hand"])
def test_two_nodes_train_one_run(ranks, whole, launcher):
    """Two nodes of one process each, on this machine: what differs from a cluster is the network between them."""
    before, port = set((ranks.outputs / "train").iterdir()), free_port()
    script = [project_root() / "train.py", *ranks.where, *TWO, "trainer.devices=1", "trainer.num_nodes=2"]

    def start(node):
        if launcher == "torchrun":
            options = ["--nnodes=2", "--nproc_per_node=1", "--rdzv_backend=c10d", "--rdzv_id=77"]
            return ranks.torchrun(*options, f"--rdzv_endpoint=127.0.0.1:{port}", *script)
        if launcher == "slurm":
            job = {"NTASKS": 2, "NNODES": 2, "NTASKS_PER_NODE": 1, "JOB_ID": 4242, "STEP_ID": 0, "JOB_NAME": "finetune",
                   "NODELIST": "127.0.0.1", "PROCID": node, "LOCALID": 0, "NODEID": node}  # fmt: skip
            variables = {f"SLURM_{name}": str(value) for name, value in job.items()}
            return ranks.popen([sys.executable, *script], **variables, MASTER_PORT=port)
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": str(node)}
        return ranks.popen([sys.executable, *script], **where, KRONOS_LAB_RUN_DIR=str(ranks.run("by hand")))

    nodes = [start(node) for node in range(2)]
    said = [node.communicate(timeout=200) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    (run,) = {folder for folder in (ranks.outputs / "train").iterdir() if folder.is_dir()} - before
    assert sum(stdout.count("effective batch 16 windows") for stdout, _ in said) == 1
    assert_equal(run, whole)


@pytest.mark.slow
def test_ranks_that_would_never_find_each_other_are_one_line(ranks):
    lonely = ranks(*ranks.where, *TWO, "trainer.num_nodes=2")
    assert lonely.returncode == 1 and "trainer.num_nodes=2: start it with torchrun or srun" in lonely.stderr
    wrong = ranks.torchrun("--nproc_per_node=2", project_root() / "train.py", *ranks.where, *TWO, "name=wrong")
    _, stderr = wrong.communicate(timeout=100)
    assert "trainer.devices × trainer.num_nodes is 1, but torchrun has started 2 processes" in stderr
    assert not ranks.run("wrong").exists()


def end_with_children(process):
    """Ranks that wait for each other answer no signal but this one."""
    tree = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for one in tree:
        one.kill()
    process.communicate()


def begin_search(folder):
    """A search that one trial of has ended, with a validation that no other will reach."""
    from optuna.distributions import CategoricalDistribution
    from optuna.trial import create_trial

    from kronos_lab.runs.search_trial import open_study

    folder.mkdir(parents=True)
    parameter = "optim.tokenizer.optimizer.lr"
    open_study(folder / "journal.log", direction="minimize").add_trial(
        create_trial(
            value=0.0,
            intermediate_values={0: 0.0, 1: 0.0},
            params={parameter: RATES[0]},
            distributions={parameter: CategoricalDistribution(RATES)},
        )
    )


@pytest.mark.slow
def test_all_ranks_of_a_pruned_training_stop_at_the_same_validation(ranks, tmp_path):
    (tmp_path / "hparams_search").mkdir()
    (tmp_path / "hparams_search" / "two_rates.yaml").write_text(SEARCH)
    begin_search(search := ranks.run("search"))
    process = ranks.start(
        "-m", "--config-dir", tmp_path, *ranks.where, *TWO, *ranks.recording, "trainer.devices=2", "model.epochs=2",
        "hparams_search=two_rates",
    )  # fmt: skip
    try:
        stdout, stderr = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        end_with_children(process)
        pytest.fail("the ranks of a pruned training wait for each other")
    assert process.returncode == 0, stderr
    assert "pruned: tokenizer/val_loss is" in stdout and "in validation 1\n" in stdout, stdout
    seen = [json.loads((ranks.records / f"tokenizer-{rank}.json").read_text())["windows"] for rank in range(2)]
    assert [len(epochs) for epochs in seen] == [1, 1] and len(seen[0][0]) == len(seen[1][0])
    assert processes(search / "1", "tokenizer") == 2
    assert json.loads((search / "1" / "summary.json").read_text())["status"] == "pruned"
    trials, jobs = pd.read_csv(search / "trials.csv"), pd.read_csv(search / "sweep.csv")
    assert trials["state"].tolist() == ["complete", "pruned"]
    assert (jobs["job"].tolist(), jobs["status"].tolist()) == ([1], ["finished"]) and jobs["objective"].isna().all()
