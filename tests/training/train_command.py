"""`python train.py` as typed, in a process of its own, and what it leaves behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

from kronos_lab.runs.folder import project_root

SMALL = (
    "data.lookback=20", "data.horizon=4", "data.batch_size=32", "model.windows_per_epoch=200", "model.val_windows=61",
    "model.epochs=2", "split.train_end=2024-03-29", "split.val_start=2024-04-01", "split.val_end=2024-06-28",
    "model.tokenizer.d_model=16", "model.predictor.d_model=16", "trainer.log_every_n_steps=2",
    "evaluation.validation.days=4", "evaluation.test.days=30", "evaluation.test.names=6", "evaluation.paths=2",
)  # fmt: skip


class Command:
    """`train.py` with outputs in a folder of its own."""

    def __init__(self, market, folder):
        self.market, self.outputs = market, folder / "out puts"
        self.where = (
            "market=qlib", f"market.store={market.store}", "market.name=small", f"paths.cache='{folder / 'cache'}'",
            f"paths.outputs='{self.outputs}'",
        )  # fmt: skip
        self.environment = {name: value for name, value in os.environ.items() if name != "COMET_API_KEY"}
        self.environment["OMP_NUM_THREADS"] = "1"
        path = [str(Path(__file__).parent), self.environment.get("PYTHONPATH", "")]
        self.environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
        self.records = folder / "records"
        self.recording = (
            "+callbacks.records._target_=rank_records.RankRecords", f"+callbacks.records.folder='{self.records}'",
        )  # fmt: skip

    def start(self, *arguments):
        return subprocess.Popen(
            [sys.executable, project_root() / "train.py", *arguments],
            cwd=self.market.store,  # any folder
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __call__(self, *arguments):
        process = self.start(*arguments)
        stdout, stderr = process.communicate(timeout=300)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    def train(self, *arguments):
        options = [one for one in arguments if one.startswith("-")]  # come first
        done = self(*options, *self.where, *SMALL, *(one for one in arguments if one not in options))
        assert done.returncode == 0, done.stdout + done.stderr
        return done


def check_run(folder, stages=("tokenizer", "predictor")):
    """What every finished run leaves behind; returns its summary."""
    from kronos_lab.models.hub import weights_fingerprint
    from kronos_lab.models.pair import check_pair
    from kronos_lab.models.predictor import Kronos
    from kronos_lab.models.tokenizer import KronosTokenizer

    summary = json.loads((folder / "summary.json").read_text())
    tokenizer = KronosTokenizer.from_pretrained(folder / "tokenizer")
    predictor = Kronos.from_pretrained(folder / "predictor")
    check_pair(predictor, tokenizer)
    assert summary["weights"] == {
        "tokenizer": weights_fingerprint(tokenizer),
        "predictor": weights_fingerprint(predictor),
    }
    for stage in stages:
        assert summary["headline"][f"{stage}/val_loss"] > 0
        for which in ("best", "last"):
            assert (folder / "checkpoints" / f"{stage}-{which}.ckpt").is_file()
    assert not list(folder.rglob("*.partial"))
    return summary


def last_checkpoint(run, stage="predictor"):
    import torch

    return torch.load(run / "checkpoints" / f"{stage}-last.ckpt", weights_only=True)


def processes(run, stage="predictor"):
    """How many processes shared the windows; what is asked for is not always what one gets."""
    return last_checkpoint(run, stage)["KLineDataModule"]["world_size"]
