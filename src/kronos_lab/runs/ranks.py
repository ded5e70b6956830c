"""Several processes of one run, as Lightning starts them from a Hydra job: the same command once more per rank."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kronos_lab.errors import InputError
from kronos_lab.runs.trainer_settings import blame, check_trainer_settings

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


def rank() -> int:
    """Number of this process among those of the run; 0 is the one that writes and talks."""
    from lightning.pytorch.utilities import rank_zero_only

    return int(getattr(rank_zero_only, "rank", 0) or 0)


def prepare_ranks() -> None:
    """Let further processes of this job start as they should, say only warnings, and end with what started them."""
    if rank() == 0:
        _repeat_job_in_child_ranks()
        return
    logging.getLogger().setLevel(logging.WARNING)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all ranks: rank 0 answers for them
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when its parent has ended: a rank left alone would wait for the others, holding its GPU."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _repeat_job_in_child_ranks() -> None:
    """Rewrite `sys.argv`, which Lightning repeats for each further rank, so that it means exactly this job.

    Lightning appends the run folder to the arguments as typed. That fails where an option follows an override
    (`train.py seed=1 --config-dir x`), so the options go first, and the overrides as Hydra understood them last.
    """
    from hydra.core.hydra_config import HydraConfig

    job = HydraConfig.get()
    sources = {source.provider: source.path for source in job.runtime.config_sources if source.schema == "file"}
    options = ["--config-path", sources["main"], "--config-name", str(job.job.config_name)]
    if "command-line" in sources:
        options += ["--config-dir", sources["command-line"]]
    sys.argv[1:] = [*options, *job.overrides.hydra, *job.overrides.task]


def check_ranks(trainer: "Trainer") -> None:
    """Refuse several processes inside a sweep: each would begin the whole sweep again.

    Raises:
        InputError: `-m` and more than one device.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if trainer.world_size > 1 and HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise InputError("a sweep (-m) trains on one device per job: leave out trainer.devices and trainer.num_nodes")


def build_trainer(make_trainer: Callable[..., "Trainer"], **arguments: Any) -> "Trainer":
    """Lightning's Trainer; what is wrong with `trainer.*` becomes an `InputError`."""
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    settings = getattr(make_trainer, "keywords", {})
    check_trainer_settings(settings)
    try:
        return make_trainer(**arguments)
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise InputError(blame(settings, str(error))) from error
