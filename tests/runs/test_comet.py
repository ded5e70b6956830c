"""Comet, online on a server of this machine: what fails there never fails or stalls a run."""

import json
import random
import time
import zipfile
from types import SimpleNamespace

import pytest
from fake_comet import FakeComet

KEY = "not-a-key-of-anybody-here"


@pytest.fixture
def server(monkeypatch):
    fake = FakeComet()
    monkeypatch.setenv("COMET_API_KEY", KEY)
    monkeypatch.setenv("COMET_URL_OVERRIDE", fake.url)
    yield fake
    fake.vanish()


def open_logger(folder, **arguments):
    from kronos_lab.runs.tracking import comet_logger

    return comet_logger(str(folder), **{"name": "demo", "project": "kronos-lab", "seconds_to_upload": 5} | arguments)


def messages(folder):
    (archive,) = (folder / "comet").glob("*.zip")
    with zipfile.ZipFile(archive) as opened:
        return [json.loads(line) for line in opened.read("messages.json").decode().splitlines()]


def said(caplog):
    """What reaches the log of a run: Comet's own logger does not pass its messages on, but here it is listened to."""
    return [r.getMessage() for r in caplog.records if r.name.startswith("kronos_lab") and r.levelname == "WARNING"]


def metrics(folder):
    found = [m["payload"]["metric"] for m in messages(folder) if m["type"] == "metric_msg"]
    return {metric["metricName"]: metric["metricValue"] for metric in found}


def test_online_the_experiment_and_its_page_are_in_the_summary(tmp_path, server):
    from kronos_lab.runs.tracking import record_of, tracked

    logger = open_logger(tmp_path)
    assert logger.is_alive and not logger.is_offline
    with tracked(logger, {"seed": 7}, {"market": "small"}):
        logger.log_metrics({"loss": 1.0}, step=1)
    assert any(path.endswith("/batch/logger/experiment/metric") for path in server.asked)
    record = record_of(logger)["comet"]
    assert record["archive"] is None and record["experiment"] in record["url"]


def test_a_network_that_fails_in_the_middle_leaves_a_complete_archive(tmp_path, server, caplog):
    from kronos_lab.runs.tracking import tracked

    logger = open_logger(tmp_path)
    began = time.monotonic()
    with tracked(logger, {"seed": 7}, {}):
        logger.log_metrics({"before": 1.0}, step=1)
        server.vanish()
        logger.log_metrics({"after": 2.0}, step=2)
        logger.finalize("success")  # as Lightning does after each stage
    assert time.monotonic() - began < 30
    assert {"before": 1.0, "after": 2.0}.items() <= metrics(tmp_path).items()
    (warning,) = said(caplog)
    assert warning.startswith("Comet: ") and "\n" not in warning and KEY not in warning


@pytest.mark.parametrize(("status", "words"), [(401, "does not accept COMET_API_KEY"), (503, "does not answer")])
def test_a_wrong_key_or_a_broken_server_is_one_line(server, caplog, status, words):
    from kronos_lab.runs.comet import comet_is_reachable

    assert comet_is_reachable()
    server.status = {"/account-details": status}
    assert not comet_is_reachable()
    (warning,) = said(caplog)
    assert words in warning and "offline archive" in warning and KEY not in warning


def test_an_experiment_that_is_refused_becomes_an_archive(tmp_path, server, caplog):
    from kronos_lab.runs.tracking import tracked

    server.status = {"/add/run": 400}
    logger = open_logger(tmp_path)
    assert logger.is_alive and logger.is_offline
    with tracked(logger, {}, {}):
        logger.log_metrics({"loss": 1.0}, step=1)
    assert metrics(tmp_path)["loss"] == 1.0
    assert "opens no experiment" in said(caplog)[-1]
    assert all("\n" not in line and KEY not in line for line in said(caplog))


