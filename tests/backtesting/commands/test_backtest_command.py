"""`python backtest.py` as people type it: what a run leaves in its folder, on the screen and at the tracker."""

import html
import json

import pandas as pd
from backtest_commands import COMMANDS, PREDICTOR, finished, messages_of, metrics_of, summary_of


def test_a_run_leaves_everything_in_its_folder(runs, small_market):
    folder = finished(runs, "csi300")
    names = {path.name for path in folder.iterdir()}
    assert {"forecasts", "signals.parquet", "portfolio.parquet", "metrics.json", "report.html", "figures"} <= names
    signals = pd.read_parquet(folder / "signals.parquet")
    assert signals["date"].max() == small_market.newest_day("csi300")
    portfolio = pd.read_parquet(folder / "portfolio.parquet")
    assert portfolio["date"].iloc[0] == pd.Timestamp("2024-12-03")  # the day after the first signal
    assert portfolio["date"].iloc[-1] == small_market.calendar[-1]
    summary = summary_of(folder)
    assert summary["kind"] == "backtest"
    assert summary["market"]["fingerprint"] == small_market.fingerprint
    assert set(summary["weights"]) == {"predictor", "tokenizer"}
    assert summary["weights"]["predictor"] in (folder / "report.html").read_text()
    assert "Single forecasts" in (folder / "report.html").read_text() and (folder / "figures" / "fans.png").is_file()
    assert summary["config"]["data"]["lookback"] == 30
    assert list(summary["seconds"]) == [
        "load", "predict", "predict for calibration", "signals", "simulation", "statistics", "report"
    ]  # fmt: skip
    assert 0 < sum(summary["seconds"].values()) <= summary["duration_seconds"] + 0.1
    manifest = json.loads((folder / "forecasts" / "manifest.json").read_text())
    assert manifest["finished"]
    assert manifest["weights"] == summary["weights"]


def test_another_cost_costs_no_forecasts(runs):
    folder, first = finished(runs, "cheaper"), finished(runs, "csi300")
    assert f"batches were made by {first}\n" in runs["cheaper"]["out"]
    assert pd.read_parquet(folder / "signals.parquet").equals(pd.read_parquet(first / "signals.parquet"))
    costs = [pd.read_parquet(run / "portfolio.parquet")["cost"].sum() for run in (folder, first)]
    assert costs[0] < costs[1]


def test_each_evaluation_is_a_trial_and_those_of_the_same_days_count(runs):
    """In the order they ran: the same days at another cost, another universe, other weights, summer, turns."""
    lines = [json.loads(line) for line in (runs["folder"] / "trials.jsonl").read_text().splitlines()]
    assert [line["run"] for line in lines] == [f"backtest/{name}" for name in COMMANDS]  # none of what was refused
    counted = {}
    for name, line in zip(COMMANDS, lines, strict=True):
        trials = metrics_of(finished(runs, name))["trials"]
        counted[name] = trials["trials"]
        assert line["sharpe"] == trials["sharpe_ratio"]
    assert counted == {"csi300": 1, "cheaper": 2, "all": 1, "finetuned": 3, "ensemble": 4, "before": 1, "turns": 5}
    said = {name: " ".join(runs[name]["out"].split()) for name in COMMANDS}  # lines are broken at 120 letters
    assert "Probabilistic Sharpe ratio" in said["csi300"] and "one of at least 2 trials" in said["cheaper"]
    assert "Deflated Sharpe ratio" in (finished(runs, "cheaper") / "report.html").read_text()
    headline = summary_of(finished(runs, "cheaper"))["headline"]
    assert headline["trials"] == 2 and 0 <= headline["annual_return_percentile"] <= 100


def test_every_figure_of_a_run_may_be_an_objective(runs):
    """What `objective` is held against before a sweep begins is what its jobs will have."""
    from omegaconf import OmegaConf

    from kronos_lab.runs.folder import project_root
    from kronos_lab.runs.objective import check_objective, is_one_of, read_figures

    families = list(OmegaConf.load(project_root() / "conf/hydra/callbacks/sweep_of_backtests.yaml").sweep.figures)
    figures = {name for run in ("csi300", "finetuned") for name in read_figures(finished(runs, run))}
    for figure in figures:
        check_objective(figure, families)
    of_none = {family for family in families if not any(is_one_of(figure, family) for figure in figures)}
    assert of_none == {"lightgbm.<keys>"}  # of backtest.lightgbm=true


