"""Calendar features of a bar's stamp, in the order of the predictor's five time tables."""

import numpy as np
import pandas as pd

TIME_FEATURES = ("minute", "hour", "weekday", "day", "month")


def time_features(stamps: pd.DatetimeIndex) -> np.ndarray:
    """Minute, hour, weekday (Monday 0), day of month and month of each stamp, int16 [T, 5]."""
    return np.stack([getattr(stamps, name).to_numpy() for name in TIME_FEATURES], axis=-1).astype(np.int16)
