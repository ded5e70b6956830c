"""Differences, groups and tables of backtests made by hand, and what is said of them."""

import numpy as np
import pandas as pd
import pytest
from finished_backtests import HORIZON, PER_YEAR, SESSIONS, compare, finished, rows_of, trained

from kronos_lab.backtesting.comparison.compared_run import read_compared_run
from kronos_lab.backtesting.comparison.outcome import comparison_frame, headline
from kronos_lab.backtesting.comparison.rows import make_rows
from kronos_lab.backtesting.comparison.verdict import verdict
from kronos_lab.backtesting.report.comparison_tables import different_settings, less_table
from kronos_lab.backtesting.report.wording import chance
from kronos_lab.runs.trials import Trial, append_trial, read_trials


def test_differences_are_of_the_paired_days(tmp_path):
    """Means are exact by construction, and the interval is that of the daily differences, not of two intervals."""
    finished(tmp_path, "base", excess=0.0002, rank_ic=0.01)
    finished(tmp_path, "more", excess=0.0005, rank_ic=0.03, strategy__topk=30, draw=0)  # the very noise of base
    finished(tmp_path, "noisy", excess=0.0005, rank_ic=0.03, strategy__topk=20, draw=1)
    compared = compare(tmp_path, ["base", "more", "noisy"])
    rows = rows_of(compared)
    assert not rows["base"].less
    for name in ("more", "noisy"):
        less = rows[name].less
        assert less["return_less"].value == pytest.approx(0.0003 * PER_YEAR) and less["return_less"].days == 120
        assert less["rank_ic_1_less"].value == less[f"rank_ic_{HORIZON}_less"].value == pytest.approx(0.02)
    paired, noisy = (rows[name].less["return_less"] for name in ("more", "noisy"))
    assert paired.low == pytest.approx(paired.high, abs=1e-9) and noisy.low < 0 < noisy.high
    base, noise = (
        pd.read_parquet(tmp_path / "backtest" / name / "portfolio.parquet")["net_return"] for name in ("base", "noisy")
    )
    deviation = (noise - base).std() / len(base) ** 0.5 * PER_YEAR
    assert noisy.high - noisy.low == pytest.approx(2 * 1.96 * deviation, rel=0.25)


def test_figures_are_those_of_the_runs_own_reports(tmp_path):
    finished(tmp_path, "base", excess=0.0002, rank_ic=0.01)
    compared = compare(tmp_path, ["base"])
    metrics = compared.against.runs[0].metrics
    figures = compared.best_line.figures
    own = metrics["excess"]["equal_weight"]["with_cost"]
    assert figures["excess"].value == pytest.approx(own["annual_return"]) == pytest.approx(0.0002 * PER_YEAR)
    assert figures["information_ratio"].value == pytest.approx(own["information_ratio"])
    assert figures["sharpe_ratio"].value == metrics["portfolio"]["with_cost"]["information_ratio"]
    assert figures["max_drawdown"].value < 0 and np.isnan(figures["excess"].deviation)
    assert figures["rank_ic_1"].value == pytest.approx(0.01) and 0 <= figures["rank_ic_1"].p <= 1
    assert verdict(compared)[0].startswith("Nothing that can be compared with base")


def test_seeds_share_a_row(tmp_path):
    """Sampling seeds, and training seeds through the training runs: mean and deviation by hand."""
    excesses = (0.0001, 0.0003, 0.0008)
    for n, excess in enumerate(excesses):
        run = trained(tmp_path, f"t{n}", f"w{n}", seed=n)
        finished(tmp_path, f"tuned_{n}", excess=excess, draw=n, weights=f"w{n}", training_run=run, seed=100 + n)
    other = trained(tmp_path, "hot", "hot", optim={"lr": 1e-3})
    finished(tmp_path, "hot", draw=9, weights="hot", training_run=other)
    compared = compare(tmp_path, ["hot", "tuned_0", "tuned_1", "tuned_2"])
    rows = rows_of(compared)
    assert list(rows) == ["hot", "tuned_0 and 2 more seeds"]
    figure = rows["tuned_0 and 2 more seeds"].figures["excess"]
    assert figure.value == pytest.approx(np.mean(excesses) * PER_YEAR)
    assert figure.deviation == pytest.approx(np.std(excesses, ddof=1) * PER_YEAR)
    ratio = rows["tuned_0 and 2 more seeds"].figures["information_ratio"]
    assert np.isfinite(ratio.deviation) and np.isnan(ratio.low)
    less = rows["tuned_0 and 2 more seeds"].less["return_less"]
    assert less.value == pytest.approx(np.mean(excesses) * PER_YEAR)


