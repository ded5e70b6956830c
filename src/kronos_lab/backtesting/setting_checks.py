"""Settings of a backtest that no class of their own looks at."""

from omegaconf import DictConfig, OmegaConf

from kronos_lab.data.settings import positive_number, switch, whole_number

LEAST = {"data.lookback": 2, "data.horizon": 1, "data.max_gap": 0, "forecast.paths": 1, "backtest_batch_size": 1}
POSITIVE = ("data.clip", "backtest.account")
SWITCHES = ("data.rescale", "universe.allow_partial")


def check_backtest_settings(cfg: DictConfig) -> None:
    """Refuse what would fail, or mean something else than it says, when the forecasts have been made.

    Args:
        cfg: as `conf/backtest.yaml` composes it, with `data` filled in.

    Raises:
        InputError: naming the first of them.
    """
    for key, least in LEAST.items():
        whole_number(key, OmegaConf.select(cfg, key), least)
    for key in POSITIVE:
        positive_number(key, OmegaConf.select(cfg, key))
    for key in SWITCHES:
        switch(key, OmegaConf.select(cfg, key))
