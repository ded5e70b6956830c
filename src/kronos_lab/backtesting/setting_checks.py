"""Numbers and switches of the configuration, refused by name before they cost an hour of forecasts."""

import math
from collections.abc import Callable
from numbers import Integral, Real

from omegaconf import DictConfig, OmegaConf

from kronos_lab.errors import InputError

LEAST_WHOLE_NUMBERS = {
    "data.lookback": 2,
    "data.horizon": 1,
    "data.max_gap": 0,
    "forecast.paths": 1,
    "backtest_batch_size": 1,
}


def check_backtest_settings(cfg: DictConfig) -> None:
    """Refuse settings of `conf/backtest.yaml` that no class of their own looks at.

    Raises:
        InputError: naming the first of them.
    """
    for key, least in LEAST_WHOLE_NUMBERS.items():
        check_whole_number(key, OmegaConf.select(cfg, key), least)
    check_number("data.clip", cfg.data.clip, lambda clip: clip > 0, "is not above 0")
    for key in ("data.rescale", "universe.allow_partial"):
        check_switch(key, OmegaConf.select(cfg, key))


def check_whole_number(key: str, value: object, least: int) -> None:
    """Refuse, as `InputError`, what is not a whole number from `least` on."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise InputError(f"{key}={_as_typed(value)} is not a whole number from {least} on")


def check_number(key: str, value: object, sound: Callable[[float], bool], complaint: str) -> None:
    """Refuse, as `InputError` with this complaint, what is not a finite number or not `sound`."""
    number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not sound(value):  # type: ignore[arg-type]
        raise InputError(f"{key}={_as_typed(value)} {complaint}")


def check_switch(key: str, value: object) -> None:
    """Refuse, as `InputError`, what is neither true nor false: any text would count as true."""
    if not isinstance(value, bool):
        raise InputError(f"{key}={_as_typed(value)} is neither true nor false")


def _as_typed(value: object) -> object:
    return "null" if value is None else value
