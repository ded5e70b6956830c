"""qlib's strategy and its executor with an account, as whoever simulates trading needs them."""

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from kronos_lab.backtesting.trading.strategies import Strategy

if TYPE_CHECKING:
    from qlib.backtest.exchange import Exchange
    from qlib.backtest.executor import BaseExecutor
    from qlib.strategy.base import BaseStrategy

Fill = tuple[Any, float, float, float]  # of qlib: order, value, cost, price
SMALLEST_VALUE = 1e-5  # of a fill, in currency: qlib books nothing smaller


def strategy_and_executor(
    score_LN: pd.DataFrame,
    strategy: Strategy,
    exchange: "Exchange",
    account: float | Mapping[str, Any],
    sessions: pd.DatetimeIndex,
    metrics: bool = True,
) -> tuple["BaseStrategy", "BaseExecutor"]:
    """A strategy that trades the scores and an executor that fills its orders, on one account.

    Args:
        score_LN: scores, rows are signal days; NaN is no opinion.
        strategy: what to hold.
        exchange: qlib's, with its quotes.
        account: cash to begin with, in currency; or `cash` and what is held, by symbol, as qlib's `Position` takes it.
        sessions: what is traded.
        metrics: whether qlib keeps a record of each session, as fractions of the cash at the beginning.
    """
    from qlib.backtest import get_strategy_executor
    from qlib.backtest.executor import SimulatorExecutor

    score = score_LN.stack().dropna().rename_axis(["datetime", "instrument"])
    return get_strategy_executor(
        start_time=sessions[0],
        end_time=sessions[-1],
        strategy=strategy.qlib_strategy(cast("pd.Series", score)),
        executor=SimulatorExecutor(time_per_step="day", generate_portfolio_metrics=metrics),
        benchmark=pd.Series(0.0, index=sessions),  # ours come later; None would silently mean SH000300
        account=dict(account) if isinstance(account, Mapping) else account,
        exchange_kwargs={"exchange": exchange},
        pos_type="kronos_lab.backtesting.trading.position.SortedPosition",
    )


@contextlib.contextmanager
def quiet_qlib() -> Iterator[None]:
    """Without the notice gym prints when qlib imports it, and numpy's about sessions without an order."""
    with contextlib.redirect_stderr(io.StringIO()):
        import qlib.contrib.strategy  # noqa: F401  (the first import of it is the loud one)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        yield
