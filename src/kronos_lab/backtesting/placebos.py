"""Does the machinery see what is there, and nothing where nothing is? Scores whose worth is known before.

L signal days, N symbols.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binom

from kronos_lab.backtesting.baselines import OURS, Traded
from kronos_lab.backtesting.score_quality import NEXT_SESSION
from kronos_lab.data.market import Market
from kronos_lab.evaluation.inference import CONFIDENCE, HacMean, hac_mean, too_little
from kronos_lab.evaluation.ranking import open_to_open_return

PLACEBOS_FILE = "placebos.csv"
TOMORROW, LATER, SHUFFLED = "tomorrow's return", "a session later", "shuffled"
LEVEL = 0.001  # of finding a leak: sound machinery is accused by chance in one of a thousand tests


def placebo_scores(market: Market, score_LN: pd.DataFrame, shuffles: int, seed: int) -> dict[str, pd.DataFrame]:
    """The scores themselves (`OURS`) and what is held against them, on the same rows.

    - `TOMORROW`: open to open over the next session, which nobody knows: it must be spectacular.
    - `LATER`: each row of scores a signal day later, as if they had come too late: how much hangs on the first day.
      Left out where there is one day.
    - `SHUFFLED` 1, 2, ...: scores dealt anew among the names of each day: they must be worth nothing.

    Args:
        market: where the prices are.
        score_LN: scores that were traded.
        shuffles: how often they are dealt anew.
        seed: of that.
    """
    symbols = list(score_LN.columns)
    open_LN = market.wide(["open"], symbols)["open"]
    tomorrow_LN = open_to_open_return(open_LN, NEXT_SESSION).reindex(score_LN.index)
    scored_LN = score_LN.notna()
    found = {OURS: score_LN, TOMORROW: tomorrow_LN.fillna(0.0).where(scored_LN)}
    later_LN = score_LN.shift(1).where(scored_LN).iloc[1:]
    if len(later_LN):
        found[LATER] = later_LN
    random = np.random.default_rng(seed)
    return found | {f"{SHUFFLED} {n}": _shuffled(score_LN, random) for n in range(1, shuffles + 1)}


def _shuffled(score_LN: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Scores of each day in another order, among the names that have one."""
    values_LN = score_LN.to_numpy(copy=True)
    for values_N in values_LN:
        known = np.flatnonzero(np.isfinite(values_N))
        values_N[known] = values_N[random.permutation(known)]
    return pd.DataFrame(values_LN, score_LN.index, score_LN.columns)


def excess_before_cost(traded: Mapping[str, Traded], equal_weight: pd.Series) -> pd.DataFrame:
    """What each portfolio earned before cost beyond equal weight of the part that was invested; daily, [L, K].

    Cash is no part of it: it falls behind in a rising market whatever the scores are. Nor is the first session, in the
    middle of which the portfolio begins.

    Args:
        traded: scores and ledgers by name, the K columns.
        equal_weight: daily return of the members in equal parts.
    """
    found = {}
    for name, one in traded.items():
        daily = one.ledger.daily
        invested_L = (daily["holdings"] / daily["account"]).shift(1)
        found[name] = daily["gross_return"] - invested_L * equal_weight.reindex(daily.index)
    return pd.DataFrame(found)


