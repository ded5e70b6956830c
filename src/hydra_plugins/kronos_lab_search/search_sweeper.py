"""`hydra/sweeper=optuna`: a sweep whose jobs Optuna asks for, see `kronos_lab.runs.search`.

Hydra takes plugins from this package alone. Every command imports this file, so it imports nothing heavy.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class SearchSweeper(Sweeper):
    """Hydra's side of a search.

    Args:
        params: what is searched, and what all trials have in common: key and value as on the command line.
        settings: see `SearchSettings`.
    """

    def __init__(self, params: Mapping[str, Any] | None, **settings: Any) -> None:
        self.params = dict(params or {})
        self.settings = settings
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take over Hydra's configuration and launcher; its jobs write down their results."""
        from hydra.core.plugins import Plugins

        from kronos_lab.runs.search_trial import TrialOfSearch

        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=TrialOfSearch(task_function), config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Search; `arguments` are the overrides as typed, but for those of Hydra itself."""
        from kronos_lab.errors import InputError
        from kronos_lab.runs.search import Search, SearchSettings
        from kronos_lab.runs.search_space import parse_search_space
        from kronos_lab.runs.search_trial import told

        assert self.hydra_context is not None and self.config is not None and self.launcher is not None
        if "objective" in self.config and self.config.objective is None:
            raise InputError("a search needs an objective: objective=<figure of a run>")
        settings = SearchSettings(**{key: _plain(value) for key, value in self.settings.items()})
        space = parse_search_space(self.params, arguments, self.hydra_context.config_loader)
        folder = Path(str(self.config.hydra.sweep.dir))
        # Composed once before anything is begun: a wrong key is refused here.
        example = space.overrides(space.example())
        self.validate_batch_is_legal([[*example, *told(0, folder)]])
        self._refuse_what_best_would_not_say(example)
        search = Search(folder, space, settings, self.config.get("objective"))
        search.run(self._launch)

    def _refuse_what_best_would_not_say(self, overrides: Sequence[str]) -> None:
        from hydra.errors import HydraException

        from kronos_lab.errors import InputError
        from kronos_lab.runs.explanation import explain
        from kronos_lab.runs.search_files import BEST_FILE, TO_PARAMS, refuse_what_best_would_not_say, to_type
        from kronos_lab.runs.search_trial import GROUP

        search = next((one for one in overrides if one.startswith(f"{GROUP}=")), None)
        if search is None:
            return
        of_trial = self._composed(overrides)
        try:
            typed = self._composed(to_type(overrides))
        except HydraException as error:  # a key or a group that only the file of the search brings along
            raise InputError(f"{search} sets what {BEST_FILE} would not say ({explain(error)}): {TO_PARAMS}") from error
        refuse_what_best_would_not_say(search, of_trial, typed)

    def _composed(self, overrides: Sequence[str]) -> dict[str, Any]:
        """The configuration as written, that of Hydra aside, which is the search's own."""
        from hydra.types import RunMode

        assert self.hydra_context is not None and self.config is not None
        found_by = [one for one in self.config.hydra.overrides.hydra if one.startswith("hydra.searchpath")]
        config = self.hydra_context.config_loader.load_configuration(
            self.config.hydra.job.config_name, [*found_by, *overrides], RunMode.RUN
        )
        return {str(key): value for key, value in _plain(config, resolve=False).items() if key != "hydra"}

    def _launch(self, jobs: Sequence[Sequence[str]], first: int) -> Sequence[Any]:
        from kronos_lab.runs.sweep import note_command

        assert self.launcher is not None
        note_command()  # not before: what is refused until here leaves the record of an earlier search as it was
        return self.launcher.launch(jobs, initial_job_idx=first)


def _plain(value: Any, resolve: bool = True) -> Any:
    return OmegaConf.to_container(value, resolve=resolve) if OmegaConf.is_config(value) else value
