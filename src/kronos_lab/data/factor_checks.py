"""Adjustment factors the raw price does not confirm, and moves of the price no factor explains.

The measure is the exchange's own rule: between two sessions a price moves within the limits around the reference close,
which is the previous close over the step of the factor. A move outside them has a known cause (a listing, a long
suspension) or is an error of the data; whether it fits with the factor's step, without it, or in neither way tells
which. Where no rule exists (other markets), only moves beyond × or ÷ 2 are looked at, and a move of the price
itself is never touched.
"""

import numpy as np

from kronos_lab.data.checks import Findings, Thresholds
from kronos_lab.data.limits import TICKS_PER_YUAN
from kronos_lab.data.sessions import Moves, Sessions

FLOAT32_ROUNDING = 2.4e-7  # of a product and quotient of float32 values


def settle_session_factors(sessions: Sessions, thresholds: Thresholds, findings: Findings) -> None:
    """A factor is one number per session: where minute bars disagree, that of the session's first bar is taken.

    Comes before any check that drops sessions.
    """
    bars = sessions.bars
    of_session = sessions.bars_left()["factor"].to_numpy()
    wrong = np.abs(bars["factor"].to_numpy() / of_session - 1) > thresholds.smallest_step
    detail = "factor differs within the session: that of its first bar taken"
    findings.add(bars, wrong, "bad_factor", "repaired", detail)


def undo_factor_slips(sessions: Sessions, thresholds: Thresholds, findings: Findings) -> None:
    """A factor that leaves its level and is back at exactly the same one within days was wrong in between."""
    s = sessions.table
    factor, code = s["factor"].to_numpy().copy(), s["code"].to_numpy()
    steps = _step_rows(sessions.moves())
    leave, back = steps[:-1], steps[1:]
    returned = (code[leave] == code[back]) & (back - leave <= thresholds.longest_slip)
    returned &= np.abs(factor[leave - 1] / factor[back] - 1) < FLOAT32_ROUNDING
    for first, end in zip(leave[returned], back[returned], strict=True):
        level = factor[first - 1]
        if factor[first] == level:
            continue  # the other half of a pair mended already
        detail = f"factor {factor[first]:.7g}, before and after {level:.7g}: the latter taken"
        _repair(sessions, np.arange(first, end), detail, findings)
        factor[first:end] = level
    s["factor"] = factor


def settle_factor_steps(sessions: Sessions, thresholds: Thresholds, findings: Findings) -> None:
    """A factor step the raw price contradicts ends an older code, is moved to its day, or is taken out.

    The price contradicts a step where it fits the limits without the step and either misses them with it, or (A-shares
    only) the factor falls, as only a reverse split would make it, or the step implies a reference close of no
    whole tick where nearly all others of the source imply one. Then, the first that applies:

    - the factor is 1 from the first bar to an impossible step (`code_migration`): bars of an older code were carried
      over without their factors. Their ex-rights days are missing and cannot be had from here: rejected.
    - the step belongs to a session within `longest_slip` of its own, because the price there needs it, or its
      reference close is a whole tick there and only there: moved (`bad_factor`, repaired).
    - otherwise the level shifted, as where a vendor joins two sources: taken out, by scaling all factors before it, so
      that the newest stay as given (`bad_factor`, repaired). Returns before and after are not touched.
    """
    s, moves = sessions.table, sessions.moves()
    whole_ticks = _implies_whole_ticks(sessions, moves, thresholds)
    contradicted = _contradicted(sessions, moves, whole_ticks)
    given, factor = s["factor"].to_numpy(), s["factor"].to_numpy().copy()
    older_code = np.zeros(len(s), dtype=bool)
    for i in np.flatnonzero(contradicted)[::-1].tolist():
        if older_code[i]:
            continue
        first, step, impossible = sessions.first_of(i), moves.step[i], moves.step[i] > 1 and not moves.fits[i]
        what = (
            f"factor {given[i - 1]:.7g} to {given[i]:.7g} on {s['stamp'].iat[i]:%Y-%m-%d}, "
            f"but raw close {moves.previous[i]:.6g} to {s['close'].iat[i]:.6g}"
        )
        if impossible and (given[first:i] == 1).all():
            older_code[first:i] = True
            rows = sessions.bar_rows(np.arange(first, i))
            findings.add(sessions.bars, rows, "code_migration", "rejected", f"older code, unadjusted: {what}")
            continue
        day = _true_day(i, sessions, moves, whole_ticks, thresholds) if impossible else None
        if day is None:
            factor[first:i] *= step
            detail = f"{what}: step taken out, the {i - first} factors before × {step:.6g}"
            _repair(sessions, np.array([i]), detail, findings)
        else:
            late = day < i
            rows = np.arange(day, i) if late else np.arange(i, day)
            factor[rows] *= step if late else 1 / step
            detail = f"{what}: the step belongs to {s['stamp'].iat[day]:%Y-%m-%d}"
            _repair(sessions, rows, detail, findings)
    s["factor"] = factor
    sessions.drop(older_code)


