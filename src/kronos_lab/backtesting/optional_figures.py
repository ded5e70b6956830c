"""Figures that only some backtests have: what they are called, and the setting that makes them."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from kronos_lab.backtesting.score_quality import NEXT_SESSION
from kronos_lab.errors import InputError
from kronos_lab.runs.objective import is_one_of

OF_SESSIONS = re.compile(r"(?:rank_ic|ic)_(\d+)d(?:_t|_p)?|(?:covered_80|crps_skill)_(\d+)d")


class OptionalFigures(NamedTuple):
    """Figures that are made together.

    Attributes:
        made_by: the setting.
        families: of names, see `objective.check_objective`.
    """

    made_by: str
    families: tuple[str, ...]


INDEX = OptionalFigures(
    "a universe with an index, universe.benchmark",
    (
        "excess_index_<kind>",
        "information_ratio_index_<kind>",
        "benchmarks.index.<figure>",
        "excess.index.<keys>",
        "random_portfolios.excess.index.<keys>",
    ),
)
RANDOM_PORTFOLIOS = OptionalFigures(
    "backtest.random_portfolios=100",
    ("annual_return_percentile", "information_ratio_percentile", "random_portfolios.<keys>"),
)
CALIBRATION = OptionalFigures(
    "calibration.days=20", ("covered_80_<sessions>d", "crps_skill_<sessions>d", "calibration.<keys>")
)
RIVALS = OptionalFigures("backtest.baselines=true", ("superiority_p", "superiority.<keys>"))
LIGHTGBM = OptionalFigures("backtest.lightgbm=true", ("lightgbm.<keys>",))


def check_has_figure(objective: object, horizon: int, made: Mapping[OptionalFigures, bool]) -> None:
    """Refuse an objective that a backtest of these settings will not have, before anything is forecast.

    Args:
        objective: name of a figure that some backtest has; None for no objective.
        horizon: sessions that are forecast.
        made: whether this backtest makes them.

    Raises:
        InputError: it is one of what is not made, or of other sessions.
    """
    if not isinstance(objective, str):
        return
    refused = f"objective={objective} is no figure of this backtest"
    for figures, wanted in made.items():
        if not wanted and any(is_one_of(objective, family) for family in figures.families):
            raise InputError(f"{refused}: it needs {figures.made_by}")
    of_sessions, main = OF_SESSIONS.fullmatch(objective), sorted({NEXT_SESSION, horizon})
    if of_sessions and int(of_sessions[1] or of_sessions[2]) not in main:
        raise InputError(f"{refused}: its labels are of {' or '.join(f'{sessions}d' for sessions in main)}")
