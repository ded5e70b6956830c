"""Comet, as a logger that training never waits for and never fails by.

Every call is made by one background thread, in the order given: a slow or broken network holds up that thread alone.
"""

import logging
import os
import queue
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CometLogger

from kronos_lab.data.settings import positive_number, switch
from kronos_lab.runs.folder import project_root
from kronos_lab.runs.ranks import rank

SERVER = "https://www.comet.com"
SECONDS_TO_ANSWER = 5.0
SECONDS_FOR_MESSAGES = 30  # at the end, for what is not a file, three times over
MOST_CALLS_WAITING = 100_000  # metrics of hours
KEY_FILE = "experiment_key"

log = logging.getLogger(__name__)


class BackgroundCometLogger(CometLogger):
    """Lightning's CometLogger, its calls made in the background; see `open_comet`.

    Args:
        upload_artifacts: whether `log_artifact` sends anything.
        seconds_to_upload: how long the end of a run waits for files on their way.
        experiment_arguments: of `CometLogger`.
    """

    def __init__(self, upload_artifacts: bool, seconds_to_upload: float, **experiment_arguments: Any) -> None:
        self.upload_artifacts, self.seconds_to_upload = upload_artifacts, seconds_to_upload
        self._calls: queue.Queue[Callable[[Any], object] | None] = queue.Queue(MOST_CALLS_WAITING)
        self._caller: threading.Thread | None = None
        self._complained = False
        super().__init__(**experiment_arguments)

    @property
    def is_alive(self) -> bool:
        """Whether there is an experiment that takes what it is given; false on ranks above 0."""
        return bool(getattr(self._experiment, "alive", False))

    @property
    def is_offline(self) -> bool:
        """Whether the record goes to an archive."""
        from comet_ml import OfflineExperiment

        return isinstance(self._experiment, OfflineExperiment)

    def send(self, call: Callable[[Any], object]) -> None:
        """Have the background thread call `call(experiment)`, after all that was sent before; rank 0 only."""
        if self._experiment is None or rank() != 0:
            return
        if self._caller is None:
            self._caller = threading.Thread(target=self._work, name="comet", daemon=True)
            self._caller.start()
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            self._complain("is too slow, part of the record is left out")

    def log_hyperparams(self, params: Any) -> None:
        """Parameters, nested ones with `|` between their names."""
        self.send(lambda _: CometLogger.log_hyperparams(self, params))

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Metrics of a step."""
        numbers = dict(metrics)
        self.send(lambda _: CometLogger.log_metrics(self, numbers, step))

    def finalize(self, status: str) -> None:
        """Nothing: Lightning would wait here, after each stage, until everything has been uploaded."""

    def end(self) -> None:
        """End the experiment: an archive is complete only now. Waits for uploads, but not for ever."""
        self.send(_end)
        if self._caller is None:
            return
        self._calls.put(None)
        self._caller.join(self.seconds_to_upload + 4 * SECONDS_FOR_MESSAGES)
        if self._caller.is_alive():
            self._complain("does not come to an end, part of the record is missing there")
            at_exit = getattr(self._experiment, "_atexit_hook", None)
            if at_exit is not None:  # or Python would wait for it once more
                at_exit.disable()
        self._caller = None

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call(self._experiment)
            except Exception as error:  # whatever Comet raises: a run does not depend on it
                self._complain(f"refuses part of the record: {one_line(error)}")

    def _complain(self, what: str) -> None:
        if not self._complained:
            log.warning("Comet %s; the run goes on", what)
        self._complained = True


def open_comet(
    folder: Path, name: str, upload_artifacts: bool, seconds_to_upload: float, **arguments: Any
) -> BackgroundCometLogger:
    """The Comet experiment of a run: online with a key that a server accepts, else an archive in `<folder>/comet`.

    A run that is resumed goes on with its experiment, whose key is in `<folder>/comet`: online it is the same one;
    offline there is one more archive of the same key, and Comet joins them when both are uploaded.

    Args:
        folder: the run folder.
        name: of the experiment.
        upload_artifacts: see `BackgroundCometLogger`.
        seconds_to_upload: the same.
        arguments: `project`, `workspace`, `tags`.
    """
    positive_number("logger.seconds_to_upload", seconds_to_upload)
    switch("logger.upload_artifacts", upload_artifacts)
    _quieten()
    archives = folder / "comet"
    key_file = archives / KEY_FILE
    if rank() == 0:
        archives.mkdir(parents=True, exist_ok=True)

    def open_experiment(online: bool) -> BackgroundCometLogger:
        # `CometLogger(online=False)` disables the experiment instead of writing an archive (Lightning issue 21617);
        # with `online` left open Comet's own environment variable decides.
        with (
            _names_by_chance(),
            _environment(
                COMET_START_ONLINE="1" if online else "0",
                COMET_TIMEOUT_CLEANING=str(SECONDS_FOR_MESSAGES),
                COMET_TIMEOUT_UPLOAD=str(int(seconds_to_upload)),
                COMET_GET_OR_ADD_EXPERIMENT_RETRY_TOTAL="1",  # ten by default, minutes in all
                COMET_HTTP_SESSION_RETRY_TOTAL="1",
                COMET_GIT_DIRECTORY=str(project_root()),  # not the repository the user happens to stand in
            ),
        ):
            return BackgroundCometLogger(
                upload_artifacts,
                seconds_to_upload,
                name=name,
                experiment_key=key_file.read_text().strip() if key_file.is_file() else None,
                mode="get_or_create",
                offline_directory=str(archives),
                # What Comet would record by itself: the configuration and the metrics are what a run is about, and
                # the rest may hold what nobody meant to send.
                auto_output_logging=False,
                log_code=False,
                log_graph=False,
                parse_args=False,
                log_git_patch=False,
                log_env_host=False,
                log_env_network=False,
                log_env_disk=False,
                display_summary_level=0,
                **arguments,
            )

    if rank() != 0:
        return open_experiment(online=False)  # asks nobody and writes nothing
    logger = None
    if comet_is_reachable():
        try:
            logger = open_experiment(online=True)
        except Exception as error:  # whatever Comet raises: a run does not depend on it
            log.warning("Comet opens no experiment (%s): metrics go to an archive in the run folder", one_line(error))
        else:
            if not logger.is_alive:
                log.warning("Comet opens no experiment: metrics go to an offline archive in the run folder")
                logger = None
    logger = logger or open_experiment(online=False)
    key_file.write_text(f"{logger.version}\n", encoding="utf-8")
    return logger


def comet_is_reachable() -> bool:
    """Whether there is a key in the environment and a server that accepts it.

    With a key but no network Comet waits for half a minute and then logs nothing while looking alive.
    """
    key = os.environ.get("COMET_API_KEY")
    if not key:
        return False
    from urllib.parse import urlsplit

    import requests

    parts = urlsplit(os.environ.get("COMET_URL_OVERRIDE") or SERVER)
    server = f"{parts.scheme}://{parts.netloc}"
    answers: list[int | None] = []

    def ask() -> None:
        try:
            url, headers = f"{server}/api/rest/v2/account-details", {"Authorization": key}
            answers.append(requests.get(url, headers=headers, timeout=SECONDS_TO_ANSWER).status_code)
        except (requests.RequestException, ValueError):  # a key with a line break in it is a ValueError
            answers.append(None)

    # In a thread: looking up a server's name has no timeout of its own.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(2 * SECONDS_TO_ANSWER)
    answer = answers[0] if answers else None
    if answer in {401, 403}:
        log.warning("%s does not accept COMET_API_KEY: metrics go to an offline archive in the run folder", server)
    elif answer is None or answer >= 500:
        log.warning("%s does not answer: metrics go to an offline archive in the run folder", server)
    else:
        return True
    return False


def one_line(what: object) -> str:
    """An error or a message as part of a line, without the key that Comet's own messages may quote."""
    text = f"{type(what).__name__}: {what}" if isinstance(what, BaseException) else str(what)
    key = os.environ.get("COMET_API_KEY")
    return " ".join((text.replace(key, "<key>") if key else text).split())[:250]


