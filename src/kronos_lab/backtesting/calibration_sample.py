"""Calibration of a backtest's forecasts: as a forecast of its own, of a fixed sample and with many more paths.

The few paths that a score needs cannot show how futures spread, and the sampling of a trading run is chosen to rank,
not to spread: so the sample is forecast as the model learned it, and once more as the run trades it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kronos_lab.backtesting.forecasts.forecast_shards import read_forecasts, read_manifest
from kronos_lab.data.market import Market
from kronos_lab.data.settings import whole_number
from kronos_lab.data.windows import WindowIndex
from kronos_lab.errors import InputError
from kronos_lab.evaluation.calibration_figures import CalibrationOutcome
from kronos_lab.evaluation.close_paths import ClosePaths
from kronos_lab.evaluation.manifest import Manifest, ManifestSize
from kronos_lab.forecasting.token_sampling import Sampling
from kronos_lab.runs.provenance import WindowSettings

MODEL, TRADING = "model", "trading"
SAMPLED = {MODEL: "as the model learned", TRADING: "as traded"}
AS_LEARNED = Sampling(temperature=1.0, top_p=1.0, top_k=0)  # of the predicted distribution nothing is cut off

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CalibrationSettings:
    """What `conf/calibration/default.yaml` holds.

    Attributes:
        days: evenly spread over the signal days; 0 for no calibration, None for every day.
        names: of each day, chosen by a hash of symbol and day; None for all members.
        paths: of each pair; 19 or more for an interval of 90 % that is not the widest there is.

    Raises:
        InputError: naming the first that makes no sense.
    """

    days: int | None
    names: int | None
    paths: int

    def __post_init__(self) -> None:
        ManifestSize(self.days, self.names).check("calibration")
        whole_number("calibration.paths", self.paths, 2)

    def sample(
        self, market: Market, universe: str, window: WindowSettings, signal_days: pd.DatetimeIndex, traded: Sampling
    ) -> "CalibrationSample":
        """The pairs: of the series that the backtest forecasts, some whose whole horizon lies in the market.

        Args:
            market: where bars and members come from.
            universe: whose members are forecast.
            window: what a forecast sees, and how far it reaches.
            signal_days: of the backtest.
            traded: sampling of the forecasts that are traded; the sample's paths are independent even where theirs
                are not.
        """
        traded = replace(traded, stratified=False)
        samplings = {MODEL: AS_LEARNED} | ({TRADING: traded} if traded != AS_LEARNED else {})
        if self.days == 0:
            return CalibrationSample(None, "", self.paths, samplings)
        size = ManifestSize(self.days, self.names)
        first, last = signal_days[0], signal_days[-1]
        try:
            manifest = Manifest(market, universe, window, first, None, size, signal_end=last)
        except InputError:  # what the backtest forecasts is there, so only its future can be missing
            left_out = (
                f"no signal day from {first:%Y-%m-%d} to {last:%Y-%m-%d} is {window.horizon} + 1 bars before the end "
                f"of market {market.name}"
            )
            return CalibrationSample(None, left_out, self.paths, samplings)
        return CalibrationSample(manifest, "", self.paths, samplings)


@dataclass(frozen=True)
class CalibrationSample:
    """Pairs of symbol and day whose forecasts are held against what came.

    Attributes:
        manifest: the pairs; None where there are none.
        left_out: why there are none; empty where none were asked for.
        paths: of each pair.
        samplings: how they are drawn, by name: `MODEL`, and `TRADING` where that is something else.
    """

    manifest: Manifest | None
    left_out: str
    paths: int
    samplings: Mapping[str, Sampling]

    def forecast(
        self,
        folder: Path,
        forecast: Callable[..., Any],
        rows: Callable[[WindowIndex, np.ndarray], np.ndarray] = lambda windows, row_S: row_S,
    ) -> None:
        """Forecast the sample with each sampling, into a folder each.

        Args:
            folder: of all of them.
            forecast: `forecast_universe` but for folder, windows, row_S, sampling and paths.
            rows: which of these signal rows the forecaster is for; where it is for none, there is no folder.
        """
        if self.left_out:
            log.info("calibration left out: %s", self.left_out)
        if self.manifest is None:
            return
        row_S = rows(self.manifest.windows, self.manifest.row_S)
        for name, sampling in self.samplings.items() if len(row_S) else ():
            log.info("calibration %s × %d paths, sampled %s", f"{len(row_S):,}", self.paths, SAMPLED[name])
            forecast(folder / name, windows=self.manifest.windows, row_S=row_S, sampling=sampling, paths=self.paths)

    def measure(self, turns: Sequence[Sequence[Path]], seed: int) -> dict[str, Any] | None:
        """Figures of what `forecast` left, as `metrics.json` holds them.

        Args:
            turns: folders of one forecaster, or of several whose paths are pooled, for each stretch of days.
            seed: of what is drawn by lot.

        Returns:
            Figures by sampling, and of the historical volatility, see `CalibrationOutcome`; and the sample. Where
            there is no sample, left_out says why; None where none was asked for.
        """
        if self.manifest is None:
            return {"left_out": self.left_out} if self.left_out else None
        outcome, manifest = CalibrationOutcome(self.manifest, seed), self.manifest
        return {
            **{
                name: {
                    "sampling": asdict(sampling),
                    **outcome.of_paths(
                        read_close_paths([[folder / name for folder in turn] for turn in turns], manifest)
                    ),
                }
                for name, sampling in self.samplings.items()
            },
            "historical": outcome.of_history(),
            "sample": {
                "fingerprint": manifest.fingerprint,
                "first": f"{manifest.days[0]:%Y-%m-%d}",
                "last": f"{manifest.days[-1]:%Y-%m-%d}",
                "days": len(manifest.days),
                "pairs": len(manifest),
                "paths": self.paths * len(turns[0]),
                "horizon": manifest.horizon,
            },
        }


def read_close_paths(turns: Sequence[Sequence[Path]], manifest: Manifest) -> ClosePaths:
    """Returns of finished forecasts at every bar of the horizon, in the order of the manifest's pairs.

    Args:
        turns: folders whose paths are pooled, for each stretch of days; a stretch without a pair has no folder.
        manifest: the pairs.
    """
    there = [turn for turn in turns if all(folder.is_dir() for folder in turn)]
    return_SPK, *others = [np.concatenate([_returns(one, manifest) for one in turn], axis=1) for turn in there]
    for other_SPK in others:
        return_SPK = np.where(np.isnan(return_SPK), other_SPK, return_SPK)
    return ClosePaths(tuple(range(1, manifest.horizon + 1)), return_SPK)


def _returns(folder: Path, manifest: Manifest) -> np.ndarray:
    place = pd.MultiIndex.from_arrays([manifest.stamp_S, manifest.symbol_S])
    paths = read_manifest(folder)["batch_plan"]["paths"]
    return_SPK = np.full((len(manifest), paths, manifest.horizon), np.nan, np.float32)
    for shard in read_forecasts(folder, fields=("close",)):
        at_B = place.get_indexer(pd.MultiIndex.from_arrays([pd.DatetimeIndex(shard.date_B), shard.symbol_B]))
        last_close_B = shard.last_close_B.astype(np.float64)
        return_SPK[at_B] = shard.paths["close"] / last_close_B[:, None, None] - 1
    return return_SPK
