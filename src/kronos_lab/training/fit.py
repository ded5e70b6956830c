"""Train one stage: Lightning's Trainer with the checkpoints, loggers and precision of this project."""

import functools
import logging
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from kronos_lab.data.datamodule import KLineDataModule
from kronos_lab.data.settings import whole_number
from kronos_lab.errors import InputError
from kronos_lab.runs.folder import resume_command
from kronos_lab.runs.lost_ranks import advise, explain_lost_connection
from kronos_lab.runs.ranks import build_trainer, check_ranks
from kronos_lab.runs.tracking import log_facts
from kronos_lab.training.attempts import Attempts
from kronos_lab.training.checkpointing import (
    AtomicCheckpointIO,
    BestCheckpoint,
    best_checkpoint,
)
from kronos_lab.training.compiling import compiled_blocks
from kronos_lab.training.export import export_model
from kronos_lab.training.interruption import StopBetweenSteps
from kronos_lab.training.last_checkpoint import LastCheckpoint, checkpoint_to_resume
from kronos_lab.training.limits import StepLimit, TimeLimit
from kronos_lab.training.monitor import choose_monitor
from kronos_lab.training.pruning import PruneTrial, TrialPruned
from kronos_lab.training.stage_module import StageModule

log = logging.getLogger(__name__)

# Lightning's advice that does not apply here, by the beginning of its text.
NOT_SO_HERE = (
    r".*does not have many workers",  # gathering a batch costs less than handing it to another process
    r"Found \d+ module\(s\) in eval mode",  # the frozen tokenizer
    r".*your dataloader is not resumable",  # its sampler is
    r"Checkpoint directory .* exists and is not empty",  # both stages write there
    r".*LeafSpec.* is deprecated",  # its own use of torch
    r"The number of training batches .* is smaller than the logging interval",
)


def fit_stage(
    module: StageModule,
    data: KLineDataModule,
    make_trainer: "functools.partial[Trainer]",
    make_callbacks: "Callable[[], Mapping[str, Callback | functools.partial[Callback] | None]]",
    logger: Logger,
    folder: Path,
    monitor: str | Mapping[str, str],
    checkpoint_every_n_steps: int,
    attempts: Attempts,
    compiled: bool,
) -> dict[str, float]:
    """Train until the end, load and export the best weights, and return the validation that chose them.

    Metrics are returned under their full names, `<stage>/<metric>`. Where
    `<folder>/checkpoints/<stage>-last.ckpt` exists, an earlier attempt of the same run goes on from there.

    Args:
        module: the stage; in place.
        data: its windows.
        make_trainer: `Trainer` with the configured arguments.
        make_callbacks: further callbacks by name, new ones for each stage; None for none. One that is partial is
            completed with the full name of the metric that chooses the checkpoint, `monitor`, and its `mode`, "min" or
            "max".
        logger: where metrics go.
        folder: the run folder.
        monitor: validation metric that chooses the checkpoint, without the stage's name; or one for each stage.
        checkpoint_every_n_steps: see `LastCheckpoint`.
        attempts: counts the time.
        compiled: see `compiled_blocks`.

    Raises:
        InputError: there is no such metric, no window, or a validation is no number.
        TrialPruned: the search that the run is a trial of has given it up.
    """
    whole_number("checkpoint_every_n_steps", checkpoint_every_n_steps, least=1)
    made = [one for one in make_callbacks().values() if one is not None]  # callbacks.<name>=null is without that one
    metric = choose_monitor(monitor, module.stage, module.validation_metrics, made)
    watched = {"monitor": f"{module.stage}/{metric.name}", "mode": metric.mode}
    callbacks = [one(**watched) if isinstance(one, functools.partial) else one for one in made]
    settings = make_trainer.keywords
    _check_end_of_training(settings)
    module.max_steps = settings.get("max_steps") or -1
    checkpoints = folder / "checkpoints"
    last, best = (checkpoints / f"{module.stage}-{which}.ckpt" for which in ("last", "best"))
    saving = LastCheckpoint(last, checkpoint_every_n_steps, attempts)
    if not settings.get("enable_progress_bar", True):  # Lightning refuses to have it switched off and given
        callbacks = [callback for callback in callbacks if not isinstance(callback, ProgressBar)]
    trainer = build_trainer(
        make_trainer,
        max_steps=-1,  # `StepLimit` in its place, and `TimeLimit`
        max_time=None,
        precision=settings.get("precision") or default_precision(settings["accelerator"]),
        gradient_clip_val=module.optimisation.gradient_clip,
        logger=logger,
        callbacks=[
            *callbacks,
            StepLimit(module.max_steps),
            _time_limit(settings),
            BestCheckpoint(checkpoints, module.stage, metric),
            saving,
            StopBetweenSteps(saving),
        ],
        plugins=[AtomicCheckpointIO()],
        default_root_dir=folder,
    )
    check_ranks(trainer)
    epochs, every = trainer.max_epochs, trainer.check_val_every_n_epoch
    if epochs is not None and every is not None and 0 < epochs < every:
        raise InputError(f"trainer.check_val_every_n_epoch={every} with {epochs} epochs: never validated, lower it")
    if isinstance(settings.get("val_check_interval"), str | Mapping):
        log.warning(
            "trainer.val_check_interval=%s goes by the clock: a resumed run validates at other steps than one that was "
            "not interrupted", settings["val_check_interval"],
        )  # fmt: skip
    data.trainer = trainer
    log.info("%s: %s", module.stage, _describe(trainer, data))
    log.info("%s: %s", module.stage, _describe_training(module))
    log_facts(
        logger,
        {
            f"{module.stage}_world_size": trainer.world_size,
            f"{module.stage}_precision": trainer.precision,
            f"{module.stage}_windows_per_step": data.windows_per_step,
        },
    )
    resumed = checkpoint_to_resume(last, best)
    if resumed:
        log.info("%s: resumes %s", module.stage, resumed)
    network, device = module.get_submodule(module.stage), trainer.strategy.root_device
    with compiled_blocks(network, device) if compiled else nullcontext():
        _train(trainer, module, data, resumed, f"go on with  {resume_command(folder)}")
    chosen = best_checkpoint(checkpoints, module.stage)
    outcome = {f"{module.stage}/{name}": value for name, value in chosen["validation"].items()}
    if any(isinstance(callback, PruneTrial) and callback.pruned for callback in callbacks):
        raise TrialPruned(outcome)
    module.load_state_dict(chosen["state_dict"])
    module.finish()
    if trainer.is_global_zero:
        for name, model in module.models.items():
            export_model(model, folder / name)
    return outcome


