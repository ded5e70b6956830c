"""Where a run's figures go besides its folder: Comet (online, or an offline archive), TensorBoard or CSV.

Secrets come from the environment only: Comet is online exactly when COMET_API_KEY is set and a server accepts it.
"""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kronos_lab.errors import InputError
from kronos_lab.runs.folder import has_only_begun
from kronos_lab.runs.job_process import sweep_name
from kronos_lab.runs.ranks import rank
from kronos_lab.runs.summary import git_state, package_versions

if TYPE_CHECKING:
    import pandas as pd
    from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

    from kronos_lab.data.market import Market
    from kronos_lab.runs.comet import BackgroundCometLogger

log = logging.getLogger(__name__)


def comet_logger(
    folder: str,
    name: str,
    project: str,
    workspace: str | None = None,
    tags: Sequence[str] = (),
    upload_artifacts: bool = True,
    seconds_to_upload: float = 600,
) -> "BackgroundCometLogger":
    """Comet, online with a key and a network, else writing an archive under `<folder>/comet`."""
    from kronos_lab.runs.comet import open_comet

    if not isinstance(tags, list | tuple):  # text would be taken letter by letter
        raise InputError(f"logger.tags={'null' if tags is None else tags} must be a list, as [csi300,first_try]")
    sweep = sweep_name()
    all_tags = [*tags, *([f"sweep:{sweep}"] if sweep else [])]
    return open_comet(
        Path(folder), name, upload_artifacts, seconds_to_upload, project=project, workspace=workspace, tags=all_tags
    )


def tensorboard_logger(folder: str) -> "TensorBoardLogger":
    """Event files under `<folder>/tensorboard`."""
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(folder, name="tensorboard", version="", default_hp_metric=False)


def csv_logger(folder: str) -> "CSVLogger":
    """`<folder>/csv/version_0/metrics.csv`, version_1 after a resume: a row per logged step, a column per metric."""
    from lightning.pytorch.loggers import CSVLogger

    return CSVLogger(folder, name="csv")


def facts_of_run(folder: Path, market: "Market | None", **further: Any) -> dict[str, Any]:
    """What every run logs beside its configuration: what it was computed by, and from what.

    Args:
        folder: the run folder.
        market: what was read; None where nothing was.
        further: what runs of this kind alone have to say, such as the weights they start from.
    """
    git = git_state()
    return {
        "run_folder": str(folder),
        "git_revision": git["revision"],
        "git_dirty": git["dirty"],
        **({} if market is None else {"market": market.name, "market_fingerprint": market.fingerprint}),
        **further,
        **{f"version_{package}": number for package, number in package_versions().items()},
    }


