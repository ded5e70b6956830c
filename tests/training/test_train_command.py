"""`python train.py` as typed, on the small market."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from rank_records import check_records

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


@pytest.fixture
def command(small_market, tmp_path):
    return Command(small_market, tmp_path)


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


def test_a_run_with_comet_interrupted_and_resumed(command):
    """Ctrl-C leaves an unfinished run that resume= finishes; both processes leave a complete Comet archive."""
    from kronos_lab.runs.summary import find_finished_training_runs

    run = command.outputs / "train" / "mine"
    process = command.start(
        *command.where, *SMALL, "name=mine", "model.epochs=500", "checkpoint_every_n_steps=5", "logger.tags=[a,b]"
    )
    deadline = time.time() + 200
    while not (run / "checkpoints" / "tokenizer-last.ckpt").is_file():
        assert process.poll() is None and time.time() < deadline, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stderr.startswith("interrupted by SIGINT, saved at step ") and stderr.count("\n") == 1, stderr
    assert stderr.endswith(f"; python train.py \"resume='{run}'\"\n"), stderr
    assert "stopping after this step" in stdout and "comet upload" in stdout
    assert find_finished_training_runs(command.outputs) == []

    config = run / "config.yaml"
    config.write_text(config.read_text().replace("epochs: 500", "epochs: 2"))  # enough for a test
    done = command(f"resume='{run}'")
    assert done.returncode == 0, done.stderr
    assert "resumes" in done.stdout
    summary = check_run(run)
    assert summary["attempts"] == 2 and summary["windows_per_step"] == 32
    assert [found.folder for found in find_finished_training_runs(command.outputs, "small")] == [run]
    archives = sorted((run / "comet").glob("*.zip"), key=lambda path: path.stat().st_mtime)
    assert len(archives) == 2
    assert summary["comet"]["archive"] == archives[1].name
    check_archive(archives[1], summary)

    again = command(f"resume='{run}'")
    assert again.returncode == 1 and again.stderr.count("\n") == 1 and "has finished" in again.stderr


def check_archive(archive, summary):
    """What a Comet archive of a finished run of both stages holds."""
    with zipfile.ZipFile(archive) as opened:
        described = json.loads(opened.read("experiment.json"))
        messages = [json.loads(line) for line in opened.read("messages.json").decode().splitlines()]
        by_type = {
            kind: [m["payload"] for m in messages if m["type"] == kind] for kind in {m["type"] for m in messages}
        }
        sizes = {
            (sent["upload_type"], sent["additional_params"].get("fileName") or sent["additional_params"]["figName"]): (
                opened.getinfo(sent["file_path"]).file_size
            )
            for sent in by_type["file_upload"]
        }
    assert described["offline_id"] == summary["comet"]["experiment"] and set(described["tags"]) == {"a", "b"}

    picture = archive.parents[1] / "figures" / "forecast_test.png"
    assert sizes["visualization", "forecast_test"] == picture.stat().st_size

    others = {sent["key"]: sent["value"] for sent in by_type["log_other"]}
    assert others["Name"] == summary["name"] and others["started_from"] == "random weights"
    assert others["git_revision"] == summary["git"]["revision"] and others["git_dirty"] == summary["git"]["dirty"]
    assert others["market"] == "small" and others["market_fingerprint"] == summary["market"]["fingerprint"]
    assert others["version_torch"] == summary["versions"]["torch"]
    assert others["predictor_world_size"] == 1 and others["predictor_windows_per_step"] == 32

    settings = {sent["param"]["paramName"] for sent in by_type["parameter_msg"] if "param" in sent}
    assert {"data|lookback", "model|name", "seed", "optim|predictor|optimizer|lr"} <= settings
    metrics = {sent["metric"]["metricName"] for sent in by_type["metric_msg"]}
    assert {"tokenizer/lr/decayed", "predictor/lr/decayed"} <= metrics
    for stage in ("tokenizer", "predictor"):
        logged = (
            "train_loss",
            "val_loss",
            "val_loss_window",
            "gradient_norm",
            "system_cpu_percent",
            "system_memory_gib",
        )
        assert {f"{stage}/{name}" for name in logged} <= metrics
        for name in ("config.json", "model.safetensors"):
            original = archive.parents[1] / stage / name
            assert sizes["model-element", f"{stage}/{name}"] == original.stat().st_size


def test_two_processes_train_one_run(command):
    """One folder, written by rank 0; validation equals that of one process to 1e-6, 61 windows shared by two."""
    command.train(
        "trainer.devices=2", "logger=csv", "name=two", "trainer.accelerator=cpu", *command.recording,
        "--config-name=train",
    )  # fmt: skip
    check_records(command.records, ranks=2)
    (run,) = (command.outputs / "train").iterdir()
    summary = check_run(run)
    assert processes(run) == 2
    assert summary["windows_per_step"] == 64 and "effective batch 64 windows" in (run / "train.log").read_text()
    hparams = (run / "csv" / "version_0" / "hparams.yaml").read_text()
    assert "run_tokenizer_windows_per_step: 64" in hparams
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoints", "config.yaml", "csv", "evaluation.csv", "evaluation_by_day.parquet", "figures", "predictor",
        "summary.json", "tokenizer", "train.log",
    ]  # fmt: skip
    alone = validate_alone(command.market, run)
    assert alone == pytest.approx({name: summary["headline"][name] for name in alone}, rel=1e-6)
    validation, test = forecast_alone(command.market, run)
    for name, figure in {"val_rank_ic": "rank_ic_h", "val_crps": "crps", "val_coverage": "coverage"}.items():
        assert summary["headline"][f"predictor/{name}"] == pytest.approx(validation[figure], rel=1e-6)
    finetuned = summary["evaluation"]["rows"]["finetuned"]
    assert test == pytest.approx({figure: finetuned[figure] for figure in test}, rel=1e-6)
    assert list(summary["evaluation"]["rows"])[:3] == ["untrained", "finetuned", "finetuned − untrained"]
    assert summary["evaluation"]["verdict"] in (run / "train.log").read_text()


@pytest.mark.slow
def test_ctrl_c_leaves_no_process_behind(command):
    import psutil

    run = command.outputs / "train" / "two"
    process = command.start(
        *command.where, *SMALL, "model.epochs=500", "trainer.devices=2", "trainer.accelerator=cpu", "logger=csv",
        "name=two",
    )  # fmt: skip
    deadline = time.time() + 200
    while not (run / "checkpoints" / "tokenizer-last.ckpt").is_file():
        assert process.poll() is None and time.time() < deadline, process.communicate()
        time.sleep(0.1)
    ranks = psutil.Process(process.pid).children()
    assert len(ranks) == 1
    for pid in (ranks[0].pid, process.pid):
        os.kill(pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted" in stderr
    _, alive = psutil.wait_procs(ranks, timeout=10)
    assert not alive


@pytest.mark.slow
def test_jobs_of_a_sweep_train_on_several_devices_each(command):
    import pandas as pd

    command.train(
        "-m", "seed=1,2", "trainer.devices=2", "trainer.accelerator=cpu", "name=sweep", "model.epochs=1",
        "objective=predictor/val_loss", "evaluation.test.days=0", "evaluation.validation.days=0", "figures.pairs=0",
        "logger.tags=[a]",
    )  # fmt: skip
    sweep = command.outputs / "train" / "sweep"
    table = pd.read_csv(sweep / "sweep.csv")
    assert list(table["status"]) == ["finished"] * 2 and list(table["seed"]) == [1, 2]
    runs = [sweep / str(number) for number in table["job"]]
    assert [processes(run) for run in runs] == [2, 2]
    losses = [check_run(run)["headline"]["predictor/val_loss"] for run in runs]
    assert list(table["objective"]) == pytest.approx(losses) and losses[0] != losses[1]
    for run in runs:
        (archive,) = (run / "comet").glob("*.zip")
        with zipfile.ZipFile(archive) as opened:
            assert set(json.loads(opened.read("experiment.json"))["tags"]) == {"a", "sweep:sweep"}


@pytest.mark.slow
def test_a_run_is_repeated_to_the_bit(command):
    """Dropout, drawn s1, two processes: the same weights, from the summary alone."""
    command.train(
        "trainer.devices=2", "logger=csv", "name=first", "trainer.accelerator=cpu", "seed=8",
        "model.predictor.resid_dropout_p=0.1",
    )  # fmt: skip
    first = command.outputs / "train" / "first"
    done = command(f"from_run='{first}'", f"paths.outputs='{command.outputs}'")
    assert done.returncode == 0, done.stderr
    assert f"weights     those of {first}, to the bit" in done.stdout
    before, after = check_run(first), check_run(command.outputs / "train" / "first_again")
    assert after["repeats"] == {"run": str(first), "same_weights": True}
    assert (after["headline"], after["weights"]) == (before["headline"], before["weights"])
    refused = command(f"from_run='{first}'", "seed=9", f"paths.outputs='{command.outputs}'")
    assert refused.returncode == 1 and refused.stderr.endswith("(summary.json has it)\n")
    assert len(list((command.outputs / "train").iterdir())) == 2


@pytest.mark.slow
def test_four_processes_train_one_run(command):
    """In epochs of 7 steps, ended in the second of them."""
    command.train(
        "trainer.devices=4", "logger=csv", "name=four", "trainer.accelerator=cpu", "data.batch_size=8",
        "trainer.max_steps=10", "data.num_workers=2", *command.recording,
    )  # fmt: skip
    check_records(command.records, ranks=4)
    run = command.outputs / "train" / "four"
    assert processes(run) == 4
    assert last_checkpoint(run)["global_step"] == 10
    alone, headline = validate_alone(command.market, run), check_run(run)["headline"]
    assert alone == pytest.approx({name: headline[name] for name in alone}, rel=1e-6)


def last_checkpoint(run, stage="predictor"):
    import torch

    return torch.load(run / "checkpoints" / f"{stage}-last.ckpt", weights_only=True)


def processes(run, stage="predictor"):
    """How many processes shared the windows; what is asked for is not always what one gets."""
    return last_checkpoint(run, stage)["KLineDataModule"]["world_size"]


def forecast_alone(market, run):
    """Figures of a run's exported weights on its validation and its test pairs, forecast in this one process."""
    from hydra.utils import instantiate

    from kronos_lab.evaluation.close_paths import forecast_closes
    from kronos_lab.evaluation.daily_figures import Outcome, mean_figures
    from kronos_lab.evaluation.manifest import Manifest
    from kronos_lab.models.predictor import Kronos
    from kronos_lab.models.tokenizer import KronosTokenizer
    from kronos_lab.runs.folder import load_config
    from kronos_lab.training.forecast_validation import window_of

    cfg = load_config(run)
    data = instantiate(cfg.data, _partial_=True)(market=market, universe="csi300", split=instantiate(cfg.split))
    settings, window = instantiate(cfg.evaluation), window_of(data)
    networks = KronosTokenizer.from_pretrained(run / "tokenizer"), Kronos.from_pretrained(run / "predictor")
    found = []
    for part, size in (("val", settings.validation_size), ("test", settings.test_size)):
        manifest = Manifest(market, "csi300", window, *data.split.days(part), size)
        forecaster = settings.forecaster(*networks, window, "float32")
        paths = forecast_closes(forecaster, manifest, settings.path_settings, (1, data.horizon))
        found.append(mean_figures(Outcome(manifest).of_paths(paths)))
    return found


