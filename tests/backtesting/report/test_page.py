"""The page people read, of the backtest of hand-made scores."""

import re

import pytest

PICTURES = ["coverage", "equity", "excess", "months", "order", "rank_ic", "styles", "trading"]


def test_participation_is_in_the_figures_and_in_the_table(backtest):
    from kronos_lab.backtesting.report.tables import trading_table

    trading = backtest.metrics["trading"]
    of_fills = sorted(backtest.ledger.trades["participation"])
    assert trading["mean_participation"] == pytest.approx(sum(of_fills) / len(of_fills))
    assert trading["largest_participation"] == of_fills[-1]
    above = sum(value > trading["participation_quantile_95"] for value in of_fills)
    assert above == pytest.approx(0.05 * len(of_fills), abs=1)
    (line,) = [value for name, value in trading_table(backtest.metrics) if name.startswith("Participation")]
    assert line.split(", ")[2] == f"{of_fills[-1]:.2%}"


def test_figures_of_older_runs_without_participation_make_a_table(backtest):
    from kronos_lab.backtesting.report.tables import trading_table

    trading = {key: value for key, value in backtest.metrics["trading"].items() if "participation" not in key}
    assert trading_table(backtest.metrics | {"trading": trading})[-1][1] == "–, –, –"


@pytest.fixture(scope="module")
def page(backtest, tmp_path_factory) -> str:
    from kronos_lab.backtesting.outcome import save_report

    folder = tmp_path_factory.mktemp("report")
    save_report(
        folder,
        backtest,
        title="csi300 <small>",
        lead="A test.",
        facts={"Signal": "horizon 5"},
        settings="universe: csi300",
        further_figures={},
    )
    pictures = sorted((folder / "figures").iterdir())
    assert [picture.stem for picture in pictures] == PICTURES
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)
    return (folder / "report.html").read_text()


def test_the_page_is_self_contained(page):
    outside_pictures = re.sub(r"data:image/svg\+xml;base64,[A-Za-z0-9+/=]+", "", page)
    assert page.count("data:image/svg+xml;base64,") == len(PICTURES)
    assert not re.search(r"https?://|<script|<link", outside_pictures)


def test_the_page_begins_with_warnings_then_the_headline(page):
    order = [page.index(text) for text in ("inside pretraining", "Rank IC, 1-session label", "<h2>Returns")]
    assert order == sorted(order)


def test_the_headline_says_how_sure_and_of_how_many_on_a_phone_too(page):
    headline = page[page.index('class="headline"') : page.index("<h2>Returns")]
    assert "Members scored" in headline and "of those not suspended" in headline
    on_a_phone = re.search(r"@media \(max-width: 40rem\) \{(.*?)\n  \}", page, re.DOTALL)
    assert on_a_phone and "none" not in on_a_phone[1]  # nothing is hidden: intervals stand below their figures


def test_the_page_states_its_conventions_and_escapes_what_it_is_given(page):
    assert "price index (dividends excluded)" in page
    assert "sessions per year (the market&#39;s own calendar)" in page
    assert "csi300 &lt;small&gt;" in page
    assert "<dt>Signal</dt><dd>horizon 5</dd>" in page
    assert "nan" not in re.sub(r"data:image[^\"]+", "", page)


def test_the_page_says_how_much_may_be_luck(backtest):
    from kronos_lab.backtesting.report.luck_part import luck_part
    from kronos_lab.backtesting.report.tables import baselines_table

    trials = {"trials": 3, "probability": 0.6, "sharpe_ratio": 0.05, "sessions": 100, "skew": 0.1, "kurtosis": 3.0}
    trials["reason"] = ""
    metrics = backtest.metrics | {"trials": trials | {"expected_maximum": 0.0456}}
    table, part = baselines_table(metrics), luck_part(metrics)
    (row,) = part.rows
    assert len(row) == len(table.rows[0]) and row[0] == "30 random portfolios, median"
    excess = metrics["random_portfolios"]["excess"]["equal_weight"]["annual_return"]
    assert row[-1] == f"ours: percentile {excess['percentile']:.0f}"
    of_random, tested, counted = part.lines
    assert "over the price index" in of_random and "Their turnover is that of ours" in of_random
    assert tested.startswith("SPA test against equal weight and 5 rules: ours less the strongest, ")
    assert tested.endswith("blocks of 5 sessions.")
    assert counted == (
        "Deflated Sharpe ratio 0.60, at least 3 trials: Sharpe ratio 0.050 a session over 100 sessions, skewness 0.10, "
        "kurtosis 3.00; the best of so many without skill: 0.046."
    )
    alone = luck_part(metrics | {"trials": metrics["trials"] | {"trials": 1}}).lines[-1]
    assert alone.startswith("Probabilistic Sharpe ratio 0.60, at least 1 trial: ") and "without skill" not in alone
    unknown = luck_part(metrics | {"trials": metrics["trials"] | {"reason": "9 sessions are few"}}).lines[-1]
    assert unknown == "Deflated Sharpe ratio: none, 9 sessions are few."
    few = luck_part(metrics | {"superiority": metrics["superiority"] | {"reason": "9 sessions are few"}}).lines[1]
    assert few == "SPA test against equal weight and 5 rules: no p, 9 sessions are few."
    without = {key: value for key, value in backtest.metrics.items() if key != "random_portfolios"}
    assert luck_part(without | {"superiority": None}) == ([], [])


def test_the_page_has_luck_beside_the_rules(page):
    assert page.index("Low volatility") < page.index("30 random portfolios, median") < page.index("SPA test against")


def test_without_excess_before_cost_there_is_no_break_even():
    from kronos_lab.backtesting.report.tables import break_even

    assert break_even({"break_even_cost_per_value": -0.001}).startswith("none")
    assert break_even({"break_even_cost_per_value": 0.00123}) == "0.123%"
    assert break_even({"break_even_cost_per_value": None}) == "–"