def reject_lone_sessions(sessions: Sessions, findings: Findings) -> None:
    """A session beyond its limits is rejected where it alone is wrong (`beyond_limit`).

    That is: only its high or low is outside while open and close are inside; or the sessions around it fit each other
    and not it; or it is the symbol's last, so that nothing tells a wrong price from a lasting change.
    """
    s, moves = sessions.table, sessions.moves()
    reference = moves.previous / moves.step
    beyond = np.flatnonzero(_judged(sessions, moves) & ~moves.fits)
    ends_inside = sessions.within(s["open"].to_numpy(), reference) & sessions.within(s["close"].to_numpy(), reference)
    code, factor = s["code"].to_numpy(), s["factor"].to_numpy()
    following = np.minimum(beyond + 1, len(s) - 1)
    is_last = (following == beyond) | (code[following] != code[beyond])
    joined = moves.previous[beyond] * factor[beyond - 1] / factor[following]
    alone = ~moves.fits[following] & sessions.fits(joined, following, days=2)
    wrong = ends_inside[beyond] | is_last | alone
    wrong[1:] &= ~(wrong[:-1] & (np.diff(beyond) == 1))  # the way back from a wrong session is not wrong itself
    rows, reject = beyond[wrong], np.zeros(len(s), dtype=bool)
    reject[rows] = True
    for i in rows.tolist():
        detail = f"{_against_reference(sessions, moves, i)}, limit {s['rate'].iat[i]:.0%}"
        findings.add(sessions.bars, sessions.bar_rows(np.array([i])), "beyond_limit", "rejected", detail)
    sessions.drop(reject)


def bridge_jumps(sessions: Sessions, findings: Findings) -> None:
    """A lasting move beyond the limits that no factor explains is bridged at the open (`unexplained_jump`).

    Under a limit rule such a move is proof of an ex-rights day the source does not know. Its true ratio cannot be had
    from here; the factors before it are scaled so that the session opens at the adjusted close before, which loses
    one overnight return (at most the limit) instead of inventing one of tens of percent. Moves with a known cause,
    and of markets without the rule, are kept as they are and listed.
    """
    s, moves = sessions.table, sessions.moves()
    outside = ~np.isnan(moves.previous) & ~moves.fits
    judged = _judged(sessions, moves)
    factor = s["factor"].to_numpy().copy()
    for i in np.flatnonzero(outside & judged).tolist():
        ratio = s["open"].iat[i] / (moves.previous[i] / moves.step[i])
        factor[sessions.first_of(i) : i] *= ratio
        detail = (
            f"raw close {moves.previous[i]:.6g}, then open {s['open'].iat[i]:.6g} and close {s['close'].iat[i]:.6g}, "
            f"limit {s['rate'].iat[i]:.0%}: factors before × {ratio:.6g}, overnight return set to 0"
        )
        _repair(sessions, np.array([i]), detail, findings, check="unexplained_jump")
    for i in np.flatnonzero(outside & ~judged).tolist():
        cause = "no limit rule for this symbol"
        if s["ruled"].iat[i]:
            cause = "first sessions after the listing" if s["listing"].iat[i] else "resumption"
            cause += "" if s["listing"].iat[i] else f" after {int(moves.gap[i]) - 1} sessions"
        detail = f"{cause}: {_against_reference(sessions, moves, i)}"
        findings.add(sessions.bars, sessions.first_bar_rows(np.array([i])), "large_move", "kept", detail)
    s["factor"] = factor


