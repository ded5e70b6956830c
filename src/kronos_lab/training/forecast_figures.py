"""What a finetuned predictor forecasts, to look at: K-lines of a few fixed stocks and days, and what happened."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from torch import nn

from kronos_lab.data.bars import FIELDS
from kronos_lab.data.datamodule import KLineDataModule
from kronos_lab.data.settings import switch, whole_number
from kronos_lab.data.split import Part
from kronos_lab.data.time_features import time_features
from kronos_lab.data.windows import WindowIndex
from kronos_lab.errors import InputError
from kronos_lab.forecasting.devices import resolve_device
from kronos_lab.forecasting.forecaster import Forecaster
from kronos_lab.forecasting.picture import ForecastCase, forecasts_figure
from kronos_lab.forecasting.series_batches import Series, forecast_series
from kronos_lab.forecasting.token_sampling import Sampling, series_uniforms
from kronos_lab.forecasting.window_series import iso_date
from kronos_lab.models.predictor import Kronos
from kronos_lab.models.tokenizer import KronosTokenizer
from kronos_lab.runs.tracking import log_image

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

CHOICE = 20240701  # seed of which pairs are drawn: the same in every run, whatever its own seed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ForecastFigures:
    """Draws forecasts of a few (symbol, day) pairs, the same ones for every run on a market and its days.

    Attributes:
        pairs: how many; 0 for none.
        paths: sampled for each.
        temperature: see `Sampling`, as are the next two.
        top_p: of the tokens drawn.
        top_k: of the tokens drawn.
        anchor: see `Forecaster`.
        seed: of the paths, together with symbol and day.

    Raises:
        InputError: a number makes no sense; the line names `figures.<key>`.
    """

    pairs: int
    paths: int
    temperature: float
    top_p: float
    top_k: int
    anchor: bool
    seed: int

    def __post_init__(self) -> None:
        """Refuse what makes no sense before anything is trained."""
        whole_number("figures.pairs", self.pairs, 0)
        whole_number("figures.paths", self.paths, 1)
        switch("forecast.anchor", self.anchor)
        Sampling(self.temperature, self.top_p, self.top_k)

    def draw(
        self, folder: Path, data: KLineDataModule, tokenizer: nn.Module, predictor: nn.Module, logger: "Logger"
    ) -> None:
        """Leave `figures/forecast_test.png` in the run folder and send it to the tracker.

        The days are of the test part, or of the validation part where there is no test part yet. Both networks are in
        evaluation mode afterwards, and on the CPU.

        Args:
            folder: the run folder.
            data: whose universe, days and window are forecast.
            tokenizer: as trained.
            predictor: as trained.
            logger: of the run.
        """
        if self.pairs == 0:
            return
        assert isinstance(tokenizer, KronosTokenizer) and isinstance(predictor, Kronos)
        forecaster = Forecaster(tokenizer, predictor, clip=data.clip, rescale=data.rescale, anchor=self.anchor)
        forecaster.to(resolve_device(None))
        part, windows = _windows_to_draw(data)
        cases = self.cases(data, windows, forecaster)
        forecaster.to("cpu")
        figure = forecasts_figure(
            f"Forecasts of the {part} part, {data.universe}, temperature {self.temperature}, top_p {self.top_p}", cases
        )
        picture = folder / "figures" / f"forecast_{part}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(picture, dpi=130)
        log_image(logger, picture)
        log.info("forecasts to look at        %s", picture)

    def cases(self, data: KLineDataModule, windows: WindowIndex, forecaster: Forecaster) -> list[ForecastCase]:
        """What is drawn, ordered by symbol and day."""
        numbers = np.random.default_rng(CHOICE).choice(len(windows), min(self.pairs, len(windows)), replace=False)
        rows = windows.signal_rows(np.sort(numbers))
        bars_BTF, features_BT5 = windows.gather_bars(rows), windows.gather_stamps(rows)
        stamps_BT = windows.bars.calendar.to_numpy()[windows.gather_positions(rows)]
        symbols = [windows.bars.symbols[n] for n in windows.symbols_of(rows)]
        days = [iso_date(stamp) for stamp in windows.stamps_of(rows)]
        future = [data.market.future_stamps(int(position), data.horizon) for position in windows.bars.position_M[rows]]
        series = [
            Series(
                bars_CF,
                features_C5,
                time_features(stamps),
                series_uniforms(self.seed, symbol, day, self.paths, data.horizon),
            )
            for bars_CF, features_C5, stamps, symbol, day in zip(
                bars_BTF[:, : data.lookback], features_BT5[:, : data.lookback], future, symbols, days, strict=True
            )
        ]
        paths = forecast_series(forecaster, series, Sampling(self.temperature, self.top_p, self.top_k))
        cases = []
        for n, symbol in enumerate(symbols):
            bars = pd.DataFrame(bars_BTF[n], columns=list(FIELDS), index=pd.DatetimeIndex(stamps_BT[n]))
            truth = bars.reindex(future[n])  # no bar where the stock was suspended
            title = f"{symbol}, after {days[n].removesuffix(':00').replace('T', ' ')}"
            cases.append(ForecastCase(title, bars.iloc[: data.lookback], paths[n], future[n], truth))
        return cases


def _windows_to_draw(data: KLineDataModule) -> tuple[Part, WindowIndex]:
    try:
        return "test", data.windows("test")
    except InputError:  # a market that ends with its validation days
        return "val", data.windows("val")
