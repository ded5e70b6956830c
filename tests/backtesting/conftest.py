"""A backtest of hand-made scores on the small market, which several files look at."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

UNIVERSE, INDEX, HORIZON = "csi300", "SH000300", 5


@pytest.fixture(scope="session")
def backtest(small_market) -> Any:
    """100 days of scores that know a little about the next five days."""
    from kronos_lab.backtesting.baselines import OURS, baseline_scores, trade_each
    from kronos_lab.backtesting.forecasts.coverage import daily_coverage
    from kronos_lab.backtesting.results import benchmarks, evaluate
    from kronos_lab.backtesting.trading.exchange import ExchangeSettings
    from kronos_lab.backtesting.trading.random_portfolios import random_portfolios
    from kronos_lab.backtesting.trading.strategies import TopkDropout
    from kronos_lab.data.windows import WindowIndex
    from kronos_lab.evaluation.ranking import open_to_open_return

    symbols = small_market.symbols(UNIVERSE)
    member = pd.DataFrame(small_market.member_LN(UNIVERSE, symbols), small_market.calendar, symbols)
    price = small_market.wide(["open", "close"], symbols)
    random = np.random.default_rng(0)
    label = open_to_open_return(price["open"], HORIZON)
    noise = random.normal(0, 0.1, label.shape)
    score = (label.fillna(0) + noise).where(member & price["close"].notna()).iloc[-120:-20]
    strategy = TopkDropout(
        topk=5, n_drop=1, hold_thresh=2, risk_degree=0.95, only_tradable=False, forbid_all_trade_at_limit=False
    )
    exchange = ExchangeSettings(
        deal_price="open",
        limit_threshold=("$open >= $limit_up", "$open <= $limit_down"),
        open_cost=0.001,
        close_cost=0.0015,
        min_cost=5.0,
        stamp_duty=None,
        trade_unit=100,
    )
    traded = trade_each(small_market, {OURS: score, **baseline_scores(small_market, score)}, strategy, exchange, 1e7)
    windows = WindowIndex(small_market.bars(UNIVERSE), small_market.spans(UNIVERSE), 20, 0)
    rows = windows.signal_rows(np.arange(len(windows)))
    coverage = daily_coverage(windows.bars, rows, symbols, member.to_numpy()).loc[score.index]
    against = benchmarks(small_market, UNIVERSE, INDEX)
    random = random_portfolios(small_market, score, traded[OURS].ledger, exchange, 1e7, 30, 1)
    return evaluate(small_market, traded, against, coverage, HORIZON, ["inside pretraining: mind this"], 1, random)
