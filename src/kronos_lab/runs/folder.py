"""The folder of a run: always a new one, found without asking where the user stands.

Configurations reach this file through resolvers: `${project_root:}` is the folder of the root scripts, and
`${run_folder:<outputs>,<kind>,<name>,<resume>}` is the folder that Hydra is given as `hydra.run.dir`;
`${same_folder:<outputs>,<kind>,<name>}` is one that a command typed again goes on with, and
`${sweep_folder:<outputs>,<kind>,<name>,<search>}` is like it where there is a search, else new;
`${if_given:<value>,<then>,<else>}` chooses a default by whether another setting is null, and
`${run_name:<from_run>,<usual>}` the name of a run.
"""

import itertools
import os
import shutil
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from kronos_lab.errors import InputError
from kronos_lab.runs.shared_folder import RUN_DIR_VARIABLE, shared_folder

CONFIG_FILE = "config.yaml"
SUMMARY_FILE = "summary.json"  # written last: a run without it did not finish
METRICS_FILE = "metrics.json"  # of a backtest: every figure
SWEEP_FILE = "sweep.json"  # of a sweep: the command as typed, see `sweep_folder`
LOCK_FILE, AT_WORK_FILE = ".lock", ".at_work"  # of a run or a sweep, see `folder_lock`
# What a run writes before it begins to compute: its settings, its log, and trackers that know only the settings.
WRITTEN_BEFORE_ANYTHING_HAPPENS = {
    CONFIG_FILE, f"{CONFIG_FILE}.partial", "comet", "csv", "tensorboard", SWEEP_FILE, LOCK_FILE, AT_WORK_FILE,
    "multirun.yaml",
}  # fmt: skip

# Settings of a training run that may be paths; the other things they may be (a run's name, a Hub id) stay as they are.
MAY_BE_PATHS = (
    "model.pretrained", "model.pretrained_tokenizer", "market.store", "market.bars", "market.memberships",
    "market.indices",
)  # fmt: skip
PATHS = ("paths.data", "paths.cache", "paths.outputs")

_made_here: list[Path] = []  # run folders that this process made


def project_root() -> Path:
    """Folder that holds `conf/` and the root scripts; the current folder where the package is installed alone."""
    source_tree = Path(__file__).resolve().parents[3]
    return source_tree if (source_tree / "conf").is_dir() else Path.cwd()


