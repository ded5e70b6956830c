import json
import zipfile

import pytest

from kronos_lab.runs.comet import comet_is_reachable
from kronos_lab.runs.job_process import SWEEP_VARIABLE
from kronos_lab.runs.tracking import (
    comet_logger,
    csv_logger,
    log_table,
    tensorboard_logger,
    tracked,
)


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("COMET_API_KEY", raising=False)


def messages(folder):
    return [json.loads(line) for line in read_archive(folder, "messages.json").splitlines()]


def read_archive(folder, file):
    (archive,) = (folder / "comet").glob("*.zip")
    with zipfile.ZipFile(archive) as opened:
        return opened.read(file).decode()


@pytest.mark.parametrize(("sweep", "expected"), [(None, {"tiny"}), ("lr blocks", {"tiny", "sweep:lr blocks"})])
def test_a_job_has_the_tag_of_its_sweep_beside_its_own(tmp_path, monkeypatch, sweep, expected):
    if sweep is not None:
        monkeypatch.setenv(SWEEP_VARIABLE, sweep)
    comet_logger(str(tmp_path), name="demo", project="kronos-lab", tags=["tiny"]).end()
    assert set(json.loads(read_archive(tmp_path, "experiment.json"))["tags"]) == expected


def test_offline_archive_holds_metrics_and_settings_even_when_the_run_fails(tmp_path, caplog):
    caplog.set_level("INFO")
    logger = comet_logger(str(tmp_path), name="demo", project="kronos-lab", tags=["tiny"])
    with pytest.raises(RuntimeError, match="in the middle"), tracked(logger, {"data": {"lookback": 90}, "seed": 7}, {}):
        logger.log_metrics({"predictor/loss": 2.5}, step=3)
        raise RuntimeError("in the middle")
    found = messages(tmp_path)
    metrics = {m["payload"]["metric"]["metricName"]: m["payload"]["metric"] for m in found if m["type"] == "metric_msg"}
    settings = {
        m["payload"]["param"]["paramName"]: m["payload"]["param"] for m in found if m["type"] == "parameter_msg"
    }
    assert metrics["predictor/loss"]["metricValue"] == 2.5 and metrics["predictor/loss"]["step"] == 3
    assert settings["data|lookback"]["paramValue"] == 90 and settings["seed"]["paramValue"] == 7
    assert "comet upload" in caplog.text
    assert not {m["type"] for m in found} & {"standard_output_msg", "file_upload", "code_msg"}


def test_a_refused_run_is_told_of_no_archive_in_a_folder_that_will_be_gone(tmp_path, caplog):
    from kronos_lab.errors import InputError

    caplog.set_level("INFO")
    logger = comet_logger(str(tmp_path), name="demo", project="kronos-lab")
    with pytest.raises(InputError), tracked(logger, {"seed": 7}, {}):
        raise InputError("trainer.max_epochs=one")
    assert "comet upload" not in caplog.text


def test_comet_is_offline_without_a_key_or_without_an_answer(monkeypatch, caplog):
    assert not comet_is_reachable()
    monkeypatch.setenv("COMET_API_KEY", "not-a-key")
    monkeypatch.setenv("COMET_URL_OVERRIDE", "http://127.0.0.1:9")
    assert not comet_is_reachable()
    assert "does not answer" in caplog.text


def test_csv_and_tensorboard_write_into_the_run_folder(tmp_path):
    for logger in (csv_logger(str(tmp_path)), tensorboard_logger(str(tmp_path))):
        with tracked(logger, {"seed": 7}, {"market": "small"}):
            logger.log_metrics({"loss": 1.0}, step=1)
            logger.save()
    assert "loss" in (tmp_path / "csv" / "version_0" / "metrics.csv").read_text()
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_a_table_is_in_the_archive_with_its_index(tmp_path):
    import pandas as pd

    table = pd.DataFrame({"loss": [2.5, 2.0]}, index=pd.Index(["zero_shot", "finetuned"], name="forecaster"))
    logger = comet_logger(str(tmp_path), name="demo", project="kronos-lab")
    with tracked(logger, {}, {}):
        log_table(logger, "evaluation", table)
    (sent,) = [m["payload"] for m in messages(tmp_path) if m["type"] == "file_upload"]
    assert sent["additional_params"]["fileName"] == "evaluation.csv"
    (archive,) = (tmp_path / "comet").glob("*.zip")
    with zipfile.ZipFile(archive) as opened:
        assert opened.read(sent["file_path"]).decode().split() == ["forecaster,loss", "zero_shot,2.5", "finetuned,2.0"]
    for other in (csv_logger(str(tmp_path)), tensorboard_logger(str(tmp_path))):
        with tracked(other, {}, {}):
            log_table(other, "evaluation", table)
            other.save()
    (events,) = (tmp_path / "tensorboard").glob("events.*")
    assert b"zero_shot" in events.read_bytes()