def _against_reference(sessions: Sessions, moves: Moves, i: int) -> str:
    low, high = sessions.table["low"].iat[i], sessions.table["high"].iat[i]
    return f"prices {low:.6g} to {high:.6g}, reference close {moves.previous[i] / moves.step[i]:.6g}"


def _judged(sessions: Sessions, moves: Moves) -> np.ndarray:
    """Sessions whose prices the limit rule binds."""
    return sessions.table["ruled"].to_numpy() & ~np.isnan(moves.previous) & ~moves.free


def _step_rows(moves: Moves) -> np.ndarray:
    return np.flatnonzero((moves.step != 1) & ~np.isnan(moves.step))


def _implies_whole_ticks(sessions: Sessions, moves: Moves, thresholds: Thresholds) -> bool:
    """Whether the source's factors come from the exchange's reference closes, which are whole ticks."""
    steps = _step_rows(moves)
    steps = steps[sessions.table["ruled"].to_numpy()[steps]]
    reference = moves.previous[steps] / moves.step[steps]
    return len(steps) > 0 and bool((~_off_tick(reference)).mean() >= thresholds.whole_tick_share)


def _off_tick(reference: np.ndarray, slack: float = 0.05) -> np.ndarray:
    """Whether a reference close misses every whole tick by more than `slack` ticks and float32 rounding."""
    ticks = reference * TICKS_PER_YUAN
    return np.abs(ticks - np.round(ticks)) > slack + ticks * FLOAT32_ROUNDING


def _contradicted(sessions: Sessions, moves: Moves, whole_ticks: bool) -> np.ndarray:
    is_step = np.zeros(len(moves.step), dtype=bool)
    is_step[_step_rows(moves)] = True
    odd = moves.step < 1
    if whole_ticks:
        odd |= _off_tick(moves.previous / moves.step)
    odd &= sessions.table["ruled"].to_numpy()
    return is_step & ~moves.free & moves.fits_unadjusted & (~moves.fits | odd)


def _true_day(i: int, sessions: Sessions, moves: Moves, whole_ticks: bool, thresholds: Thresholds) -> int | None:
    """The session a factor step given for session `i` belongs to, or None if no session nearby asks for it."""
    s = sessions.table
    near = np.arange(max(i - thresholds.longest_slip, 1), min(i + thresholds.longest_slip + 1, len(s)))
    near = near[(s["code"].to_numpy()[near] == s["code"].iat[i]) & (near != i) & (moves.step[near] == 1)]
    reference = moves.previous[near] / moves.step[i]
    possible = sessions.fits(reference, near)
    needed = possible & ~moves.fits_unadjusted[near]
    if not needed.any() and whole_ticks:
        needed = possible & ~_off_tick(reference, slack=0.01)
    return int(near[needed][0]) if needed.sum() == 1 and s["ruled"].iat[i] else None


def _repair(sessions: Sessions, rows: np.ndarray, detail: str, findings: Findings, check: str = "bad_factor") -> None:
    """Record a repair: of every bar of several sessions, or of the first bar from which a level changed."""
    bars = sessions.bar_rows(rows) if len(rows) > 1 else sessions.first_bar_rows(rows)
    findings.add(sessions.bars, bars, check, "repaired", detail)