def test_an_experiment_that_fails_or_sleeps_holds_nobody_up(tmp_path, monkeypatch, caplog):
    from kronos_lab.runs import comet
    from kronos_lab.runs.tracking import log_facts, tracked

    monkeypatch.delenv("COMET_API_KEY", raising=False)
    monkeypatch.setattr(comet, "SECONDS_FOR_MESSAGES", 0.1)
    logger = open_logger(tmp_path, seconds_to_upload=0.2)
    logger._experiment.end()

    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host")

    def sleep(*_: object, **__: object) -> None:
        time.sleep(20)

    calls = {"log_others": fail, "log_model": sleep, "get_key": lambda: "key"}
    calls |= dict.fromkeys(("__internal_api__log_parameters__", "__internal_api__log_metrics__"), fail)
    logger._experiment = SimpleNamespace(url=None, **calls)
    began = time.monotonic()
    with tracked(logger, {"seed": 7}, {}):
        for step in range(100):
            logger.log_metrics({"loss": 1.0}, step=step)
            log_facts(logger, {"step": step})
        logger.send(lambda experiment: experiment.log_model())
    assert time.monotonic() - began < 5
    (warning,) = said(caplog)
    assert warning == "Comet refuses part of the record: ConnectionError: no route to host; the run goes on"


def test_a_resumed_run_goes_on_with_its_experiment(tmp_path, monkeypatch):
    monkeypatch.delenv("COMET_API_KEY", raising=False)
    keys = []
    for _ in range(2):
        random.seed(100)  # as a run does: the second archive must not replace the first
        logger = open_logger(tmp_path)
        keys.append(logger.version)
        logger.log_metrics({"loss": 1.0}, step=1)
        logger.end()
        assert random.random() == random.Random(100).random()
    assert keys[0] == keys[1]
    archives = list((tmp_path / "comet").glob("*.zip"))
    assert len(archives) == 2
    for archive in archives:
        with zipfile.ZipFile(archive) as opened:
            described = json.loads(opened.read("experiment.json"))
        assert described["offline_id"] == keys[0] and described["resume_strategy"] == "get_or_create"


@pytest.mark.parametrize(
    ("key", "given"), [("seconds_to_upload", "soon"), ("upload_artifacts", "maybe"), ("tags", "try")]
)
def test_a_setting_that_is_none_is_refused(tmp_path, key, given):
    from kronos_lab.errors import InputError

    with pytest.raises(InputError, match=f"logger.{key}={given} must be"):
        open_logger(tmp_path, **{key: given})


def test_models_that_cannot_be_sent_fail_no_run(tmp_path, server, caplog):
    """Comet refuses a folder that is not there, with the first of its own errors."""
    from kronos_lab.runs.tracking import log_artifact

    logger = open_logger(tmp_path)
    log_artifact(logger, tmp_path / "run", "model", ["predictor"], {})
    logger.end()
    assert said(caplog)[-1].startswith("Comet refuses part of the record: ")


def test_online_models_are_one_artifact(tmp_path, server, monkeypatch):
    from kronos_lab.runs.tracking import log_artifact

    (tmp_path / "run" / "predictor").mkdir(parents=True)
    (tmp_path / "run" / "predictor" / "config.json").write_text("{}")
    logger = open_logger(tmp_path)
    logger._experiment.end()
    sent = []
    logger._experiment = SimpleNamespace(log_artifact=sent.append, end=lambda: None)
    log_artifact(logger, tmp_path / "run", "model", ["predictor"], {"market_fingerprint": "abc"})
    logger.end()
    (artifact,) = sent
    assert artifact.name == "run" and artifact.metadata == {"market_fingerprint": "abc"}
    assert [asset.logical_path for asset in artifact.assets] == ["predictor/config.json"]


def test_further_ranks_never_talk_to_comet(tmp_path, server, monkeypatch):
    from lightning.pytorch.utilities import rank_zero_only

    from kronos_lab.runs.tracking import log_facts, tracked

    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger = open_logger(tmp_path)
    with tracked(logger, {"seed": 7}, {"market": "small"}):
        log_facts(logger, {"world_size": 2})
    assert server.asked == [] and list(tmp_path.iterdir()) == []
