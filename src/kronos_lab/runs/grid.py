"""Every combination of a discrete space, once."""

from optuna import Study
from optuna.samplers import RandomSampler

from kronos_lab.runs.search_space import SearchSpace


class EveryCombination(RandomSampler):
    """A search through a grid, in the order of its parameters.

    Optuna's GridSampler cannot be asked again for a combination whose trial was killed, and ends a search that asks
    and tells by an error. Here all combinations wait in the study from its beginning, and nothing else is drawn.
    """

    def queue(self, study: Study, space: SearchSpace) -> int:
        """Have every combination wait that was not asked for yet, and say how many there are in all."""
        combinations = list(space.combinations())
        for parameters in combinations:
            study.enqueue_trial(parameters, skip_if_exists=True)
        return len(combinations)
