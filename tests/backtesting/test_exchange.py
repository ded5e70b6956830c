"""Exchange settings: what is refused, and what qlib is told."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from kronos_lab.backtesting.exchange import ExchangeSettings
from kronos_lab.errors import InputError

A_SHARE: dict[str, Any] = {
    "deal_price": "open",
    "limit_threshold": ["$open >= $limit_up", "$open <= $limit_down"],
    "open_cost": 0.001,
    "close_cost": 0.0015,
    "min_cost": 5.0,
    "trade_unit": 100,
}


@pytest.mark.parametrize("kind", [list, tuple, OmegaConf.create])
def test_limits_are_tested_at_the_price_one_trades_at(kind):
    settings = ExchangeSettings(**A_SHARE | {"limit_threshold": kind(A_SHARE["limit_threshold"])})
    assert settings.qlib_arguments()["limit_threshold"] == ("$open >= $limit_up", "$open <= $limit_down")
    assert settings.fields() == {"open", "limit_up", "limit_down"}


def test_no_limits_never_become_the_limit_of_the_region():
    assert ExchangeSettings(**A_SHARE | {"limit_threshold": None}).qlib_arguments()["limit_threshold"] is not None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("deal_price", None),
        ("open_cost", 0.1e2), ("open_cost", "cheap"), ("close_cost", -0.1), ("close_cost", float("nan")),
        ("min_cost", -5), ("min_cost", None), ("trade_unit", 0), ("trade_unit", 0.5), ("trade_unit", "lot"),
        ("limit_threshold", ["$a"]), ("limit_threshold", [0.1, 0.1]), ("limit_threshold", "$a"),
        ("limit_threshold", -0.1),
    ],
)  # fmt: skip
def test_impossible_values_are_refused_by_name(key, value):
    with pytest.raises(InputError, match=rf"^exchange\.{key}"):
        ExchangeSettings(**A_SHARE | {key: value})


def test_unknown_options_are_refused():
    with pytest.raises(TypeError, match="delay_execution"):
        ExchangeSettings(**A_SHARE, delay_execution=True)