def test_what_weights_began_with_tells_them_apart_and_its_seed_does_not(tmp_path):
    for n in (1, 2):
        trained(tmp_path, f"parent{n}", f"p{n}", seed=n)
        model = {"pretrained": str(tmp_path / "train" / f"parent{n}")}
        run = trained(tmp_path, f"child{n}", f"w{n}", model=model)
        finished(tmp_path, f"run{n}", weights=f"w{n}", training_run=run, draw=n)
    compared = compare(tmp_path, ["run1", "run2"])
    assert list(rows_of(compared)) == ["run1 and 1 more seed"]
    trained(tmp_path, "wide", "p3", data={"lookback": 60}, seed=3, optim={"lr": 1})
    run = trained(tmp_path, "child3", "w3", model={"pretrained": str(tmp_path / "train" / "wide")})
    finished(tmp_path, "run3", weights="w3", training_run=run, draw=3)
    assert len(rows_of(compare(tmp_path, ["run1", "run2", "run3"]))) == 2


def test_weights_that_no_training_run_explains_are_no_seeds(tmp_path):
    for n in (1, 2):
        finished(tmp_path, f"run{n}", weights=f"w{n}", draw=n)
    runs = [read_compared_run(tmp_path / "backtest" / f"run{n}", tmp_path) for n in (1, 2)]
    rows, _, notes = make_rows(runs)
    assert len(rows) == 2 and not notes
    run = trained(tmp_path, "t", "w3")
    finished(tmp_path, "run3", weights="w3", training_run=run)
    trained(tmp_path, "again", "w4")
    finished(tmp_path, "run4", weights="w4", training_run=tmp_path / "train" / "again")
    rows, _, notes = make_rows([read_compared_run(tmp_path / "backtest" / f"run{n}", tmp_path) for n in (3, 4)])
    assert len(rows) == 2 and "the same settings and seeds, but other weights" in notes[0]


def test_a_repeat_counts_once(tmp_path):
    finished(tmp_path, "base", excess=0.0002)
    finished(tmp_path, "again", excess=0.0002)
    finished(tmp_path, "wrong", excess=0.0003)
    compared = compare(tmp_path, ["base", "again"])
    assert compared.notes == ["base repeats again (settings, seeds and weights are the same): counted once"]
    assert compared.luck["trials"] == 1 and len(compared.first.lines) == 1
    assert "base repeats again with other figures" not in "".join(compared.notes)
    assert "wrong repeats base with other figures" in compare(tmp_path, ["base", "wrong"]).notes[1]


def test_a_repeat_that_all_are_held_against_stands_for_the_run_it_repeats(tmp_path):
    """And not for one of another universe, though its weights, settings and days are the same."""
    finished(tmp_path, "a300", draw=1)
    finished(tmp_path, "b500", universe__name="csi500", draw=2)
    finished(tmp_path, "c500", universe__name="csi500", draw=2)
    finished(tmp_path, "d500", universe__name="csi500", strategy__topk=30, draw=3)
    compared = compare(tmp_path, ["a300", "b500", "c500", "d500"], against="c500")
    assert compared.against.name == "b500" and set(rows_of(compared)) == {"b500", "d500"}


def test_only_what_differs_is_a_column(tmp_path):
    """Weights are one where no setting of a training run tells them apart."""
    run = trained(tmp_path, "cold", "w1")
    finished(tmp_path, "base", weights="w1", training_run=run)
    finished(tmp_path, "wide", weights="w1", training_run=run, strategy__topk=30, draw=1)
    assert different_settings(compare(tmp_path, ["base", "wide"])) == ["strategy.topk"]
    finished(tmp_path, "seed", weights="w1", training_run=run, seed=7, draw=2)
    assert different_settings(compare(tmp_path, ["base", "wide", "seed"])) == ["seed", "strategy.topk"]
    hot = trained(tmp_path, "hot", "w2", optim={"lr": 1e-3})
    finished(tmp_path, "hot", weights="w2", training_run=hot, draw=3)
    compared = compare(tmp_path, ["base", "hot"])
    assert different_settings(compared) == ["train.optim.lr"]
    table = comparison_frame(compared).set_index("row")
    assert table["set.train.optim.lr"].to_dict() == {"base": "0.0001", "hot": "0.001"}
    finished(tmp_path, "unknown", weights="w3", draw=4)
    assert "weights" in different_settings(compare(tmp_path, ["base", "unknown"]))


