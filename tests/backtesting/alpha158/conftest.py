"""What every test of LightGBM looks at."""

from typing import Any

import pandas as pd
import pytest
from rival_cases import FEW_FEATURES, ours_of, rival_of


@pytest.fixture(scope="session")
def scored(small_market) -> tuple[pd.DataFrame, dict[str, Any], list[str]]:
    """Scores by all 158 features."""
    return rival_of(small_market).score(ours_of(small_market))


@pytest.fixture
def few_features(monkeypatch) -> None:
    monkeypatch.setattr("qlib.contrib.data.loader.Alpha158DL.get_feature_config", lambda *_: FEW_FEATURES)
