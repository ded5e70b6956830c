"""Backtests that cannot be, or can no longer be read."""

import pytest
from backtest_commands import REFUSED, finished

from kronos_lab.errors import InputError
from many_commands import assert_refused


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_one_line_before_any_forecast(runs, name):
    assert_refused(runs[name], REFUSED[name][1])
    assert not (runs["folder"] / "backtest" / name / "forecasts").exists()


def test_a_backtest_of_code_that_has_moved_is_refused(runs, tmp_path):
    from kronos_lab.backtesting.finished_backtest import load_rule

    folder = finished(runs, "csi300")
    assert load_rule(folder).strategy.topk == 5
    config = (folder / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(config.replace("trading.strategies.TopkDropout", "portfolio.TopkDropout"))
    with pytest.raises(
        InputError, match=r"which had kronos_lab\.backtesting\.portfolio\.TopkDropout: run the backtest"
    ):
        load_rule(tmp_path)
