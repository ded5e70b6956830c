"""Several processes of one run, as Lightning starts them from a Hydra job: the same command once more per rank."""

import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kronos_lab.errors import InputError
from kronos_lab.runs.lost_ranks import end_with_parent, watch_children
from kronos_lab.runs.shared_folder import RUN_DIR_VARIABLE, environment_rank
from kronos_lab.runs.trainer_settings import blame, check_trainer_settings

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


# Hydra's own settings that are about a sweep, not about one of its jobs.
OF_SWEEPS = ("hydra.mode", "hydra.sweep", "hydra/sweeper", "hydra.launcher", "hydra/launcher")


def rank() -> int:
    """Number of this process among those of the run; 0 is the one that writes and talks."""
    from lightning.pytorch.utilities import rank_zero_only

    return int(getattr(rank_zero_only, "rank", 0) or 0)


def prepare_ranks() -> None:
    """Let further processes of this job start as they should, say only warnings, and end with what started them."""
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    rank_zero_only.rank = environment_rank()  # type: ignore[attr-defined]  # Lightning knows it only later on a node started by hand
    if "LOCAL_RANK" not in os.environ:
        _repeat_job_in_child_ranks()
    if rank() == 0:
        return
    logging.getLogger().setLevel(logging.WARNING)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all ranks: rank 0 answers for them
    end_with_parent(rank())


def _repeat_job_in_child_ranks() -> None:
    """Rewrite `sys.argv`, which Lightning repeats for each further rank, so that it means exactly this job."""
    sys.argv[1:] = job_arguments()


def job_arguments() -> list[str]:
    """Arguments that mean exactly the Hydra job that is running, as one that is no sweep.

    Whoever repeats it appends to them. That fails after arguments as they were typed where an option follows an
    override (`train.py seed=1 --config-dir x`), so the options go first, and the overrides as Hydra understood them
    last.
    """
    from hydra.core.hydra_config import HydraConfig

    job = HydraConfig.get()
    sources = {source.provider: source.path for source in job.runtime.config_sources if source.schema == "file"}
    options = ["--config-path", sources["main"], "--config-name", str(job.job.config_name)]
    if "command-line" in sources:
        options += ["--config-dir", sources["command-line"]]
    own = [override for override in job.overrides.hydra if not override.lstrip("+~").startswith(OF_SWEEPS)]
    return [*options, *own, "hydra.mode=RUN", *job.overrides.task]


def check_ranks(trainer: "Trainer") -> None:
    """Refuse processes that would not find each other, or would each begin something of their own.

    Raises:
        InputError: another number of processes than were started from outside; several nodes and nobody who started
            them all.
    """
    from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

    environment = trainer._accelerator_connector.cluster_environment
    if isinstance(environment, SLURMEnvironment | TorchElasticEnvironment):
        launcher = "srun" if isinstance(environment, SLURMEnvironment) else "torchrun"
        if environment.world_size() != trainer.world_size:
            raise InputError(
                f"trainer.devices × trainer.num_nodes is {trainer.world_size}, but {launcher} has started "
                f"{environment.world_size()} processes: make them equal"
            )
    elif trainer.num_nodes > 1 and not {"MASTER_ADDR", "MASTER_PORT", "NODE_RANK"} <= os.environ.keys():
        raise InputError(
            f"trainer.num_nodes={trainer.num_nodes}: start it with torchrun or srun, or on every node with "
            f"MASTER_ADDR, MASTER_PORT, NODE_RANK and {RUN_DIR_VARIABLE} in the environment"
        )


def build_trainer(make_trainer: Callable[..., "Trainer"], **arguments: Any) -> "Trainer":
    """Lightning's Trainer; what is wrong with `trainer.*` becomes an `InputError`."""
    from lightning.fabric.plugins.environments import SLURMEnvironment
    from lightning.fabric.utilities.exceptions import MisconfigurationException
    from lightning.pytorch.strategies.launchers import subprocess_script

    from kronos_lab.runs.termination import EndOnSigterm

    settings = getattr(make_trainer, "keywords", {})
    check_trainer_settings(settings)
    # Lightning's watch looks every five seconds and ends everything, this process included, without a word.
    subprocess_script._launch_process_observer = watch_children  # type: ignore[assignment]
    arguments["callbacks"] = [EndOnSigterm(), *arguments.get("callbacks", [])]
    try:
        if SLURMEnvironment.detect():
            # Its own requeueing saves at any moment, even within a step, and resumes either stage from what it saved.
            arguments["plugins"] = [*arguments.get("plugins", []), SLURMEnvironment(auto_requeue=False)]
        return make_trainer(**arguments)
    except (TypeError, ValueError, RuntimeError, ImportError, MisconfigurationException) as error:
        raise InputError(blame(settings, str(error))) from error
