"""Exchange settings: what is refused, and what qlib is told."""

import pytest
from hand_market import EXCHANGE as A_SHARE
from hand_market import as_configured
from omegaconf import OmegaConf

from kronos_lab.backtesting.trading.exchange import ExchangeSettings
from kronos_lab.errors import InputError


@pytest.mark.parametrize("kind", [list, tuple, OmegaConf.create])
def test_limits_are_tested_at_the_price_one_trades_at(kind):
    settings = ExchangeSettings(**A_SHARE | {"limit_threshold": kind(A_SHARE["limit_threshold"])})
    assert settings.qlib_arguments()["limit_threshold"] == ("$open >= $limit_up", "$open <= $limit_down")
    assert settings.fields() == {"open", "limit_up", "limit_down"}


def test_a_number_is_tested_against_the_change_which_the_store_must_have():
    assert ExchangeSettings(**A_SHARE | {"limit_threshold": 0.095}).fields() == {"open", "change"}
    assert ExchangeSettings(**A_SHARE | {"limit_threshold": None}).fields() == {"open"}


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
        ("stamp_duty", 0.001), ("stamp_duty", {}), ("stamp_duty", [0.001]), ("stamp_duty", {"August": 0.001}),
        ("stamp_duty", {2023: 0.001}), ("stamp_duty", {"2023-08-28": "half"}), ("stamp_duty", {"2023-08-28": None}),
        ("stamp_duty", {"2023-08-28": 0.001, "20230828": 0.0005}), ("stamp_duty", {"2023-08-28": -0.001}),
    ],
)  # fmt: skip
def test_impossible_values_are_refused_by_name(key, value):
    with pytest.raises(InputError, match=rf"^exchange\.{key}"):
        ExchangeSettings(**A_SHARE | {key: value})


def test_the_stamp_duty_is_kept_by_date_in_order():
    settings = ExchangeSettings(**A_SHARE | {"stamp_duty": OmegaConf.create({"20230828": 0.0005, "2008-09-19": 0.001})})
    assert list((settings.stamp_duty or {}).items()) == [("2008-09-19", 0.001), ("2023-08-28", 0.0005)]


def test_lots_are_by_board_and_the_originals_are_not():
    assert as_configured()["trade_unit"] == "by_board"
    assert as_configured("exchange=original")["trade_unit"] == 100


def test_unknown_options_are_refused():
    with pytest.raises(TypeError, match="delay_execution"):
        ExchangeSettings(**A_SHARE, delay_execution=True)
