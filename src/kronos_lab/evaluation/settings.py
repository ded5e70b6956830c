"""`evaluation.*`: on which pairs forecasts are compared, and how they are made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kronos_lab.data.settings import switch
from kronos_lab.evaluation.close_paths import PathSettings
from kronos_lab.evaluation.manifest import ManifestSize
from kronos_lab.forecasting.forecaster import Forecaster, Precision
from kronos_lab.models.predictor import Kronos
from kronos_lab.models.tokenizer import KronosTokenizer
from kronos_lab.runs.configured_forecaster import configured_forecaster, configured_sampling
from kronos_lab.runs.provenance import WindowSettings


@dataclass(frozen=True)
class EvaluationSettings:
    """What `conf/evaluation/default.yaml` holds.

    Attributes:
        validation: size of the manifest forecast after every validation of the predictor, days and names.
        test: the same for the one at the end.
        paths: per pair.
        seed: of paths, random scores and bootstrap.
        batch_size: upper bound on series × paths at once.
        forecast: what `conf/forecast/default.yaml` holds.
        level_neutral: see `Outcome`.

    Raises:
        InputError: naming the first that makes no sense.
    """

    validation: Mapping[str, Any]
    test: Mapping[str, Any]
    paths: int
    seed: int
    batch_size: int
    forecast: Mapping[str, Any]
    level_neutral: bool = False  # as runs have it whose configuration is older than this setting
    path_settings: PathSettings = field(init=False)

    def __post_init__(self) -> None:
        """Read what has a form of its own, and refuse what makes no sense."""
        self.validation_size.check("evaluation.validation")
        self.test_size.check("evaluation.test")
        switch("evaluation.level_neutral", self.level_neutral)
        settings = PathSettings(configured_sampling(self.forecast), self.paths, self.seed, self.batch_size)
        object.__setattr__(self, "path_settings", settings)

    @property
    def validation_size(self) -> ManifestSize:
        """Pairs forecast during training."""
        return ManifestSize(**self.validation)

    @property
    def test_size(self) -> ManifestSize:
        """Pairs forecast at the end."""
        return ManifestSize(**self.test)

    def forecaster(
        self, tokenizer: KronosTokenizer, predictor: Kronos, window: WindowSettings, precision: Precision | None
    ) -> Forecaster:
        """A forecaster of this window; `precision` as it takes it: None leaves the predictor as it is."""
        return configured_forecaster(tokenizer, predictor, window, self.forecast, precision=precision)
