"""What a training run asks of its machine, logged beside its metrics."""

from typing import Any

import psutil
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

GIB = 2**30


class SystemMetrics(Callback):
    """Logs load and memory every `trainer.log_every_n_steps` steps, without waiting for the device.

    `<stage>/system_cpu_percent` is of this process since the last time, 100 a core; `..._memory_gib` what it holds;
    `..._machine_memory_percent` what everything on the machine holds. On CUDA also the most that tensors have held,
    `..._gpu_memory_gib`, and what PyTorch keeps for them, `..._gpu_memory_reserved_gib`. Of rank 0 alone.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count processor time."""
        self._process.cpu_percent()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log, where Lightning logs the metrics of the step."""
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by Lightning's logger connector
        accumulating = (batch_idx + 1) % trainer.accumulate_grad_batches != 0
        if not trainer.is_global_zero or not every or trainer.global_step % every or accumulating:
            return
        metrics = {
            "system_cpu_percent": self._process.cpu_percent(),
            "system_memory_gib": self._process.memory_info().rss / GIB,
            "system_machine_memory_percent": psutil.virtual_memory().percent,
        }
        device = pl_module.device
        if device.type == "cuda":
            metrics["system_gpu_memory_gib"] = torch.cuda.max_memory_allocated(device) / GIB
            metrics["system_gpu_memory_reserved_gib"] = torch.cuda.memory_reserved(device) / GIB
        stage = getattr(pl_module, "stage", "train")  # steps begin anew with each stage
        metrics = {f"{stage}/{name}": value for name, value in metrics.items()}
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step - 1)  # steps are counted from 0 there
