"""`python train.py` as typed, on the small market."""

import json
import signal
import time
import zipfile

import pytest
from train_command import SMALL, check_run


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
