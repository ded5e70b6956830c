"""Settings of a backtest that no class of their own looks at are refused by name."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from kronos_lab.backtesting.setting_checks import check_backtest_settings
from kronos_lab.errors import InputError

SOUND: dict[str, Any] = {
    "data": {"lookback": 90, "horizon": 10, "max_gap": 0, "clip": 5, "rescale": False},
    "forecast": {"paths": 1},
    "backtest_batch_size": 1,
    "backtest": {"account": 1e8},
    "universe": {"allow_partial": True},
}


def test_sound_settings_pass():
    check_backtest_settings(OmegaConf.create(SOUND))


@pytest.mark.parametrize(
    "wrong",
    [
        "data.lookback=1", "data.lookback=long", "data.horizon=0", "data.horizon=2.5", "data.max_gap=-1",
        "data.clip=0", "data.clip=.nan", "data.clip=null", "data.rescale=1",
        "backtest.account=0", "backtest.account=-5", "backtest.account=rich",
        "forecast.paths=0", "forecast.paths=many", "forecast.paths=null", "forecast.paths=true",
        "backtest_batch_size=0", "backtest_batch_size=1e3", "universe.allow_partial=perhaps",
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(wrong):
    cfg = OmegaConf.merge(OmegaConf.create(SOUND), OmegaConf.from_dotlist([wrong]))
    key = wrong.split("=")[0]
    with pytest.raises(InputError, match=rf"^{key}=.* must be "):
        check_backtest_settings(cfg)