def findings(table: Mapping[str, Mapping[str, Any]], before_cost_LK: pd.DataFrame, per_year: float) -> list[str]:
    """What the placebos say of the machinery, a sentence each.

    Args:
        table: rank IC and excess by name, see `against_baselines`.
        before_cost_LK: see `excess_before_cost`.
        per_year: sessions per year.
    """

    def rank_ic(name: str) -> Mapping[str, Any]:
        return table[name]["rank_ic"][str(NEXT_SESSION)]

    if not np.isfinite(rank_ic(TOMORROW)["mean"]):
        return [f"nothing can be said: {rank_ic(TOMORROW)['reason']}"]
    # Of the rank IC, 1 by construction, nothing can be learned.
    excess, seen = table[TOMORROW]["excess"]["annual_return"], _mean(before_cost_LK[TOMORROW])
    sees = excess > max(0.0, table[OURS]["excess"]["annual_return"]) and not seen.p > 1 - CONFIDENCE
    sentences = [
        f"{TOMORROW}: excess {excess:+.0%} a year after cost: "
        + ("the machinery sees what is there" if sees else "THE MACHINERY DOES NOT SEE IT, trust no figure")
    ]
    shuffled = [name for name in table if name.startswith(SHUFFLED)]
    if shuffled:
        worth = _mean(before_cost_LK[shuffled].mean(axis=1))
        sentences.append(_worth_of_shuffled([rank_ic(name) for name in shuffled], worth, per_year))
    if LATER in table:
        earned = {name: table[name]["excess"]["annual_return"] for name in (OURS, LATER)}
        sentences.append(
            f"{LATER}: rank IC {rank_ic(LATER)['mean']:+.4f} where the scores had {rank_ic(OURS)['mean']:+.4f}, excess "
            f"{earned[LATER]:+.1%} a year where they had {earned[OURS]:+.1%}"
        )
    return sentences


def _mean(excess_L: pd.Series) -> HacMean:
    """Of a daily excess; that of portfolios that share days and prices is first averaged to one series."""
    known_L = excess_L.dropna()
    return hac_mean(known_L, 1, too_little(len(known_L), horizon=1, stride=1))


def _worth_of_shuffled(rank_ics: Sequence[Mapping[str, Any]], worth: HacMean, per_year: float) -> str:
    """The verdict on shuffled scores: by what they rank, which is nothing as they were dealt, and by what they earn.

    What fills, prices or the accounts let in from the future shows in the money alone.
    """
    said = (
        f"{SHUFFLED} within the day, {len(rank_ics)} times: mean rank IC {np.mean([r['mean'] for r in rank_ics]):+.4f}"
    )
    known = [rank_ic["p"] for rank_ic in rank_ics if np.isfinite(rank_ic["p"])]
    if not known or not np.isfinite(worth.p):
        return f"{said}; whether that is nothing cannot be said: {rank_ics[0]['reason'] or worth.reason}"
    apart = sum(p <= 1 - CONFIDENCE for p in known)
    # By chance one of twenty is; as many as this are seldom.
    ranks = apart > binom.ppf(1 - LEVEL, len(known), 1 - CONFIDENCE)
    judged = "SOMETHING LEAKS, trust no figure" if ranks or worth.p <= LEVEL else "worth nothing, as it should be"
    return (
        f"{said}, {apart} of {len(known)} apart from zero at 5 %; mean excess {worth.mean * per_year:+.1%} a year "
        f"before cost (p {worth.p:.2g}): {judged}"
    )


def save_placebos(
    folder: Path, table: Mapping[str, Mapping[str, Any]], before_cost_LK: pd.DataFrame, per_year: float
) -> dict[str, float]:
    """Write `placebos.csv`, a row per placebo, and return its rank IC and excess, flat; arguments as of `findings`."""
    rows: dict[str, dict[str, float]] = {}
    flat: dict[str, float] = {}
    for name, row in table.items():
        rank_ic, excess = row["rank_ic"][str(NEXT_SESSION)], row["excess"]
        rows[name] = {
            "rank_ic": rank_ic["mean"],
            "rank_ic_p": rank_ic["p"],
            "excess": excess["annual_return"],
            "excess_p": excess["p"],
            "information_ratio": excess["information_ratio"],
            "turnover": row["turnover"],
            "excess_before_cost": float(before_cost_LK[name].mean()) * per_year,
            "excess_before_cost_p": _mean(before_cost_LK[name]).p,
        }
        flat |= {f"{name}/rank_ic": rank_ic["mean"], f"{name}/excess": excess["annual_return"]}
    pd.DataFrame(rows).T.to_csv(folder / PLACEBOS_FILE, index_label="scores", float_format="%.6g")
    return flat
