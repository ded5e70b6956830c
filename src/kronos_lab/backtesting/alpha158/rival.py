"""Scores of LightGBM on Alpha158 for the rows that were forecast; model and scores are kept for the next backtest.

```
<cache>/lightgbm-<hash>/model.txt                      LightGBM's own format
<cache>/lightgbm-<hash>/training.json                  what it was made of
<cache>/lightgbm-<hash>/scores-<first>-<last>.parquet  of every traded member on these days, and the column date
```

L signal days, N symbols.
"""

import hashlib
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kronos_lab.backtesting.alpha158.features import alpha158, vwap
from kronos_lab.backtesting.alpha158.model import LightGBM, train
from kronos_lab.backtesting.alpha158.training_rows import TrainingRows, training_rows
from kronos_lab.data.market import Market
from kronos_lab.data.split import DateSplit, Part
from kronos_lab.data.store import store_lock

VERSION = 1  # of what is computed and how: what an older one has kept is made anew
MODEL_FILE, TRAINING_FILE = "model.txt", "training.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rival:
    """A model to be trained, or found trained, on the days before a backtest.

    Attributes:
        settings: of LightGBM.
        market: what is traded.
        universe: whose members it learns from.
        rows: what it learns from.
        reuse: whether what an earlier run has kept is taken.
    """

    settings: LightGBM
    market: Market
    universe: str
    rows: TrainingRows
    reuse: bool

    @classmethod
    def before(
        cls,
        first_signal: pd.Timestamp,
        settings: LightGBM,
        market: Market,
        universe: str,
        split: DateSplit,
        horizon: int,
        reuse: bool,
    ) -> "Rival":
        """For a backtest that begins at `first_signal`, see `training_rows`; nothing is trained yet.

        Raises:
            InputError: there are too few days to learn from.
        """
        rows = training_rows(market, universe, split, horizon, first_signal)
        return cls(settings, market, universe, rows, reuse)

    def score(self, ours_LN: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any], list[str]]:
        """Score the rows that have one of ours; train before, where no earlier run has.

        Args:
            ours_LN: scores, signal days × symbols.

        Returns:
            Scores in deviations of a day's returns, NaN where ours are and where no feature is known; what they were
            made of (`train` and `val`: `first`, `last`, `days`, `rows`; `trees`, `vwap`, and `unscored`: rows of ours
            without a score); and warnings.
        """
        with self._folder() as folder:
            training = self._train(folder)
            all_LN = self._scores(folder, ours_LN.index[0], ours_LN.index[-1])
        ours = ours_LN.notna()
        score_LN = all_LN.reindex(index=ours_LN.index, columns=ours_LN.columns).where(ours)
        unscored = int((ours & score_LN.isna()).to_numpy().sum())
        warnings = [self.rows.warning] if self.rows.warning else []
        if unscored:
            rows = int(ours.to_numpy().sum())
            warnings.append(f"LightGBM: no feature is known of {unscored} of {rows} rows, which it does not score")
        if (score_LN.nunique(axis=1) < 2).all():
            warnings.append("LightGBM has learned nothing: it gives every name the same score")
        return score_LN, {**training, "unscored": unscored}, warnings

    def _made_with(self) -> dict[str, Any]:
        """What decides the trees."""
        import lightgbm
        import qlib

        return {
            "version": VERSION,
            "market": self.market.fingerprint,
            "freq": self.market.freq,
            "universe": self.universe,
            "days": {part: [str(stamps[0]), str(stamps[-1])] for part, stamps in self._parts().items()},
            "horizon": self.rows.horizon,
            "settings": self.settings.decisive,
            "vwap": vwap(self.market).meaning,
            "lightgbm": lightgbm.__version__,
            "qlib": qlib.__version__,
        }

    def _parts(self) -> dict[Part, pd.DatetimeIndex]:
        return {"train": self.rows.train, "val": self.rows.val}

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """Where model and scores are kept, for one process at a time; a passing one for a market without a cache."""
        if self.market.cache is None:
            with tempfile.TemporaryDirectory() as passing:
                yield Path(passing) / "lightgbm"
            return
        key = hashlib.blake2b(json.dumps(self._made_with()).encode(), digest_size=12).hexdigest()
        folder = self.market.cache / f"lightgbm-{key}"
        with store_lock(folder):
            if not self.reuse:
                shutil.rmtree(folder, ignore_errors=True)
            yield folder

    def _train(self, folder: Path) -> dict[str, Any]:
        """What the model in `folder` was made of; made now where there is none."""
        if folder.is_dir():
            log.info("LightGBM    trained by an earlier run, %s", folder)
            return json.loads((folder / TRAINING_FILE).read_text())["training"]
        started = time.time()
        labels = {part: _normalised(self.rows.labels(self.market, part)) for part in self._parts()}
        row_LN = pd.concat([label_LN.notna() for label_LN in labels.values()])
        features = alpha158(self.market, row_LN, "Alpha158 to learn from")
        known, size = features.to_numpy(), int(labels["train"].notna().to_numpy().sum())
        train_label_R, val_label_R = (label_LN.to_numpy()[label_LN.notna()] for label_LN in labels.values())
        booster = train(self.settings, known[:size], train_label_R, known[size:], val_label_R)
        training: dict[str, Any] = {part: _extent(label_LN) for part, label_LN in labels.items()}
        training |= {"trees": booster.best_iteration, "vwap": vwap(self.market).meaning}
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        booster.save_model(partial / MODEL_FILE)
        text = json.dumps({"made_with": self._made_with(), "training": training}, indent=2)
        (partial / TRAINING_FILE).write_text(text + "\n")
        partial.replace(folder)
        said = (size, training["train"]["days"], training["trees"], time.time() - started)
        log.info("LightGBM    learned from %s rows of %s days: %s trees, %.0f s", *said)
        return training

    def _scores(self, folder: Path, first: pd.Timestamp, last: pd.Timestamp) -> pd.DataFrame:
        """Scores of every traded member on the stamps from first to last, as kept, or kept now."""
        import lightgbm

        file = folder / f"scores-{first:%Y%m%d%H%M}-{last:%Y%m%d%H%M}.parquet"
        if not file.is_file():
            row_LN = self.rows.traded_LN.loc[first:last]
            row_LN = row_LN.loc[:, row_LN.any()]
            features = alpha158(self.market, row_LN, "Alpha158 to score")
            booster = lightgbm.Booster(model_file=folder / MODEL_FILE)
            score_R = np.where(features.notna().any(axis=1), booster.predict(features.to_numpy()), np.nan)
            score_LN = np.full(row_LN.shape, np.nan)
            score_LN[row_LN.to_numpy()] = score_R
            table = pd.DataFrame(score_LN, row_LN.index, row_LN.columns).rename_axis("date").reset_index()
            partial = file.with_name(file.name + ".partial")
            table.to_parquet(partial, index=False)
            partial.replace(file)
        return pd.read_parquet(file).set_index("date")


def _normalised(label_LN: pd.DataFrame) -> pd.DataFrame:
    """Labels in deviations of their day around its mean, as qlib's processor makes them; NaN where a day has one."""
    from qlib.data.dataset.processor import CSZScoreNorm

    long = label_LN.rename_axis(index="datetime", columns="instrument").stack().dropna()
    table = pd.DataFrame(long.to_numpy(), long.index, pd.MultiIndex.from_tuples([("label", "LABEL0")]))
    normalised = CSZScoreNorm(fields_group="label")(table).iloc[:, 0].unstack("instrument")
    return normalised.reindex(index=label_LN.index, columns=label_LN.columns)


def _extent(label_LN: pd.DataFrame) -> dict[str, Any]:
    labelled_L = label_LN.notna().any(axis=1)
    days = pd.DatetimeIndex(label_LN.index[labelled_L])
    rows = int(label_LN.notna().to_numpy().sum())
    return {"first": f"{days[0]:%Y-%m-%d}", "last": f"{days[-1]:%Y-%m-%d}", "days": len(days), "rows": rows}
