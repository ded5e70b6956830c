"""Every combination of a discrete space, once."""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna import Study
from optuna.samplers import RandomSampler


class EveryCombination(RandomSampler):
    """A search through a grid, in the order of its parameters.

    Optuna's GridSampler cannot be asked again for a combination whose trial was killed, and ends a search that asks
    and tells by an error. Here all combinations wait in the study from its beginning, and nothing else is drawn.
    """

    @staticmethod
    def queue(study: Study, combinations: Sequence[Mapping[str, Any]]) -> None:
        """Have every combination wait that was not asked for yet."""
        for parameters in combinations:
            study.enqueue_trial(dict(parameters), skip_if_exists=True)
