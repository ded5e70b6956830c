"""Code migrations between symbols: one company in a source under an old and a new code.

A third kind, an older code's bars carried over without their factors, shows in the factor: see `factor_checks`.
"""

import numpy as np
import pandas as pd

from kronos_lab.data.checks import Findings, Thresholds
from kronos_lab.data.sessions import Sessions

CHECK = "code_migration"


def reject_second_codes(sessions: Sessions, thresholds: Thresholds, findings: Findings) -> None:
    """One stock under two codes: sessions identical in all prices and volume are rejected from one of them.

    The code that trades on longer keeps them, then the one that began earlier: an old code ends.
    """
    s = sessions.table
    key = pd.util.hash_pandas_object(s[["position", "open", "high", "low", "close", "volume"]], index=False)
    is_twin = key.duplicated(keep=False).to_numpy()
    if not is_twin.any():
        return
    span = s.groupby("code")["position"].agg(["min", "max"])
    by_seniority = span.sort_values(["max", "min"], ascending=[False, True], kind="stable").index.to_numpy()
    rank = np.empty(len(sessions.names), dtype=np.int64)
    rank[by_seniority] = np.arange(len(by_seniority))
    twins = s.loc[is_twin, ["code"]]
    senior = pd.Series(rank[twins["code"]], index=twins.index).groupby(key[is_twin]).transform("min")
    twins["survivor"] = by_seniority[senior]
    twins = twins[twins["survivor"] != twins["code"]]
    reject = np.zeros(len(s), dtype=bool)
    for _, pair in twins.groupby(["code", "survivor"]):
        if len(pair) < thresholds.identical_bars:
            continue
        rows = pair.index.to_numpy()
        reject[rows] = True
        detail = f"the same bars as {sessions.name(pair['survivor'].to_numpy()[0])}, which trades on under that code"
        findings.add(sessions.bars, sessions.bar_rows(rows), CHECK, "rejected", detail)
    sessions.drop(reject)


def note_handovers(sessions: Sessions, thresholds: Thresholds, findings: Findings) -> None:
    """One code ends, another begins days later at its price and with its factor: noted, never joined unasked.

    A new listing begins with factor 1, so a first factor that continues another code's is hardly chance.
    """
    s = sessions.table
    first, last = s.groupby("code").head(1), s.groupby("code").tail(1)
    begun = first[(first["factor"] != 1) & (first["position"] > s["position"].min())]
    ended = last[(last["factor"] != 1) & (last["position"] < s["position"].max())]
    for old in ended.itertuples():
        wait, factor = begun["position"] - old.position, begun["factor"] / old.factor
        candidates = begun[
            wait.between(1, thresholds.handover_sessions) & ((factor - 1).abs() < thresholds.smallest_step)
        ]
        reference = np.full(len(candidates), old.close)
        near = sessions.within(candidates["open"].to_numpy(), reference, candidates.index.to_numpy())
        for new in candidates[near].itertuples():
            names = f"{sessions.name(old.code)}: {sessions.name(new.code)}"
            detail = f"begins where another code ends, at its price and factor; renamed={{{names}}} joins them"
            findings.add(sessions.bars, sessions.first_bar_rows(np.array([new.Index])), CHECK, "kept", detail)
