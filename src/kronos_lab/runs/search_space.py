"""What a search may choose: overrides in Hydra's own sweep syntax, as distributions of Optuna.

`choice(a,b)` and `a,b` are categories, kept as they are typed; `range(start,stop,step)` stops before `stop`, as Hydra's
ranges do; `interval(low,high)` has every number between, `int(interval(low,high))` every whole one with both ends, and
`tag(log, ...)` draws either on a logarithmic scale.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kronos_lab.errors import InputError

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from hydra.core.override_parser.types import Override
    from optuna.distributions import BaseDistribution

LOG = "log"  # the one tag that means something
MOST_COMBINATIONS = 1_000


@dataclass(frozen=True)
class SearchSpace:
    """The parameters of a search.

    Attributes:
        free: what is searched, by key as it is typed.
        fixed: overrides that all trials have in common, as they are typed.
    """

    free: "dict[str, BaseDistribution]"
    fixed: tuple[str, ...]

    def overrides(self, parameters: Mapping[str, Any]) -> list[str]:
        """Overrides of a trial: what is fixed, then its own parameters."""
        return [*self.fixed, *(f"{key}={value}" for key, value in parameters.items())]

    def describe(self) -> dict[str, Any]:
        """What makes it another space, as JSON knows it."""
        from optuna.distributions import distribution_to_json

        free = {key: json.loads(distribution_to_json(values)) for key, values in self.free.items()}
        return {"free": free, "fixed": sorted(self.fixed)}

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Every combination of parameters, the last one changing fastest.

        Raises:
            InputError: a parameter has no list of values, or there are too many combinations.
        """
        values = {key: _values(key, distribution) for key, distribution in self.free.items()}
        number = 1
        for of_one in values.values():
            number *= len(of_one)
        if number > MOST_COMBINATIONS:
            raise InputError(f"a grid of {number:,} combinations: give fewer values, or hydra/sweeper/sampler=tpe")
        return (dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values()))

    def example(self) -> dict[str, Any]:
        """One point of the space, to see whether it can be composed."""
        from optuna.distributions import CategoricalDistribution

        return {
            key: values.choices[0] if isinstance(values, CategoricalDistribution) else values.low  # type: ignore[attr-defined]  # of numbers
            for key, values in self.free.items()
        }


def parse_search_space(
    parameters: Mapping[str, Any], typed: Sequence[str], config_loader: "ConfigLoader | None" = None
) -> SearchSpace:
    """Read the space of a search.

    Args:
        parameters: `hydra.sweeper.params`: key and value as on the command line, some of them sweeps.
        typed: overrides of the command line; one with the key of a parameter replaces it.
        config_loader: Hydra's, which `glob(...)` asks for the options of a group.

    Raises:
        InputError: nothing is searched, or a sweep means nothing to a search.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    configured = [f"{key}={'null' if value is None else value}" for key, value in parameters.items()]
    # By key: what is typed takes the place of what is configured, its place in the order too.
    parsed = OverridesParser.create(config_loader).parse_overrides([*configured, *typed])
    overrides = {override.get_key_element(): override for override in parsed}
    free = {key: _distribution(override) for key, override in overrides.items() if override.is_sweep_override()}
    fixed = [override.input_line or "" for key, override in overrides.items() if key not in free]
    if not free:
        raise InputError(
            "nothing to search: give hydra.sweeper.params, or a parameter as "
            "'optim.predictor.optimizer.lr=tag(log, interval(1e-5, 1e-3))'"
        )
    return SearchSpace(free, tuple(fixed))


def _distribution(override: "Override") -> "BaseDistribution":
    from hydra.core.override_parser.types import IntervalSweep, RangeSweep, Transformer
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sweep: Any = override.value()
    typed = override.input_line
    tags: set[str] = getattr(sweep, "tags", set())
    if tags - {LOG} or (tags and not isinstance(sweep, IntervalSweep)):
        raise InputError(f"{typed}: a search knows one tag, tag(log, interval(low, high))")
    if isinstance(sweep, IntervalSweep):
        low, high, log = sweep.start, sweep.end, LOG in tags
        assert low is not None and high is not None
        if not low < high:
            raise InputError(f"{typed}: the end of an interval must lie above its start")
        if log and low <= 0:
            raise InputError(f"{typed}: a logarithmic scale begins above 0")
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=log)
        return FloatDistribution(low, high, log=log)
    if isinstance(sweep, RangeSweep) and not sweep.shuffle:
        numbers = sweep.range()
        if isinstance(numbers, range) and numbers.step > 0 and len(numbers) > 1:
            return IntDistribution(numbers[0], numbers[-1], step=numbers.step)
    values = [str(value) for value in override.sweep_iterator(transformer=Transformer.encode)]
    if not values:
        raise InputError(f"{typed}: there is no value to choose")
    return CategoricalDistribution(list(dict.fromkeys(values)))


def _values(key: str, distribution: "BaseDistribution") -> list[Any]:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution) and not distribution.log:
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    raise InputError(f"a grid needs every value of {key}: write choice(...) or range(...)")
