"""The end of a finetune: did it help? The weights it started from and those it made, on one test manifest."""

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger

from kronos_lab.data.datamodule import KLineDataModule
from kronos_lab.errors import InputError
from kronos_lab.evaluation.close_paths import ClosePaths
from kronos_lab.evaluation.comparison import HEADLINE, PARENT, UNTRAINED, Comparison, compare, in_headline
from kronos_lab.evaluation.comparison_files import publish_comparison
from kronos_lab.evaluation.daily_figures import Outcome
from kronos_lab.evaluation.manifest import Manifest
from kronos_lab.evaluation.on_ranks import forecast_on_ranks
from kronos_lab.evaluation.settings import EvaluationSettings
from kronos_lab.models.predictor import Kronos
from kronos_lab.models.tokenizer import KronosTokenizer
from kronos_lab.runs.checkpoint import Checkpoint
from kronos_lab.runs.provenance import knowledge_warnings, training_config
from kronos_lab.runs.ranks import rank
from kronos_lab.runs.tracking import log_table
from kronos_lab.training.forecast_validation import window_of

log = logging.getLogger(__name__)


class ParentComparison:
    """Keeps the weights a finetune starts from and compares them with those it ends with.

    Made before training, of networks that hold the parent's weights; a run that goes on makes it anew, as it begins
    with the same weights again.

    Args:
        settings: the test pairs and how they are forecast; `test.days=0` for no comparison.
        stages: what is trained; without the predictor there is nothing to forecast with.
        tokenizer: copied.
        predictor: copied.
        pretrained: what the predictor was loaded from; None where it is random.
        starting_weights: folders or Hub ids of all that was loaded.
    """

    def __init__(
        self,
        settings: EvaluationSettings,
        stages: tuple[str, ...],
        tokenizer: KronosTokenizer,
        predictor: Kronos,
        pretrained: str | None,
        starting_weights: Sequence[str] = (),
    ) -> None:
        self.settings, self.wanted = settings, settings.test_size.days != 0
        if self.wanted and "predictor" not in stages:
            log.info("the tokenizer alone makes no forecasts: there will be no comparison with its parent")
            self.wanted = False
        self.name = UNTRAINED if pretrained is None else PARENT
        self._starting_weights = starting_weights
        self._parent = copy.deepcopy((tokenizer, predictor)) if self.wanted else None

    @property
    def figures(self) -> list[str]:
        """Names of the figures that it adds to the headline of the run, null where one turns out not to be defined."""
        return [in_headline(figure) for figure in HEADLINE] if self.wanted else []

    def run(
        self,
        tokenizer: KronosTokenizer,
        predictor: Kronos,
        data: KLineDataModule,
        make_trainer: Callable[..., Trainer],
        logger: Logger,
        folder: Path,
    ) -> Comparison | None:
        """Forecast with both, and leave the table in the log, in the run folder and with the logger.

        Args:
            tokenizer: as trained; stays as it is.
            predictor: the same.
            data: its market, universe, test days and window.
            make_trainer: `Trainer` with the configured arguments.
            logger: where the table goes.
            folder: the run folder.

        Returns:
            On rank 0 the comparison; None on others, or where there is none.
        """
        if self._parent is None:
            return None
        start, end = data.split.days("test")
        try:
            manifest = Manifest(data.market, data.universe, window_of(data), start, end, self.settings.test_size)
        except InputError as error:  # training is done: what is missing is only the table
            log.warning("no comparison with the parent: %s", error)
            return None
        log.info("comparing %s and finetuned on %s forecasts of the test part", self.name, f"{len(manifest):,}")

        def forecast(models: tuple[KronosTokenizer, Kronos]) -> ClosePaths:
            forecaster = self.settings.forecaster(*models, window_of(data), self.settings.forecast["precision"])
            return forecast_on_ranks(make_trainer, forecaster, manifest, self.settings.path_settings)

        before = self.name, forecast(self._parent)
        self._parent = None
        finetuned = forecast(copy.deepcopy((tokenizer, predictor)))
        if rank() != 0:
            return None
        comparison = compare(Outcome(manifest, self.settings.level_neutral), finetuned, before, {}, self.settings.seed)
        comparison = replace(comparison, notes=[*comparison.notes, *self._may_know(manifest.days[0])])
        publish_comparison(folder, comparison)
        log_table(logger, "evaluation", comparison.table)
        return comparison

    def _may_know(self, first_day: pd.Timestamp) -> list[str]:
        """Why what was loaded may have seen the test days: then both rows are better than they would be on new ones."""
        if not self._starting_weights:
            return []
        origin = Checkpoint(self._starting_weights[0], self._starting_weights[-1], title="")
        return knowledge_warnings(origin, training_config(origin), first_day)
