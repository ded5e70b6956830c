"""Training windows the usual way, that `dataloader.py` measures against."""

import numpy as np
import pandas as pd
from torch import Tensor
from torch.utils.data import default_collate

from kronos_lab.data.bars import FIELDS, Bars
from kronos_lab.data.time_features import TIME_FEATURES

STOCKS_IN_FRAMES = 200  # as many as are needed not to read the same few again and again


class PandasWindows:
    """The usual way: one frame per stock with its stamps as columns, windows cut out and normalised one by one.

    Args:
        bars: of the market; frames are made of its first `STOCKS_IN_FRAMES` stocks.
        lookback: bars that a window is normalised by.
        horizon: bars after them; a window has one more, the last target of training.
        clip: bound of normalised values.
    """

    def __init__(self, bars: Bars, lookback: int, horizon: int, clip: float) -> None:
        self.fields, self.stamps, self.clip = list(FIELDS), list(TIME_FEATURES), clip
        self.lookback, self.length = lookback, lookback + horizon + 1
        self.frames: dict[str, pd.DataFrame] = {}
        for n in range(min(len(bars.symbols), STOCKS_IN_FRAMES)):
            rows = slice(int(bars.offsets[n]), int(bars.offsets[n + 1]))
            frame = pd.DataFrame(np.array(bars.values_MF[rows]), columns=self.fields)
            stamps = bars.calendar[bars.position_M[rows]]
            self.frames[str(n)] = frame.assign(**{name: getattr(stamps, name) for name in self.stamps})

    def window(self, frame: pd.DataFrame, start: int) -> tuple[np.ndarray, np.ndarray]:
        """Normalised bars and stamps of one window."""
        cut = frame.iloc[start : start + self.length]
        bars = cut[self.fields].to_numpy(dtype=np.float32)
        stamps = cut[self.stamps].to_numpy(dtype=np.float32)
        past = bars[: self.lookback]
        return np.clip((bars - past.mean(axis=0)) / (past.std(axis=0) + 1e-5), -self.clip, self.clip), stamps

    def batch(self, windows: list[tuple[str, int]]) -> list[Tensor]:
        """Windows given by stock and first row, collated."""
        return default_collate([self.window(self.frames[name], start) for name, start in windows])
