"""The guards on a whole market: a year of CSI 300 of the built-in one, traded as `backtest.py` does."""

from pathlib import Path

import pytest


@pytest.mark.slow
def test_what_foretells_is_seen_and_what_does_not_earns_nothing(tmp_path: Path) -> None:
    from hydra import compose, initialize_config_dir
    from hydra.utils import instantiate

    from kronos_lab.backtesting.baselines import against_baselines, trade_each
    from kronos_lab.backtesting.performance import sessions_per_year
    from kronos_lab.backtesting.placebos import LATER, TOMORROW, excess_before_cost, findings, placebo_scores
    from kronos_lab.backtesting.results import benchmarks
    from kronos_lab.data.demo_effect import oracle_table
    from kronos_lab.data.demo_market import demo_market
    from kronos_lab.runs.folder import register_resolvers

    register_resolvers()
    with initialize_config_dir(str(Path(__file__).parents[2] / "conf"), version_base="1.3"):
        cfg = compose("backtest")
    market = demo_market(tmp_path / "demo", "on", cache=tmp_path / "cache")
    symbols = market.symbols("csi300")
    score_LN = oracle_table(market.bars()).reindex(market.calendar, columns=symbols)
    score_LN = score_LN.where(market.member_LN("csi300", symbols)).loc["2024-07-01":"2025-06-30"]

    scores = placebo_scores(market, score_LN, shuffles=3, seed=1)
    traded = trade_each(market, scores, instantiate(cfg.strategy), instantiate(cfg.exchange), cfg.backtest.account)
    equal = benchmarks(market, "csi300", None)["equal_weight"].returns
    per_year = sessions_per_year(market.calendar)
    table = against_baselines(market, traded, equal, 10, per_year, cfg.seed)
    before_cost_LK = excess_before_cost(traded, equal)

    said = findings(table, before_cost_LK, per_year)
    assert "the machinery sees what is there" in said[0] and table[TOMORROW]["excess"]["annual_return"] > 1
    assert "worth nothing, as it should be" in said[1]
    shuffled = ["shuffled 1", "shuffled 2", "shuffled 3"]
    assert all(abs(table[name]["rank_ic"]["1"]["mean"]) < 0.01 for name in shuffled)
    assert (
        before_cost_LK[shuffled].mean().abs() * per_year < 0.1
    ).all()  # 50 names by lot: about 5 % a year either way
    assert abs(before_cost_LK[shuffled].mean(axis=1).mean()) * per_year < 0.05
    # The effect lasts for ten sessions: it is there, and a day's delay leaves most of it.
    ours, later = (table[name]["rank_ic"]["10"]["mean"] for name in ("this signal", LATER))
    assert ours > 0.04 and 0.6 * ours < later < ours