def test_what_is_not_comparable_stands_apart_and_says_why(tmp_path):
    finished(tmp_path, "base")
    apart = {
        "market": ({"market": ("other", "abc")}, "another market, other"),
        "grown": ({"market": ("small", "def")}, "another state of it, fingerprint def"),
        "universe": ({"universe__name": "csi500"}, "another universe, csi500"),
        "label": ({"data__horizon": 10}, "another label, over 10 sessions"),
        "days": ({"sessions": SESSIONS[60:]}, "other days, 2024-09-23 to"),
        "cost": ({"exchange__open_cost": 0.0}, "other costs or rules of trading, exchange.open_cost 0"),
        "account": ({"backtest__account": 1e6}, "account 1e+06"),
    }
    for draw, (name, (changes, _)) in enumerate(apart.items(), start=1):
        finished(tmp_path, name, draw=draw, excess=0.01, **changes)
    compared = compare(tmp_path, ["base", *apart])
    assert list(rows_of(compared)) == ["base"] and not compared.first.unlike and compared.best == "base"
    tables = {next(iter(rows_of(compared, place))): compared.tables[place] for place in range(1, len(apart) + 1)}
    assert set(tables) == set(apart)
    for name, (_, why) in apart.items():
        assert why in "; ".join(tables[name].unlike), tables[name].unlike
        (line,) = tables[name].lines
        assert bool(line.less) == (name in {"days", "cost", "account"})
    (later,) = tables["days"].lines
    assert later.less["return_less"].days == later.less["rank_ic_1_less"].days == 60


def test_other_days_inside_a_range_are_said(tmp_path):
    finished(tmp_path, "base", excess=0.0002)
    finished(tmp_path, "holes", sessions=SESSIONS.delete([50, 51, 52]), strategy__topk=30, draw=1)
    compared = compare(tmp_path, ["base", "holes"])
    assert len(compared.tables) == 1 and "holes has 117 of the 120 sessions" in compared.notes[0]
    assert rows_of(compared)["holes"].less["return_less"].days == 117


def test_runs_that_score_other_names_say_so(tmp_path):
    """As many of them or not: a rank IC is of the names that have a score."""
    finished(tmp_path, "base")
    finished(tmp_path, "again", strategy__topk=30, draw=1)
    assert not compare(tmp_path, ["base", "again"]).notes
    finished(tmp_path, "long", data__lookback=400, names="abcdef", draw=2)
    finished(tmp_path, "others", data__lookback=60, names="abcdefgi", draw=3)
    finished(tmp_path, "later", sessions=SESSIONS[60:], data__lookback=400, names="abcdef", draw=4)
    compared = compare(tmp_path, ["base", "again", "long", "others", "later"])
    assert sorted(compared.notes) == [
        f"{name} scores {number} names a day, base 8.0, and other names on {days} of the {days} days that both have: "
        "a difference of their rank ICs is one of names, too"
        for name, number, days in (("later", "6.0", 60), ("long", "6.0", 120), ("others", "8.0", 120))
    ]


def test_the_order_of_runs_changes_nothing(tmp_path):
    for n in range(3):
        finished(tmp_path, f"run{n}", strategy__topk=20 + n, draw=n, excess=0.0001 * n)
    finished(tmp_path, "later", sessions=SESSIONS[60:], draw=5)
    names = ["run0", "run1", "run2", "later"]
    first = compare(tmp_path, names, against="run1").describe()
    assert repr(compare(tmp_path, names[::-1], against="run1").describe()) == repr(first)


def test_nothing_is_found_where_nothing_is(tmp_path):
    """Twelve settings that differ by noise alone: the best of them is not told from any."""
    for n in range(12):
        finished(tmp_path, f"run{n}", strategy__topk=20 + n, draw=50 + n)
        path = tmp_path / "backtest" / f"run{n}" / "portfolio.parquet"
        portfolio = pd.read_parquet(path)
        portfolio["net_return"] += np.random.default_rng(n).normal(0, 0.004 / 120**0.5)  # as means of noise spread
        portfolio.to_parquet(path)
    compared = compare(tmp_path, [f"run{n}" for n in range(12)])
    said = verdict(compared)
    assert "cannot be told from it" in said[0] or "none has a higher excess" in said[0]
    assert compared.superiority["net_return"].p > 0.05 and compared.luck["trials"] == 12
    assert compared.luck["probability"] < 0.95