def new_folder(parent: Path, name: str) -> Path:
    """Create `parent/name`, or `parent/name-2`, `-3`, ... where that exists: two runs never share a folder.

    Creating a directory is atomic, so this also holds for two runs that start at the same moment.
    """
    if not name or name != Path(name).name or name in {".", ".."}:
        raise InputError(f"name={name!r} cannot be a folder name: use letters, digits, '-', '_' and '.'")
    parent.mkdir(parents=True, exist_ok=True)
    for attempt in itertools.count(1):
        folder = parent / (name if attempt == 1 else f"{name}-{attempt}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError("unreachable")


def run_folder(outputs: str, kind: str, name: str | int, resume: str | int | None = None) -> str:
    """Folder of this run: the one to resume, the one all ranks were told, or a new `<outputs>/<kind>/<name>`.

    A name such as 20240701 arrives as a number where it was typed without quotes.

    Lightning hands its child ranks the folder of rank 0. Ranks that somebody else starts (torchrun, srun) compose
    their configuration each on its own: they agree as `shared_folder` says, or are told through the environment
    variable KRONOS_LAB_RUN_DIR.
    """
    if resume is not None:
        folder = find_folder(resume, Path(outputs) / kind, CONFIG_FILE)
        if folder is None:  # refused here, before Hydra makes the folder
            if sweep := find_folder(resume, Path(outputs) / kind, SWEEP_FILE):
                raise InputError(f"{sweep} is a sweep: go on with it with -m before {typed('resume', resume)}")
            given = Path(str(resume)).expanduser().absolute()
            raise InputError(f"{given} is not the folder of a run: it has no {CONFIG_FILE}")
        return str(folder.absolute())
    told = os.environ.get(RUN_DIR_VARIABLE)
    if told:
        return str(Path(told).expanduser().absolute())
    parent = Path(outputs) / kind

    def make() -> str:
        folder = new_folder(parent, str(name))
        _made_here.append(folder)
        return str(folder)

    return shared_folder(parent, make, finished=lambda folder: (folder / SUMMARY_FILE).is_file())


def same_folder(outputs: str, kind: str, name: str | int) -> str:
    """Folder of a run that goes on when its command is typed again with the same name: `<outputs>/<kind>/<name>`."""
    folder = Path(outputs) / kind / str(name)
    if not folder.is_dir():
        folder = new_folder(folder.parent, str(name))
        _made_here.append(folder)
    return str(folder)


def sweep_folder(outputs: str, kind: str, name: str | int, search: Any = None) -> str:
    """Folder of a sweep, `hydra.sweep.dir`: a new one, but for a search, which is gone on with under its name.

    The search itself makes its folder. It is chosen here and not in `conf/hparams_search`: a value that is overridden
    is resolved while the configuration is composed, and so would leave a folder behind.
    """
    return run_folder(outputs, kind, name) if search is None else str(Path(outputs) / kind / str(name))


def remove_refused_run() -> None:
    """Remove the folder of a run that is refused, if this process made it and nothing has been computed.

    From the first training step, forecast or exported file on it holds something else and is kept.
    """
    while _made_here:
        folder = _made_here.pop()
        if has_only_begun(folder):
            shutil.rmtree(folder, ignore_errors=True)


def has_only_begun(folder: Path) -> bool:
    """Whether a run's folder holds nothing yet that was computed."""
    names = {path.name for path in folder.glob("*") if path.suffix != ".log"}
    return names <= WRITTEN_BEFORE_ANYTHING_HAPPENS


def if_given(value: Any, then: Any, otherwise: Any) -> Any:
    """`then` where a setting has a value, `otherwise` where it is null."""
    return otherwise if value is None else then


def run_name(from_run: str | int | None, usual: str) -> str:
    """Name of a run that repeats another, by default, or else the usual one."""
    return usual if from_run is None else f"{Path(str(from_run)).name}_again"


def register_resolvers() -> None:
    """Make the resolvers of this file known to OmegaConf; root scripts call it before Hydra starts."""
    OmegaConf.register_new_resolver("project_root", lambda: str(project_root()), replace=True)
    OmegaConf.register_new_resolver("if_given", if_given, replace=True)
    OmegaConf.register_new_resolver("run_name", run_name, replace=True)
    # Cached per configuration: however often `hydra.run.dir` is read, a run has one folder.
    OmegaConf.register_new_resolver("run_folder", run_folder, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("same_folder", same_folder, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("sweep_folder", sweep_folder, use_cache=True, replace=True)


def find_folder(given: str | int, among: Path, holding: str | None = None) -> Path | None:
    """An existing folder, given by its path, as seen from here or from the project, or by its name among others.

    Args:
        given: path or name; one such as 20240701 arrives as a number.
        among: folder of the others.
        holding: a file that it must have.
    """
    path = Path(str(given)).expanduser()
    places = (path, among / path, project_root() / path)
    return next((one for one in places if one.is_dir() and (holding is None or (one / holding).is_file())), None)


def this_run_folder() -> Path:
    """Folder of the Hydra job that is running."""
    from hydra.core.hydra_config import HydraConfig

    return Path(HydraConfig.get().runtime.output_dir)


def save_config(folder: Path, cfg: DictConfig) -> None:
    """Write the resolved configuration of a run to `<folder>/config.yaml`."""
    partial = folder / f"{CONFIG_FILE}.partial"
    OmegaConf.save(cfg, partial, resolve=True)
    partial.replace(folder / CONFIG_FILE)


def load_config(folder: Path) -> DictConfig:
    """Resolved configuration of an earlier run; InputError where the folder is no run."""
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise InputError(f"{folder} is not the folder of a run: it has no {CONFIG_FILE}")
    cfg = OmegaConf.load(path)
    assert isinstance(cfg, DictConfig)
    return cfg


def make_paths_absolute(cfg: DictConfig) -> None:
    """Have a run read the same files wherever it is resumed from; in place."""
    # Those of `paths` first: others are made from them. They may be there only later.
    for key in (*PATHS, *MAY_BE_PATHS):
        given = OmegaConf.select(cfg, key)
        if isinstance(given, ListConfig):
            OmegaConf.update(cfg, key, [_absolute(one, key in PATHS) for one in given])
        elif given is not None:
            OmegaConf.update(cfg, key, _absolute(given, key in PATHS))


def _absolute(given: Any, is_path: bool) -> Any:
    path = Path(str(given)).expanduser()
    return str(path.absolute()) if is_path or path.exists() else given


def resume_command(folder: Path) -> str:
    """What to type to go on with a run."""
    return f"python train.py {typed('resume', folder)}"


def quoted(value: Any) -> str:
    """A text or a path as Hydra reads it, whatever characters it has."""
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def typed(key: str, value: Any) -> str:
    """`key=value` as it is typed: quoted for the shell, and inside for Hydra, where there are spaces."""
    return f"\"{key}='{value}'\"" if " " in str(value) else f"{key}={value}"