class _FirstComplaint(logging.Handler):
    """Passes the first thing that Comet complains about on to the run's log, in one line, without stack trace."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said = False

    def emit(self, record: logging.LogRecord) -> None:
        if not self.said:
            self.said = True
            log.warning("Comet: %s", one_line(record.getMessage()))


_first_complaint = _FirstComplaint()


def _quieten() -> None:
    """Comet's own console messages are off, unless the user asked for them: a broken network makes for pages."""
    os.environ.setdefault("COMET_LOGGING_CONSOLE", "CRITICAL")
    os.environ.setdefault("COMET_ERROR_TRACKING_ENABLE", "0")  # reports on its own errors, sent elsewhere
    os.environ["COMET_DISABLE_AUTO_LOGGING"] = "1"  # as Lightning does, for it must come before the import
    import comet_ml  # it sets up its logging

    complaints = logging.getLogger(comet_ml.__name__)
    complaints.setLevel(min(complaints.level, logging.WARNING))
    complaints.addHandler(_first_complaint)  # once, however often it is added
    _first_complaint.said = False
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # or there is a line for each retry


def _end(experiment: Any) -> None:
    with _names_by_chance():  # an archive, where the network failed in the middle
        experiment.end()


@contextmanager
def _names_by_chance() -> Iterator[None]:
    """Python's random numbers without the run's seed for a while.

    Comet draws the end of an archive's name from them: the archive of a resumed run would replace that of the first
    attempt.
    """
    state = random.getstate()
    random.seed()
    try:
        yield
    finally:
        random.setstate(state)


@contextmanager
def _environment(**defaults: str) -> Iterator[None]:
    """Environment variables for a while; what the user has set is kept, but for whether to be online."""
    before = {name: os.environ.get(name) for name in defaults}
    os.environ.update(
        {name: value for name, value in defaults.items() if before[name] is None or name == "COMET_START_ONLINE"}
    )
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
