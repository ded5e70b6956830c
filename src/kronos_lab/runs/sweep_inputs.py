"""What all jobs of a sweep are to have in common: the weights, where none are named, and the data of the market."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from kronos_lab.runs.folder import quoted
from kronos_lab.runs.summary import read_summary
from kronos_lab.runs.sweep_folder import FINISHED, Job, SweepFolder

CHECKPOINT = "checkpoint"
SAY_WHICH_IS_NEWEST = {"market", "paths", "experiment"}  # settings, or groups of them


def settle_weights(config: DictConfig, earlier: Sequence[str] | None) -> list[str]:
    """Overrides by which all jobs use the same weights where `checkpoint` is null, which means the newest run.

    Each job would look for it when it begins, and might find one that was still being trained when the first began.
    Where jobs differ in what says which run that is, they still do, and a line says so.

    Args:
        config: of the sweep, with its overrides.
        earlier: what was settled by the attempt that this one goes on with; None where there was none.

    Returns:
        Nothing where the command has no such setting, or weights are named or swept.

    Raises:
        InputError: there is no finished training run.
    """
    if config.get(CHECKPOINT, "none to choose") is not None:
        return []
    varied = _varied(config)
    if CHECKPOINT in varied:
        return []
    if earlier is not None:
        for override in earlier:
            print(f"settled     {override}", flush=True)
        return list(earlier)
    if varied & SAY_WHICH_IS_NEWEST:
        which = ", ".join(sorted(varied & SAY_WHICH_IS_NEWEST))
        print(f"warning: each job looks for the newest run anew, as {which} varies: checkpoint= names one for all")
        return []
    from hydra.utils import instantiate

    from kronos_lab.runs.checkpoint import find_checkpoint

    market = instantiate(config.market)
    found = find_checkpoint(None, None, Path(config.paths.outputs), market.name, market.fingerprint)
    assert found.run is not None
    print(f"checkpoint  {found.title}, of all jobs", flush=True)
    return [f"{CHECKPOINT}={quoted(found.run.folder.absolute())}"]


def differing_data(folder: SweepFolder, jobs: Sequence[Job]) -> str | None:
    """One line where finished jobs have read a market of one name with other data; None where all is well."""
    numbers: dict[str, dict[str, list[str]]] = {}
    for job in jobs:
        summary = read_summary(folder.path / job.folder) if job.status == FINISHED else None
        market = (summary or {}).get("market")
        if market:
            numbers.setdefault(market["name"], {}).setdefault(market["fingerprint"], []).append(str(job.number))
    found = [
        f"market {name} had other data in " + " than in ".join(f"jobs {', '.join(same)}" for same in by_data.values())
        for name, by_data in numbers.items()
        if len(by_data) > 1
    ]
    return "; ".join(found) + ": do not compare them" if found else None


def _varied(config: DictConfig) -> set[str]:
    """Settings, or groups of them, that a sweeper chooses: those swept, and the parameters it is configured with."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    overrides = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
    keys = [one.key_or_group for one in overrides if one.is_sweep_override()]
    keys += [str(key) for key in config.hydra.sweeper.get("params") or {}]
    return {key.lstrip("+~").replace("/", ".").split(".")[0] for key in keys}