@contextmanager
def tracked(logger: "Logger", settings: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[None]:
    """Log a run's settings and facts, and bring its record to an end however the run ends.

    Lightning never ends a Comet experiment, and an offline archive is only complete once it has been ended.

    Args:
        logger: of the run.
        settings: its resolved configuration.
        facts: see `facts_of_run`.
    """
    logger.log_hyperparams(dict(settings))
    log_facts(logger, facts)
    refused = False
    try:
        yield
    except InputError:
        refused = True
        raise
    finally:
        if rank() == 0:
            end_tracking(logger, refused)


def end_tracking(logger: "Logger", refused: bool = False) -> None:
    """Bring the record to an end, and say where it is; not of a run that is refused, whose folder is removed."""
    from kronos_lab.runs.comet import BackgroundCometLogger

    if isinstance(logger, BackgroundCometLogger):
        logger.end()
        if refused and has_only_begun(Path(logger.save_dir or ".").parent):
            return
        record = record_of(logger)["comet"]
        if record["archive"] is not None:
            archive = Path(logger.save_dir or ".") / record["archive"]
            log.info("Comet archive: upload it with  comet upload '%s'", archive)
        elif record["url"] is not None:
            log.info("Comet: %s", record["url"])


def record_of(logger: "Logger") -> dict[str, Any]:
    """Where the record of a run is, for its summary: Comet's experiment key, and its page or the newest archive."""
    from kronos_lab.runs.comet import BackgroundCometLogger

    if not isinstance(logger, BackgroundCometLogger):
        return {}
    # Also online: Comet writes an archive where the network fails in the middle.
    archives = sorted(Path(logger.save_dir or ".").glob("*.zip"), key=lambda path: path.stat().st_mtime)
    return {
        "comet": {
            "experiment": logger.version,
            "url": None if logger.is_offline else logger.experiment.url,
            "archive": archives[-1].name if archives else None,
        }
    }


def log_facts(logger: "Logger", facts: Mapping[str, Any]) -> None:
    """Log what is neither a setting nor a metric: as Comet's "other", as text in TensorBoard, in `hparams.yaml`."""
    from lightning.pytorch.loggers import TensorBoardLogger

    from kronos_lab.runs.comet import BackgroundCometLogger

    if isinstance(logger, BackgroundCometLogger):
        logger.send(lambda experiment: experiment.log_others(dict(facts)))
        return
    logger.log_hyperparams({f"run_{name}": value for name, value in facts.items()})
    if isinstance(logger, TensorBoardLogger):
        for name, value in facts.items():
            logger.experiment.add_text(f"run/{name}", str(value))


def log_image(logger: "Logger", path: Path, name: str | None = None) -> None:
    """Send a picture to Comet or TensorBoard; a CSV log has no room for one."""
    from lightning.pytorch.loggers import TensorBoardLogger

    from kronos_lab.runs.comet import BackgroundCometLogger

    if isinstance(logger, BackgroundCometLogger):
        logger.send(lambda experiment: experiment.log_image(str(path), name=name or path.stem))
    elif isinstance(logger, TensorBoardLogger):
        from matplotlib.image import imread

        logger.experiment.add_image(name or path.stem, imread(path), dataformats="HWC")


def log_file(logger: "Logger", path: Path) -> None:
    """Attach a file (a report, a table) to the Comet experiment; the other loggers keep to metrics."""
    from kronos_lab.runs.comet import BackgroundCometLogger

    if isinstance(logger, BackgroundCometLogger):
        logger.send(lambda experiment: experiment.log_asset(str(path), file_name=path.name))


def log_outcome(
    logger: "Logger", kind: str, figures: Mapping[str, float], pictures: Path, files: Sequence[Path]
) -> None:
    """Send what a run ends with: figures as `<kind>/<name>` but for those that are no number, pictures, files.

    Args:
        logger: of the run.
        kind: of the run.
        figures: by name.
        pictures: folder of them (*.png).
        files: what else is sent.
    """
    logger.log_metrics({f"{kind}/{name}": figure for name, figure in figures.items() if math.isfinite(figure)}, step=0)
    logger.save()  # a CSV log waits for 100 steps otherwise
    for picture in sorted(pictures.glob("*.png")):
        log_image(logger, picture)
    for file in files:
        log_file(logger, file)


def log_table(logger: "Logger", name: str, frame: "pd.DataFrame") -> None:
    """Send a table to Comet (as `<name>.csv`) or TensorBoard (as text); a CSV log has no room for one.

    Args:
        logger: of the run.
        name: of the table, without ending.
        frame: its index goes with it, as the first column or columns.
    """
    from lightning.pytorch.loggers import TensorBoardLogger

    from kronos_lab.runs.comet import BackgroundCometLogger

    if isinstance(logger, BackgroundCometLogger):
        table = frame.reset_index()
        logger.send(lambda experiment: experiment.log_table(f"{name}.csv", tabular_data=table, index=False))
    elif isinstance(logger, TensorBoardLogger):
        lines = frame.to_string().splitlines()
        logger.experiment.add_text(name, "\n".join(f"    {line}" for line in lines))  # Markdown's code block


def log_artifact(logger: "Logger", folder: Path, kind: str, names: Sequence[str], facts: Mapping[str, Any]) -> None:
    """Send files and folders of a run to Comet, unless `logger.upload_artifacts` is false; the others hold no files.

    Online they are an artifact of the workspace, one for each run. An offline archive cannot hold artifacts: there
    they are model files, or assets, of the experiment.

    Args:
        logger: of the run.
        folder: the run folder, which names the artifact, in a sweep with that of the sweep before it.
        kind: "model", whose names are folders of weights, or what else it is.
        names: what of the run folder is sent.
        facts: what to know of it: fingerprints of weights and market.
    """
    from kronos_lab.runs.comet import BackgroundCometLogger

    if not isinstance(logger, BackgroundCometLogger) or not logger.upload_artifacts:
        return
    sweep = sweep_name()
    title = f"{sweep}-{folder.name}" if sweep else folder.name

    def log_online(experiment: Any) -> None:
        from comet_ml import Artifact

        artifact = Artifact(title, kind, metadata=dict(facts))
        for name in names:
            artifact.add(str(folder / name), logical_path=name)
        experiment.log_artifact(artifact)

    def log_offline(experiment: Any) -> None:
        for name in names:
            if kind == "model":
                experiment.log_model(title, str(folder / name), metadata=dict(facts))
            elif (folder / name).is_dir():
                for file in sorted((folder / name).iterdir()):
                    experiment.log_asset(str(file), file_name=f"{name}/{file.name}")
            else:
                experiment.log_asset(str(folder / name), file_name=name)

    logger.send(log_offline if logger.is_offline else log_online)
