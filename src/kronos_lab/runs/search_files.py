"""What a search leaves for people: `trials.csv`, a row per trial, and `best.yaml`, the overrides of the best one."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kronos_lab.errors import InputError
from kronos_lab.runs.flat_settings import flat
from kronos_lab.runs.search_space import SearchSpace
from kronos_lab.runs.search_trial import ERROR, GROUP, PRUNING, SECONDS

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

TRIALS_FILE, BEST_FILE = "trials.csv", "best.yaml"
MOST_SHOWN = 5
TO_PARAMS = "move it to hydra.sweeper.params in that file"
STATES = {"FAIL": "failed"}  # Optuna's names where they are no words


def state_of(trial: "FrozenTrial") -> str:
    """Running, waiting, complete, pruned or failed."""
    return STATES.get(trial.state.name, trial.state.name.lower())


def best_trial(study: "Study") -> "FrozenTrial | None":
    """The complete trial with the best value; None where none is complete."""
    from optuna.trial import TrialState

    return study.best_trial if study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) else None


def write_search_files(folder: Path, study: "Study", space: SearchSpace) -> None:
    """Write both files anew.

    Args:
        folder: of the search; the folder of a trial is in it and is named by its number.
        study: its trials.
        space: what is searched.
    """
    rows = [
        {
            "trial": trial.number,
            "state": state_of(trial),
            "value": trial.value if trial.state.is_finished() else None,
            **{key: trial.params.get(key) for key in space.free},
            "seconds": trial.user_attrs.get(SECONDS),
            "folder": trial.number if (folder / str(trial.number)).is_dir() else None,
            "error": trial.user_attrs.get(ERROR),
        }
        for trial in study.get_trials(deepcopy=False)
    ]
    if rows:
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        _write(folder / TRIALS_FILE, table.getvalue())
    best = best_trial(study)
    if best is not None:
        _write(folder / BEST_FILE, _describe_best(best, to_type(space.overrides(best.params))))


def to_type(overrides: Sequence[str]) -> list[str]:
    """Overrides of a trial without what only its search needs."""
    return [one for one in overrides if not _of_search(one.lstrip("+~").partition("=")[0])]


def _of_search(key: str) -> bool:
    """Whether a setting says nothing of a trial that has come to its end."""
    return key in {GROUP, "name", "objective", PRUNING} or key.startswith((f"{GROUP}.", f"{PRUNING}."))


def refuse_what_best_would_not_say(search: str, of_trial: Mapping[str, Any], typed: Mapping[str, Any]) -> None:
    """Refuse a file of a search that sets more than `hydra.sweeper.params`: `best.yaml` would be of another run.

    Args:
        search: how the file is chosen, `hparams_search=<name>`.
        of_trial: configuration of a trial.
        typed: configuration that its overrides in `best.yaml` give, see `to_type`.

    Raises:
        InputError: the file sets more.
    """
    settings, again = flat(of_trial), flat(typed)
    lost = sorted(
        key
        for key in settings.keys() | again.keys()
        if not _of_search(key) and (key not in settings or key not in again or settings[key] != again[key])
    )
    if lost:
        shown = ", ".join(lost[:MOST_SHOWN]) + (f" and {len(lost) - MOST_SHOWN} more" if len(lost) > MOST_SHOWN else "")
        raise InputError(f"{search} sets {shown}, which {BEST_FILE} would not say: {TO_PARAMS}")


def _describe_best(best: "FrozenTrial", overrides: Sequence[str]) -> str:
    import yaml

    content = {"trial": best.number, "value": best.value, "folder": str(best.number), "overrides": list(overrides)}
    return "# The best trial so far; type its overrides to run it again.\n" + yaml.safe_dump(content, sort_keys=False)


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
