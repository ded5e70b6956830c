"""LightGBM: qlib's trees, and settings that make no sense."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from rival_cases import FEW_FEATURES, FIRST, HORIZON, LAST, SETTINGS, UNIVERSE, ours_of, rival_of, told_by_volume

from kronos_lab.backtesting.alpha158.features import vwap
from kronos_lab.errors import InputError

PARTS = {"train": "train", "valid": "val"}  # names of qlib, and here


def test_the_scores_are_those_of_qlib(tmp_path, few_features, monkeypatch):
    """qlib's Alpha158 handler, its dataset and its LGBModel, with this label, on the same days and members.

    On a market where every name trades every day: qlib learns from suspended days too, which are no signals here.
    """
    from qlib.contrib.data.handler import Alpha158
    from qlib.contrib.data.loader import Alpha158DL
    from qlib.contrib.model import gbdt
    from qlib.data.dataset import DatasetH

    class NoTracker:
        def log_metrics(self, **metrics: Any) -> None: ...

    market = told_by_volume(tmp_path, strength=0.01)
    score_LN, made_of, _ = rival_of(market).score(ours_of(market))
    expressions, names = FEW_FEATURES
    expressions = [expression.replace("$vwap", vwap(market).expression) for expression in expressions]
    monkeypatch.setattr(Alpha158DL, "get_feature_config", lambda *_: (expressions, names))
    monkeypatch.setattr(gbdt, "R", NoTracker())
    segments = {name: (made_of[part]["first"], made_of[part]["last"]) for name, part in PARTS.items()}
    label = f"Ref($open, -{1 + HORIZON})/Ref($open, -1)-1"
    handler = Alpha158(UNIVERSE, made_of["train"]["first"], f"{LAST:%Y-%m-%d}", label=([label], ["LABEL0"]))
    model = gbdt.LGBModel("mse", **asdict(SETTINGS), deterministic=True, force_row_wise=True)
    dataset = DatasetH(handler, {**segments, "test": (FIRST, LAST)})
    model.fit(dataset, verbose_eval=0)
    theirs = model.predict(dataset).unstack("instrument")
    theirs = theirs.reindex(index=score_LN.index, columns=score_LN.columns).where(score_LN.notna())
    np.testing.assert_allclose(score_LN, theirs, rtol=1e-4)
    assert made_of["trees"] == model.model.best_iteration > 1


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"num_leaves": 1}, "lightgbm.num_leaves=1 must be a whole number, at least 2"),
        ({"colsample_bytree": 1.5}, "lightgbm.colsample_bytree=1.5 must lie above 0"),
        ({"lambda_l1": -1}, "lightgbm.lambda_l1=-1 must be 0 or more"),
        ({"learning_rate": 0}, "lightgbm.learning_rate=0 must be a number above 0"),
        ({"num_boost_round": None}, "lightgbm.num_boost_round=null must be a whole number"),
    ],
)
def test_settings_that_make_no_sense_are_refused(setting, words):
    with pytest.raises(InputError, match=words):
        replace(SETTINGS, **setting)
