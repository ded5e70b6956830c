"""One run that several processes train, through the real command: the same figures as those of one process."""

import json
import os
import signal
import time
import zipfile

import pytest
from rank_records import check_records
from train_command import SMALL, check_run, last_checkpoint, processes


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
        ".lock", "checkpoints", "config.yaml", "csv", "evaluation.csv", "evaluation_by_day.parquet", "figures",
        "predictor", "summary.json", "tokenizer", "train.log",
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
