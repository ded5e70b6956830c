"""The settings with which a run begins: its own, those of an attempt that goes on, or those of a run to repeat."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from kronos_lab.errors import InputError
from kronos_lab.runs.folder import CONFIG_FILE, SUMMARY_FILE, load_config, make_paths_absolute, save_config, typed
from kronos_lab.runs.folder_lock import keep_folder
from kronos_lab.runs.ranks import rank
from kronos_lab.runs.repetition import repeated_settings


def begin_run(cfg: DictConfig, folder: Path) -> DictConfig:
    """Configuration of a run that begins: saved in its folder, which is this process's now; or of one that goes on.

    A run goes on with `resume=`, or where its ranks have been told the folder of an earlier attempt, see
    `shared_folder`.

    Raises:
        InputError: other settings are given than that run has, or it is at work, or has finished, or it is none.
    """
    from hydra.core.hydra_config import HydraConfig

    overrides = list(HydraConfig.get().overrides.task)
    if cfg.resume is None:
        if cfg.from_run is not None:
            cfg = repeated_settings(cfg, overrides)
        make_paths_absolute(cfg)
        if rank() != 0:
            return cfg
        keep_folder(folder, cfg.get("name"))
        if (folder / CONFIG_FILE).is_file():
            return _earlier_attempt(cfg, folder)
        save_config(folder, cfg)
        return cfg
    asked = [override for override in overrides if not override.startswith(("resume=", "debug="))]
    if asked:
        raise InputError(f"resume= goes on with the configuration of {folder}: leave out {', '.join(asked)}")
    keep_folder(folder)
    _check_unfinished(folder)
    return load_config(folder)


def _check_unfinished(folder: Path) -> None:
    if (folder / SUMMARY_FILE).is_file():
        raise InputError(f"{folder} has finished: start a new run from it with {typed('model.pretrained', folder)}")


def _earlier_attempt(cfg: DictConfig, folder: Path) -> DictConfig:
    _check_unfinished(folder)
    earlier = load_config(folder)
    again = cfg.copy()
    # The usual name is made of the time; the others do not change what is computed.
    again.update(name=earlier.name, debug=earlier.get("debug"), objective=earlier.get("objective"))
    now, before = (OmegaConf.to_container(one, resolve=True) for one in (again, earlier))
    assert isinstance(now, dict) and isinstance(before, dict)
    if now.get("split", {}).get("_target_") != before.get("split", {}).get("_target_"):
        now["split"] = before["split"]  # given as shares of the days there are, and settled in days by that attempt
    different = [str(key) for key in {**now, **before} if now.get(key) != before.get(key)]
    if different:
        raise InputError(f"{folder} holds a run with another {', '.join(different)}: choose another folder")
    return earlier
