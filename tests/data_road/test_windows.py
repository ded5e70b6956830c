"""No window reaches across a symbol, a gap, a membership or a border, and none that may exist is missing."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos_lab.data.bars import Bars
from kronos_lab.data.windows import WindowIndex
from kronos_lab.errors import InputError

FIRST_DAY = pd.Timestamp("2024-01-02")


def make_bars(present: list[list[bool]], per_session: int = 1) -> Bars:
    """Bars of symbols A, B, ... where `present`; values tell symbol and position, so a leak shows."""
    length = len(present[0])
    sessions = pd.bdate_range(FIRST_DAY, periods=-(-length // per_session))
    stamps = [day + pd.Timedelta(minutes=5 * i) for day in sessions for i in range(per_session)][:length]
    positions = [np.flatnonzero(row).astype(np.int32) for row in present]
    values = [np.stack([p + 1000.0 * n] * 6, -1).astype(np.float32) for n, p in enumerate(positions)]
    return Bars(
        symbols=[chr(ord("A") + n) for n in range(len(present))],
        values_MF=np.concatenate(values),
        position_M=np.concatenate(positions),
        offsets=np.cumsum([0, *map(len, positions)]),
        calendar=pd.DatetimeIndex(stamps),
        session_L=np.arange(length, dtype=np.int32) // per_session,
    )


@st.composite
def cases(draw):
    length = draw(st.integers(8, 40))
    symbols = draw(st.integers(1, 4))
    row = st.lists(st.sampled_from([True, True, True, False]), min_size=length, max_size=length)
    bars = make_bars([draw(row) for _ in range(symbols)], draw(st.sampled_from([1, 1, 3])))
    days = bars.calendar.normalize()

    def day():
        return days[draw(st.integers(0, length - 1))] + pd.Timedelta(days=draw(st.integers(-1, 1)))

    spans = None
    if draw(st.booleans()):
        rows = [(draw(st.sampled_from("ABCDZ")), *sorted((day(), day()))) for _ in range(draw(st.integers(0, 5)))]
        spans = pd.DataFrame(rows, columns=["symbol", "start", "end"])
    start, end = sorted((day(), day()))
    return {
        "bars": bars,
        "member_spans": spans,
        "lookback": draw(st.integers(1, 6)),
        "future": draw(st.integers(0, 4)),
        "start": draw(st.sampled_from([None, start])),
        "end": draw(st.sampled_from([None, end])),
        "max_gap": draw(st.integers(0, 3)),
        "label_end": draw(st.sampled_from([None, end])),
    }


def is_window(row, *, bars, member_spans, lookback, future, start, end, max_gap, label_end):
    """The definition, row by row."""
    n = int(np.searchsorted(bars.offsets, row, "right") - 1)
    first, last = row - lookback + 1, row + future
    if first < bars.offsets[n] or last >= bars.offsets[n + 1]:
        return False
    missing = np.diff(bars.session_L[bars.position_M[first : last + 1]]) - 1
    if (missing > max_gap).any():
        return False
    day = bars.calendar[bars.position_M[row]].normalize()
    if (start is not None and day < start) or (end is not None and day > end):
        return False
    if member_spans is not None:
        own = member_spans[member_spans.symbol == bars.symbols[n]]
        if not ((own.start <= day) & (day <= own.end)).any():
            return False
    if label_end is not None:
        border = int((bars.calendar.normalize() <= label_end).sum()) - 1
        if bars.position_M[last] > border or bars.position_M[row] + future > border:
            return False
    return True


@given(cases())
@settings(max_examples=150, deadline=None)
def test_windows_are_exactly_those_of_the_definition(case):
    index = WindowIndex(**case)
    expected = [row for row in range(len(case["bars"].position_M)) if is_window(row, **case)]
    assert index.signal_rows(np.arange(len(index))).tolist() == expected


@given(cases(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_gathered_windows_are_the_bars_and_stamps_around_the_signal(case, random):
    index, bars = WindowIndex(**case), case["bars"]
    if not len(index):
        return
    rows = index.signal_rows(np.array([random.randrange(len(index)) for _ in range(5)]))
    values, stamps = index.gather_bars(rows), index.gather_stamps(rows)
    for row, window, stamp in zip(rows, values, stamps, strict=True):
        around = slice(row - case["lookback"] + 1, row + case["future"] + 1)
        np.testing.assert_array_equal(window, bars.values_MF[around])
        assert len(set(window[:, 0] // 1000)) == 1  # one symbol
        days = bars.calendar[bars.position_M[around]]
        np.testing.assert_array_equal(stamp[:, 3], days.day)
        np.testing.assert_array_equal(stamp[:, 0], days.minute)
    assert [bars.symbols[n] for n in index.symbols_of(rows)] == [chr(ord("A") + int(v[0, 0] // 1000)) for v in values]
    assert (index.stamps_of(rows) == bars.calendar[bars.position_M[rows]]).all()


@given(cases(), st.integers(0, 39))
@settings(max_examples=100, deadline=None)
def test_a_border_keeps_the_future_out(case, at):
    """Windows that must not reach over a day are the same whether the days after it exist or not."""
    bars = case["bars"]
    border = bars.calendar[min(at, len(bars.calendar) - 1)].normalize()
    case |= {"label_end": border}
    keep = bars.position_M <= int((bars.calendar.normalize() <= border).sum()) - 1
    counts = np.add.reduceat(np.append(keep, False), bars.offsets[:-1]) * (np.diff(bars.offsets) > 0)
    shorter = Bars(
        bars.symbols,
        bars.values_MF[keep],
        bars.position_M[keep],
        np.cumsum([0, *counts]),
        bars.calendar,
        bars.session_L,
    )
    long, short = WindowIndex(**case), WindowIndex(**(case | {"bars": shorter}))
    assert len(long) == len(short)
    if len(long):
        everything = np.arange(len(long))
        np.testing.assert_array_equal(
            long.gather_bars(long.signal_rows(everything)), short.gather_bars(short.signal_rows(everything))
        )


def test_what_makes_no_sense_is_refused():
    bars = make_bars([[True] * 10])
    with pytest.raises(InputError, match="after the last"):
        WindowIndex(bars, None, 2, 1, start="2024-02-01", end="2024-01-01")
    with pytest.raises(InputError, match="lookback 0"):
        WindowIndex(bars, None, 0, 1)
    with pytest.raises(IndexError):
        WindowIndex(bars, None, 2, 1).signal_rows(np.array([8]))


def test_a_market_shorter_than_a_window_has_none():
    assert len(WindowIndex(make_bars([[True] * 3]), None, 4, 1)) == 0


def test_an_index_holds_runs_not_windows():
    bars = make_bars([[True] * 40_000, [True] * 20_000 + [False] * 5 + [True] * 19_995])
    index = WindowIndex(bars, None, 90, 11, max_gap=2)
    assert len(index) == 80_000 - 5 - 3 * 100
    own = [a for name, a in vars(index).items() if isinstance(a, np.ndarray) and not name.endswith("_windows")]
    assert sum(array.nbytes for array in own) < len(bars.calendar) * 10 + 100  # its stamps, and three runs
    for name in ("_bar_windows", "_position_windows"):
        assert np.shares_memory(vars(index)[name], bars.values_MF if name == "_bar_windows" else bars.position_M)
