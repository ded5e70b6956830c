"""The market of a run, and the days that the run's split means there."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from kronos_lab.runs.folder import save_config
from kronos_lab.runs.ranks import rank

if TYPE_CHECKING:
    from kronos_lab.data.market import Market

log = logging.getLogger(__name__)


def open_market(cfg: DictConfig, folder: Path) -> "Market":
    """The market of `cfg`. A split by shares of its days is replaced by those days, in `cfg` and in the run folder.

    So the configuration of a run always says which days it was trained and validated on, `${split.test_start}` is a
    day, and a run that is resumed has the days it began with.

    Raises:
        InputError: the market cannot be opened, the shares make no sense, or there are too few days for them.
    """
    from hydra.utils import get_class, instantiate

    from kronos_lab.data.split import DateSplit, RatioSplit

    by_shares = issubclass(get_class(cfg.split._target_), RatioSplit)
    split = instantiate(cfg.split) if by_shares else None  # what can be refused is refused before files are imported
    market: Market = instantiate(cfg.market)
    if split is None:
        return market
    days: DateSplit = split.days_of(market.calendar)
    target = f"{DateSplit.__module__}.{DateSplit.__qualname__}"
    OmegaConf.update(cfg, "split", {"_target_": target, **asdict(days)}, merge=False)
    if rank() == 0:
        save_config(folder, cfg)
    first, last = (f"{market.calendar[n]:%Y-%m-%d}" for n in (0, -1))
    log.info(
        "split       training %s to %s, validation %s to %s, test %s to %s",
        *(first, days.train_end, days.val_start, days.val_end, days.test_start, last),
    )
    return market
