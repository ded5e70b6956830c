"""Rows to learn from: members, on days before the backtest, with labels that end there."""

from dataclasses import replace

import pandas as pd
import pytest
from rival_cases import FIRST, HORIZON, SPLIT, UNIVERSE

from kronos_lab.backtesting.alpha158.training_rows import training_rows
from kronos_lab.errors import InputError


@pytest.fixture(scope="module")
def rows(small_market):
    return training_rows(small_market, UNIVERSE, SPLIT, HORIZON, FIRST)


@pytest.mark.parametrize(("part", "end"), [("train", SPLIT.train_end), ("val", SPLIT.val_end)])
def test_labels_end_before_the_next_part_begins(small_market, rows, part, end):
    """The last label is four bars (horizon + 1) before the end of its part: its exit is the open of the last day."""
    calendar = small_market.calendar
    label_LN = rows.labels(small_market, part)
    known = label_LN.index[label_LN.notna().any(axis=1)]
    assert known[-1] == calendar[calendar <= end][-1 - HORIZON - 1]
    opens = small_market.wide(["open"], label_LN.columns.to_list())["open"]
    symbol, at = label_LN.columns[2], calendar.get_loc(known[10])
    label = opens[symbol].iloc[at + 1 + HORIZON] / opens[symbol].iloc[at + 1] - 1
    assert label_LN.loc[known[10], symbol] == pytest.approx(label)


def test_a_name_suspended_over_the_end_has_no_label(small_market, rows, monkeypatch):
    """Its exit, the first open afterwards, would lie in the next part."""
    whole, symbol = small_market.wide, rows.traded_LN.columns[2]
    end = rows.train[-1]

    def suspended(fields, symbols, *arguments, **options):
        tables = whole(fields, symbols, *arguments, **options)
        for table in tables.values():
            table.loc[(table.index > end - pd.Timedelta(days=10)) & (table.index <= end), symbol] = float("nan")
        return tables

    before = rows.labels(small_market, "train")
    monkeypatch.setattr(small_market, "wide", suspended)
    after = rows.labels(small_market, "train")
    assert before[symbol].last_valid_index() > end - pd.Timedelta(days=10) >= after[symbol].last_valid_index()
    assert after.drop(columns=symbol).equals(before.drop(columns=symbol))


def test_only_members_are_learned_from(small_market, rows):
    member_LN = small_market.member_LN(UNIVERSE, rows.traded_LN.columns.to_list())
    known = rows.labels(small_market, "train").notna().to_numpy()
    assert not known[~member_LN[: len(known)]].any()
    # One joined and another left meanwhile.
    assert known[member_LN[: len(known)]].mean() > 0.9 and not member_LN[: len(known)].all()


def test_a_backtest_that_begins_earlier_leaves_less_to_learn_from(small_market, rows):
    """Days from the first signal on are neither learned from nor stopped by, whatever the split says."""
    earlier = pd.Timestamp("2024-08-01")
    less = training_rows(small_market, UNIVERSE, SPLIT, HORIZON, earlier)
    assert less.val[-1] == small_market.calendar[small_market.calendar < earlier][-1]
    assert less.train.equals(rows.train)


@pytest.mark.parametrize(
    ("split", "first", "words"),
    [
        (replace(SPLIT, train_start="2024-04-01"), FIRST, "41 of at least 60 days .* split.train_start=2024-04-01 to"),
        (SPLIT, pd.Timestamp("2024-06-20"), "9 of at least 20 days before 2024-06-20 .* split.val_start=2024-06-03"),
        (replace(SPLIT, train_end="2022-12-30"), FIRST, "0 of at least 60 days .* split.train_start=null to"),
    ],
)
def test_too_few_days_are_refused(small_market, split, first, words):
    with pytest.raises(InputError, match=words):
        training_rows(small_market, UNIVERSE, split, HORIZON, first)
