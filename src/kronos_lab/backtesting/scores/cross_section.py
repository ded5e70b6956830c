"""What is done to each day's scores across names before they are traded: outliers, unwanted bets, ranks.

Frames are [L, N], signal days × symbols, NaN where there is no score. Every day is treated by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from kronos_lab.backtesting.scores.exposures import EXPOSURES, exposures
from kronos_lab.backtesting.scores.given_exposures import GivenExposures, read_exposures
from kronos_lab.data.market import Market
from kronos_lab.data.settings import sound_number, switch, whole_number
from kronos_lab.errors import InputError
from kronos_lab.evaluation.neutral import neutralised


@dataclass(frozen=True, kw_only=True)
class CrossSection:
    """Winsorise, then neutralise, then rank; each only where it is asked for.

    Attributes:
        winsorise: scores beyond a day's quantiles at this share and at one minus it are set to them; None: they stay.
        neutralise: exposures whose linear part is taken out of the scores, any of `EXPOSURES` and of the columns of
            `exposures`.
        rank: replace scores by their ranks, which have no unit.
        beta_sessions: sessions a beta is measured over, see `market_beta`.
        liquidity_sessions: sessions traded value is averaged over, see `log_liquidity`.
        exposures: file of further exposures, see `read_exposures`; None, as in backtests from before there was one.
    """

    winsorise: float | None
    neutralise: Sequence[str]
    rank: bool
    beta_sessions: int
    liquidity_sessions: int
    exposures: str | None = None

    def __post_init__(self) -> None:
        if self.winsorise is not None:
            complaint = "is no share of a day's names to cut off at each end (above 0, below 0.5), nor null"
            sound_number("cross_section.winsorise", self.winsorise, lambda share: 0 < share < 0.5, complaint)
        choose = (
            f"choose any of [{', '.join(EXPOSURES)}], [] for none"
            + ", or give those of your own: cross_section.exposures=<file>" * (self.exposures is None)
        )
        if isinstance(self.neutralise, str) or not isinstance(self.neutralise, Sequence):
            raise InputError(f"cross_section.neutralise={self.neutralise} is no list: {choose}")
        object.__setattr__(self, "neutralise", tuple(self.neutralise))
        given = self._given  # read now: what cannot be used is refused before the forecasts are made
        for name in self.neutralise:
            if name not in EXPOSURES and given is None:
                raise InputError(f"cross_section.neutralise: {name} is no exposure that bars tell: {choose}")
        switch("cross_section.rank", self.rank)
        whole_number("cross_section.beta_sessions", self.beta_sessions, 2)
        whole_number("cross_section.liquidity_sessions", self.liquidity_sessions, 2)

    @cached_property
    def _given(self) -> GivenExposures | None:
        if self.exposures is None:
            return None
        return read_exposures(Path(str(self.exposures)).expanduser(), self.neutralise, EXPOSURES)

    def check(self, market: Market, universe: str, days: pd.DatetimeIndex) -> list[str]:
        """What is to be said of the exposures that were given, before the scores of these signal days are made.

        Raises:
            InputError: one of them is known of no member on any of the days.
        """
        names = [name for name in self.neutralise if name not in EXPOSURES]
        if self._given is None or not names:
            return []
        symbols = market.symbols(universe)
        member_LN = pd.DataFrame(market.member_LN(universe, symbols), market.calendar, symbols)
        return self._given.check(names, member_LN.loc[days], universe)

    def __call__(self, score_LN: pd.DataFrame, market: Market, universe: str) -> pd.DataFrame:
        """The scores as they are traded; without any treatment the same, bit by bit.

        Args:
            score_LN: what a signal says.
            market: daily market the scores belong to, for the exposures.
            universe: whose members are the market of the betas.
        """
        if self.winsorise is not None:
            score_LN = winsorised(score_LN, self.winsorise)
        if self.neutralise:
            bars = market.bars(universe)
            member_LN = market.member_LN(universe, bars.symbols)
            told = exposures(bars, member_LN, self.beta_sessions, self.liquidity_sessions)
            known = {name: [frame] for name, frame in told.items()}
            if self._given is not None:
                days, symbols = pd.DatetimeIndex(score_LN.index), list(score_LN.columns)
                names = [name for name in self.neutralise if name not in EXPOSURES]
                known |= {name: self._given.frames(name, days, symbols) for name in names}
            score_LN = neutralised(score_LN, [frame for name in self.neutralise for frame in known[name]])
        return ranked(score_LN) if self.rank else score_LN


def winsorised(score_LN: pd.DataFrame, share: float) -> pd.DataFrame:
    """Scores below a day's `share` quantile and above its 1 − `share` quantile set to them (linear interpolation)."""
    lowest_L, highest_L = (score_LN.quantile(quantile, axis=1) for quantile in (share, 1 - share))
    return score_LN.clip(lowest_L, highest_L, axis=0)


def ranked(score_LN: pd.DataFrame) -> pd.DataFrame:
    """Ranks of each day's scores, evenly from −0.5 (lowest) to 0.5; ties share their mean rank, a lone name has 0."""
    rank_LN = score_LN.rank(axis=1) - 1
    steps_L = (score_LN.notna().sum(axis=1) - 1).clip(lower=1)
    centre_L = (score_LN.notna().sum(axis=1) > 1) * 0.5
    return rank_LN.div(steps_L, axis=0).sub(centre_L, axis=0)
