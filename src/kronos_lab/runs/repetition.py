"""`from_run=`: a training run repeated from its summary, and whether it came out the same."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from kronos_lab.errors import InputError
from kronos_lab.runs.folder import SUMMARY_FILE, find_folder
from kronos_lab.runs.summary import PRUNED, git_state, package_versions, read_summary

if TYPE_CHECKING:
    from kronos_lab.data.market import Market

log = logging.getLogger(__name__)

# What the run that repeats may be given: where it writes, and what is shown of it. None of it changes a weight.
OF_ITS_OWN = ("name", "debug", "logger", "paths.outputs")


def repeated_settings(cfg: DictConfig, overrides: list[str]) -> DictConfig:
    """Settings of the run that `cfg.from_run` names, with name, tracker and outputs of this one.

    Args:
        cfg: as composed for this command; settings that the earlier run did not know yet keep these values.
        overrides: what was typed.

    Raises:
        InputError: there is no such finished training run, or other settings are given.
    """
    folder = find_training_run(cfg.from_run, Path(cfg.paths.outputs))
    keys = {override.lstrip("+~").split("=")[0] for override in overrides} - {"from_run"}
    asked = sorted(key for key in keys if not {key, key.split(".")[0]} & set(OF_ITS_OWN))
    if asked:
        raise InputError(
            f"from_run= repeats {folder} as it was: leave out {', '.join(asked)}, or type its command anew "
            "(summary.json has it)"
        )
    settings = cfg.copy()
    OmegaConf.set_struct(settings, False)
    for key, value in _summary_of(folder)["config"].items():
        if key not in {"name", "debug"} and not (key == "logger" and any(typed.startswith(key) for typed in keys)):
            settings[key] = value
    OmegaConf.update(settings, "paths.outputs", cfg.paths.outputs)
    settings.from_run = str(folder)
    return settings


def find_training_run(run: str | int, outputs: Path) -> Path:
    """Folder of a finished training run, given as a folder or by its name."""
    folder = find_folder(run, outputs / "train", SUMMARY_FILE)
    summary = (read_summary(folder) if folder else None) or {}
    if folder is None or summary.get("kind") != "train":
        raise InputError(
            f"from_run={run} is no finished training run: give its folder, or its name under {outputs}/train"
        )
    if summary.get("status") == PRUNED:
        raise InputError(f"from_run={run} was pruned by its search, and has no weights to be compared with")
    return folder.absolute()


def warn_of_differences(run: str | None, market: "Market") -> None:
    """Say what is not as it was when `run` was made, so that it may come out differently; None: nothing is repeated."""
    if run is None:
        return
    was = _summary_of(Path(run))
    if was["market"]["fingerprint"] != market.fingerprint:
        log.warning("market %s has other data than when %s was made: its weights will be others", market.name, run)
    versions = package_versions()
    for package, version in was["versions"].items():
        if versions.get(package) != version:
            log.warning("%s is %s, was %s: its weights may be others", package, versions.get(package), version)
    revision = git_state()["revision"]
    if was["git"]["revision"] != revision:
        log.warning("the source is at %s, was at %s: its weights may be others", revision, was["git"]["revision"])


def compared_with(run: str | None, weights: Mapping[str, str]) -> dict[str, Any]:
    """Whether the weights are those of the run that was repeated, for the summary and the log; {} where none was."""
    if run is None:
        return {}
    same = _summary_of(Path(run))["weights"] == dict(weights)
    log.info("weights     %s", f"those of {run}, to the bit" if same else f"not those of {run}")
    return {"repeats": {"run": run, "same_weights": same}}


def _summary_of(folder: Path) -> dict[str, Any]:
    summary = read_summary(folder)
    if summary is None:
        raise InputError(f"{folder} has lost its summary.json")
    return summary
