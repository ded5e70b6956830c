"""LightGBM as qlib's LGBModel trains it: gradient-boosted trees, squared error, stopped by a validation part."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kronos_lab.data.settings import positive_number, sound_number, whole_number

if TYPE_CHECKING:
    from lightgbm import Booster
    from lightgbm.callback import CallbackEnv

ALIKE_EVERYWHERE = {"deterministic": True, "force_row_wise": True}  # as LightGBM's manual has it, for any threads


@dataclass(frozen=True)
class LightGBM:
    """Settings, by LightGBM's names.

    Attributes:
        learning_rate: share of a tree's step that is taken.
        num_leaves: of a tree, at most.
        max_depth: of a tree; -1 for no limit.
        colsample_bytree: share of the features that a tree may use.
        lambda_l1: penalty on the size of the leaves.
        lambda_l2: penalty on their square.
        num_boost_round: trees, at most.
        early_stopping_rounds: trees without a better validation loss until it stops.
        num_threads: 0 for as many as OpenMP takes.
        seed: of the choice of features.

    Raises:
        InputError: a value that makes no sense.
    """

    learning_rate: float
    num_leaves: int
    max_depth: int
    colsample_bytree: float
    lambda_l1: float
    lambda_l2: float
    num_boost_round: int
    early_stopping_rounds: int
    num_threads: int
    seed: int

    def __post_init__(self) -> None:
        """Refuse what LightGBM would refuse in the middle of a run, or take for something else."""
        positive_number("lightgbm.learning_rate", self.learning_rate)
        share = self.colsample_bytree
        sound_number("lightgbm.colsample_bytree", share, lambda value: 0 < value <= 1, "must lie above 0, at most at 1")
        for key in ("lambda_l1", "lambda_l2"):
            sound_number(f"lightgbm.{key}", getattr(self, key), lambda value: value >= 0, "must be 0 or more")
        least = {"num_leaves": 2, "max_depth": -1, "num_boost_round": 1, "early_stopping_rounds": 1}
        for key, bound in {**least, "num_threads": 0, "seed": 0}.items():
            whole_number(f"lightgbm.{key}", getattr(self, key), bound)

    @property
    def decisive(self) -> dict[str, Any]:
        """The settings that change the trees: all but the number of threads."""
        return {key: value for key, value in asdict(self).items() if key != "num_threads"}


def train(
    settings: LightGBM,
    train_feature_RK: np.ndarray,
    train_label_R: np.ndarray,
    val_feature_RK: np.ndarray,
    val_label_R: np.ndarray,
) -> "Booster":
    """Train until the validation loss falls no more; the same trees for the same rows, whatever the threads.

    The trees are those of qlib's `LGBModel.fit`, which a test holds this to. That one writes every loss to mlflow, into
    a folder of its own where the command was typed.

    Args:
        settings: see `LightGBM`.
        train_feature_RK: rows × features, NaN where unknown.
        train_label_R: what is learned, no NaN.
        val_feature_RK: the same, to stop by.
        val_label_R: the same.

    Returns:
        The booster, which predicts with the trees up to the best one.
    """
    import lightgbm
    from rich.progress import Progress

    trees = {"num_boost_round", "early_stopping_rounds"}
    parameters = {key: value for key, value in asdict(settings).items() if key not in trees}
    with Progress(transient=True) as progress:
        task = progress.add_task("LightGBM: trees", total=settings.num_boost_round)

        def advance(env: "CallbackEnv") -> None:
            progress.update(task, completed=env.iteration + 1)

        return lightgbm.train(
            {"objective": "mse", "verbosity": -1, **ALIKE_EVERYWHERE, **parameters},
            lightgbm.Dataset(train_feature_RK, train_label_R),
            num_boost_round=settings.num_boost_round,
            valid_sets=[lightgbm.Dataset(val_feature_RK, val_label_R)],
            callbacks=[lightgbm.early_stopping(settings.early_stopping_rounds, verbose=False), advance],
        )