def test_figures_that_only_some_backtests_have_are_known_by_name(runs):
    """Run "all" has no index, calibration and random portfolios, and no backtest here has LightGBM."""
    from kronos_lab.backtesting import optional_figures
    from kronos_lab.runs.objective import is_one_of, read_figures

    everything, least, no_rules = (read_figures(finished(runs, run)) for run in ("csi300", "all", "finetuned"))

    def of(figures, optional):
        return {family for family in optional.families if any(is_one_of(figure, family) for figure in figures)}

    for optional in (optional_figures.INDEX, optional_figures.RANDOM_PORTFOLIOS, optional_figures.CALIBRATION):
        assert of(everything, optional) == set(optional.families)
        assert not of(least, optional)
    assert of(least, optional_figures.RIVALS) == set(optional_figures.RIVALS.families)
    assert not of(no_rules, optional_figures.RIVALS)
    for name in everything:  # labels: one session, or the horizon of 4
        optional_figures.check_has_figure(name, 4, {})


def test_random_portfolios_are_a_hundred_or_none(runs):
    assert pd.read_parquet(finished(runs, "csi300") / "random_portfolios.parquet").shape[1] == 1 + 100
    assert "of 100 random portfolios of the same turnover" in " ".join(runs["csi300"]["out"].split())
    assert not (finished(runs, "all") / "random_portfolios.parquet").exists()
    assert "random portfolios" not in runs["all"]["out"]


def test_the_screen_says_what_was_used_and_what_came_out(runs):
    out = runs["csi300"]["out"]
    assert f"checkpoint  {PREDICTOR}" in out
    assert "Rank IC, 1-session label" in out
    assert "categorical units" not in out  # matplotlib, of names that look like numbers
    assert str(finished(runs, "csi300") / "report.html") in out
    assert runs["csi300"]["err"] == ""


def test_the_comet_archive_holds_the_figures_and_the_report(runs):
    messages = messages_of(finished(runs, "csi300"))
    metrics = metrics_of(finished(runs, "csi300"))
    assert "backtest/rank_ic_1d" in messages
    assert str(metrics["excess"]["index"]["with_cost"]["annual_return"])[:12] in messages
    shards = [f"{made}/rank-000-shard-00000.parquet" for made in ("forecasts", "calibration/model")]
    for file in ("report.html", "metrics.json", "equity", "signals.parquet", *shards):
        assert file in messages
    summary = summary_of(finished(runs, "csi300"))
    assert (finished(runs, "csi300") / "comet" / summary["comet"]["archive"]).is_file()
    for fact in (summary["git"]["revision"], summary["market"]["fingerprint"], summary["weights"]["predictor"]):
        assert f'"value":"{fact}"' in messages


def test_all_is_compared_with_equal_weight_alone(runs):
    metrics = metrics_of(finished(runs, "all"))
    assert list(metrics["excess"]) == ["equal_weight"]
    assert "excess over the price index" not in (finished(runs, "all") / "report.html").read_text()
    assert "excess over the price index" in (finished(runs, "csi300") / "report.html").read_text()
    assert "rank_ic_1d" in next((finished(runs, "all") / "csv").rglob("metrics.csv")).read_text()


def test_a_test_inside_pretraining_says_so_at_the_top(runs):
    page = (finished(runs, "before") / "report.html").read_text()
    assert page.index("inside pretraining") < page.index("Rank IC")
    assert "inside pretraining" in runs["before"]["out"]
    assert "inside pretraining" not in runs["csi300"]["out"]
    days = pd.read_parquet(finished(runs, "before") / "signals.parquet")["date"]
    assert (days.min(), days.max()) == (pd.Timestamp("2024-06-20"), pd.Timestamp("2024-06-25"))


def test_scores_are_traded_as_they_were_treated(runs):
    signals = pd.read_parquet(finished(runs, "all") / "signals.parquet")
    days = signals.groupby("date")["score"]
    assert (days.min() == -0.5).all() and (days.max() == 0.5).all()
    summary = summary_of(finished(runs, "all"))
    assert summary["config"]["signal"]["which"] == "mean"
    assert "neutralise ('beta', 'liquidity')" in html.unescape((finished(runs, "all") / "report.html").read_text())
