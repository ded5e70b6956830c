"""Where a run's figures go besides its folder: Comet (online, or an offline archive), TensorBoard or CSV.

Secrets come from the environment only: Comet is online exactly when COMET_API_KEY is set and Comet answers.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kronos_lab.runs.ranks import rank

if TYPE_CHECKING:
    import pandas as pd
    from lightning.pytorch.loggers import CometLogger, CSVLogger, Logger, TensorBoardLogger

COMET_SERVER = "https://www.comet.com"
SECONDS_TO_ANSWER = 5.0

log = logging.getLogger(__name__)


def comet_logger(
    folder: str, name: str, project: str, workspace: str | None = None, tags: Sequence[str] = ()
) -> "CometLogger":
    """Lightning's CometLogger, online with a key and a network, else writing an archive under `<folder>/comet`.

    What Comet would record by itself (console output, arguments, source code, host) is off: the configuration and
    the metrics are what a run is about, and the rest may hold what nobody meant to send.
    """
    os.environ.setdefault("COMET_LOGGING_CONSOLE", "ERROR")
    from lightning.pytorch.loggers import CometLogger

    online = comet_is_reachable()
    archive = Path(folder) / "comet"
    archive.mkdir(parents=True, exist_ok=True)
    # `CometLogger(online=False)` disables the experiment instead of writing an archive (Lightning issue 21617);
    # with `online` left open Comet's own environment variable decides.
    with _environment(COMET_START_ONLINE="1" if online else "0"):
        return CometLogger(
            workspace=workspace,
            project=project,
            name=name,
            tags=list(tags),
            offline_directory=str(archive),
            auto_output_logging=False,
            log_code=False,
            log_graph=False,
            parse_args=False,
            log_git_patch=False,
            log_env_host=False,
            log_env_network=False,
            log_env_disk=False,
            display_summary_level=0,
        )


def tensorboard_logger(folder: str) -> "TensorBoardLogger":
    """Event files under `<folder>/tensorboard`."""
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(folder, name="tensorboard", version="", default_hp_metric=False)


def csv_logger(folder: str) -> "CSVLogger":
    """`<folder>/csv/version_0/metrics.csv`, version_1 after a resume: a row per logged step, a column per metric."""
    from lightning.pytorch.loggers import CSVLogger

    return CSVLogger(folder, name="csv")


@contextmanager
def tracked(logger: "Logger", settings: Mapping[str, Any]) -> Iterator[None]:
    """Log a run's settings, and bring its record to an end however the run ends.

    Lightning never ends a Comet experiment, and an offline archive is only complete once it has been ended.
    """
    from lightning.pytorch.loggers import CometLogger

    logger.log_hyperparams(dict(settings))
    try:
        yield
    finally:
        if isinstance(logger, CometLogger) and rank() == 0:
            _end(logger)


def log_image(logger: "Logger", path: Path, name: str | None = None) -> None:
    """Send a picture to Comet or TensorBoard; a CSV log has no room for one."""
    from lightning.pytorch.loggers import CometLogger, TensorBoardLogger

    if isinstance(logger, CometLogger):
        logger.experiment.log_image(str(path), name=name or path.stem)
    elif isinstance(logger, TensorBoardLogger):
        from matplotlib.image import imread

        logger.experiment.add_image(name or path.stem, imread(path), dataformats="HWC")


def log_file(logger: "Logger", path: Path) -> None:
    """Attach a file (a report, a table) to the Comet experiment; the other loggers keep to metrics."""
    from lightning.pytorch.loggers import CometLogger

    if isinstance(logger, CometLogger):
        logger.experiment.log_asset(str(path), file_name=path.name)


def log_table(logger: "Logger", name: str, frame: "pd.DataFrame") -> None:
    """Send a table to Comet (as `<name>.csv`) or TensorBoard (as text); a CSV log has no room for one.

    Args:
        logger: of the run.
        name: of the table, without ending.
        frame: its index goes with it, as the first column or columns.
    """
    from lightning.pytorch.loggers import CometLogger, TensorBoardLogger

    if isinstance(logger, CometLogger):
        logger.experiment.log_table(f"{name}.csv", tabular_data=frame.reset_index(), index=False)
    elif isinstance(logger, TensorBoardLogger):
        lines = frame.to_string().splitlines()
        logger.experiment.add_text(name, "\n".join(f"    {line}" for line in lines))  # Markdown's code block


def comet_is_reachable() -> bool:
    """Whether there is a key in the environment and a server that answers.

    With a key but no network Comet waits for half a minute and then logs nothing while looking alive.
    """
    if not os.environ.get("COMET_API_KEY"):
        return False
    import requests

    server = os.environ.get("COMET_URL_OVERRIDE", COMET_SERVER)
    try:
        requests.head(server, timeout=SECONDS_TO_ANSWER)
    except requests.RequestException:
        log.warning("%s does not answer: metrics go to an offline archive in the run folder", server)
        return False
    return True


def _end(logger: "CometLogger") -> None:
    experiment = logger.experiment
    experiment.end()
    archives = sorted(Path(logger.save_dir or ".").glob("*.zip"))
    if archives:
        log.info("Comet archive: upload it with  comet upload '%s'", archives[-1])
    elif not getattr(experiment, "offline", False):
        log.info("Comet: %s", experiment.url)


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