def _train(trainer: Trainer, module: StageModule, data: KLineDataModule, resumed: Path | None, advice: str) -> None:
    """`trainer.fit`, with Lightning's errors about settings and lost ranks in this project's words."""
    with warnings.catch_warnings():
        for message in NOT_SO_HERE:
            warnings.filterwarnings("ignore", message)
        try:
            advise(advice)
            trainer.fit(module, datamodule=data, ckpt_path=resumed, weights_only=True)
        except ValueError as error:
            if "`val_check_interval`" in str(error):  # more batches than an epoch has: known when there are batches
                raise InputError(
                    f"trainer.val_check_interval={trainer.val_check_interval}: {str(error).strip()}"
                ) from error
            raise
        except RuntimeError as error:
            explain_lost_connection(error, trainer.global_rank)
            raise
        finally:
            advise(None)


def default_precision(accelerator: str) -> str:
    """bfloat16 autocast where training runs on CUDA, float32 elsewhere."""
    on_cuda = accelerator in {"auto", "gpu", "cuda"} and torch.cuda.is_available()
    return "bf16-mixed" if on_cuda else "32-true"


def _check_end_of_training(settings: Mapping[str, Any]) -> None:
    """Refuse arguments of `Trainer` by which training has no end, one that moves, or one without weights."""
    max_steps = settings.get("max_steps")
    if settings.get("max_epochs") == -1 and max_steps in {-1, None}:
        raise InputError("trainer.max_epochs=-1: the learning rate's schedule needs an end, give trainer.max_steps too")
    if settings.get("fast_dev_run"):
        raise InputError("trainer.fast_dev_run writes no checkpoint to export: use trainer.max_steps=<a few>")
    for least in ("min_epochs", "min_steps"):
        if settings.get(least) and max_steps not in {-1, None}:
            raise InputError(
                f"trainer.{least}={settings[least]} beside trainer.max_steps={max_steps}: the learning rate's schedule "
                f"ends with the last step, leave out trainer.{least}"
            )


def _time_limit(settings: Mapping[str, Any]) -> TimeLimit:
    try:
        return TimeLimit(settings.get("max_time"))
    except (MisconfigurationException, TypeError, AttributeError) as error:
        raise InputError(
            f"trainer.max_time={settings['max_time']} is no time: write days:hours:minutes:seconds, as 00:12:00:00"
        ) from error


def _describe(trainer: Trainer, data: KLineDataModule) -> str:
    kind = type(trainer.accelerator).__name__.removesuffix("Accelerator")
    batch = f"effective batch {data.windows_per_step} windows"
    return f"{trainer.world_size} × {kind}, precision {trainer.precision}, {batch}"


def _describe_training(module: StageModule) -> str:
    sizes = [(p.numel(), p.requires_grad) for p in module.get_submodule(module.stage).parameters()]
    trained, every = sum(n for n, is_trained in sizes if is_trained), sum(n for n, _ in sizes)
    rate = module.optimisation.learning_rate
    return f"trains {trained:,} of {every:,} parameters" + ("" if rate is None else f", learning rate {rate:g}")