def validate_alone(market, run):
    """Validation of a run's exported weights in this one process."""
    from hydra.utils import instantiate
    from lightning.pytorch import Trainer

    from kronos_lab.models.predictor import Kronos
    from kronos_lab.models.tokenizer import KronosTokenizer
    from kronos_lab.runs.folder import load_config
    from kronos_lab.training.predictor_module import PredictorModule
    from kronos_lab.training.tokenizer_module import TokenizerModule
    from kronos_lab.training.tuning import AllWeights

    cfg = load_config(run)
    tokenizer = KronosTokenizer.from_pretrained(run / "tokenizer")
    predictor = Kronos.from_pretrained(run / "predictor")
    found = {}
    for module in (
        TokenizerModule(tokenizer, None, 20, 4, seed=1),
        PredictorModule(predictor, tokenizer, None, "sampled", "window", AllWeights(), 20, 4, seed=1),
    ):
        data = instantiate(cfg.data, _partial_=True)(market=market, universe="csi300", split=instantiate(cfg.split))
        trainer = Trainer(
            accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
            use_distributed_sampler=False, enable_checkpointing=False,
        )  # fmt: skip
        trainer.validate(module.eval(), data, verbose=False)
        found |= {f"{module.stage}/{name}": value for name, value in module.last_validation.items()}
    return found