def test_each_label_is_said_to_be_told_apart_or_not(tmp_path):
    """A better order over the horizon alone: in the verdict, the tested figures and the table of differences."""
    for n in range(3):
        finished(tmp_path, f"run{n}", strategy__topk=20 + n, draw=n)
    finished(tmp_path, "later", strategy__topk=40, draw=7, later_rank_ic=0.06)
    compared = compare(tmp_path, ["run0", "run1", "run2", "later"])
    _, of_next, of_horizon, *_ = verdict(compared)
    assert "rank IC of the next session" in of_next and "can be told from it (SPA" not in of_next
    assert of_horizon.startswith(f"The highest rank IC over {HORIZON} sessions has later, 0.0600, which is 0.0600 [")
    assert "more than run0: it can be told from it (SPA test" in of_horizon
    tested = compared.superiority[f"rank_ic_{HORIZON}"]
    assert tested.strongest == "later" and tested.p < 0.01 and tested.block >= HORIZON
    assert headline(compared)[f"superiority_p/rank_ic_{HORIZON}"] == tested.p
    *_, last = less_table(compared, compared.first).rows
    found = [chance(compared.superiority[name].p) for name in ("rank_ic_1", f"rank_ic_{HORIZON}", "net_return")]
    assert last == ["SPA: none is better", "", found[0], "", found[1], "", found[2], ""]
    against_best = verdict(compare(tmp_path, ["run0", "run1", "later"], "later"))[2]
    assert against_best.startswith(f"None has a higher rank IC over {HORIZON} sessions than later, 0.0600; 2 of the 2")


def test_a_better_run_is_found(tmp_path):
    for n in range(6):
        finished(tmp_path, f"run{n}", strategy__topk=20 + n, draw=n)
    finished(tmp_path, "better", strategy__topk=40, draw=7, excess=0.002, rank_ic=0.05)
    compared = compare(tmp_path, [*(f"run{n}" for n in range(6)), "better"])
    returns, ranks, _, luck = verdict(compared)
    assert compared.best == "better" and compared.superiority["net_return"].strongest == "better"
    assert returns.startswith("Of 7 settings better has the highest excess, 48.0% a year over equal weight after cost")
    assert "it can be told from it (SPA test" in returns and "it can be told from it (SPA test" in ranks
    assert luck.startswith("better: deflated Sharpe ratio ") and "at least 7 trials" in luck
    held_against = verdict(compare(tmp_path, ["run0", "better"], "better"))[0]
    assert "none has a higher excess than better" in held_against
    assert held_against.endswith("; 1 of the 1 others can be told from it, each by itself.")
    finished(tmp_path, "worse", draw=8, excess=-0.00001)
    alike = verdict(compare(tmp_path, ["run0", "worse"], "run0"))[0]
    assert "none has a higher excess" in alike and alike.endswith("; no other can be told from it.")


def test_trials_of_the_ledger_count_and_those_compared_count_once(tmp_path):
    for n in range(2):
        finished(tmp_path, f"run{n}", strategy__topk=20 + n, draw=n)
    compared = compare(tmp_path, ["run0", "run1"])
    own = compared.against.runs[0].trial
    for run, evaluated, start in (("backtest/run0", own.evaluated, own.start), ("backtest/gone", "x", "2024-01-01")):
        append_trial(tmp_path, Trial(**vars(own) | {"run": run, "evaluated": evaluated, "start": start}))
    append_trial(tmp_path, Trial(**vars(own) | {"evaluated": "y", "universe": "csi500"}))
    append_trial(tmp_path, Trial(**vars(own) | {"evaluated": "z", "market": "another"}))
    assert compare(tmp_path, ["run0", "run1"], trials=read_trials(tmp_path)).luck["trials"] == 4  # run1 among them


def test_few_days_say_nothing(tmp_path):
    for n in range(2):
        finished(tmp_path, f"run{n}", strategy__topk=20 + n, draw=n, excess=0.01 * n, sessions=SESSIONS[:8])
    compared = compare(tmp_path, ["run0", "run1"])
    returns, *_, luck = verdict(compared)
    assert "(no interval) more than run0: it cannot be told from it (no p of an SPA test: 8 sessions hold" in returns
    assert luck.startswith("Whether the excess of run1 is luck cannot be said: 8 sessions")


def test_weights_that_take_turns_on_other_days_are_no_repeat(tmp_path):
    finished(tmp_path, "first", turns="2024-07-01, 2024-09-02")
    finished(tmp_path, "second", draw=1, turns="2024-07-01, 2024-10-08")
    compared = compare(tmp_path, ["first", "second"], against="second")
    assert set(rows_of(compared)) == {"first", "second"} and not any("repeats" in note for note in compared.notes)


def test_a_run_found_by_a_search_and_the_same_with_another_seed_share_a_row(tmp_path):
    searched = {
        "objective": "predictor/val_loss",
        "hparams_search": {"trial": 3},
        "callbacks": {"pruning": {"trial": 3}},
    }
    for name, seed, how in (("found", 1, searched), ("more", 2, {"from_run": None})):
        run = trained(tmp_path, name, name, seed=seed, **how)
        finished(tmp_path, name, draw=seed, weights=name, seed=seed, training_run=run)
    assert list(rows_of(compare(tmp_path, ["found", "more"]))) == ["found and 1 more seed"]
