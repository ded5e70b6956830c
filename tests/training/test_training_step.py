"""The training step waits for nothing, and other precisions and compiled networks learn the same."""

import numpy as np
import pytest


def losses(finetune):
    return finetune.metrics()["predictor/train_loss"].dropna().to_numpy()


def test_bfloat16_learns_what_float32_does(finetune):
    """Gradients are clipped and the optimiser is fused, which Lightning refuses where it may scale gradients."""
    one_epoch = finetune.changed(epochs=1)
    whole, half = (one_epoch.changed(folder=finetune.folder / name) for name in ("float32", "bfloat16"))
    whole.fit("predictor")
    module, _ = half.changed(trainer=(("precision", "bf16-mixed"),)).fit("predictor")
    assert all(parameter.isfinite().all() for parameter in module.parameters())
    assert losses(half) == pytest.approx(losses(whole), rel=0.05)  # of 1.75 to 1.38
    assert not np.array_equal(losses(half), losses(whole))


@pytest.mark.parametrize("stage", ["tokenizer", "predictor"])
def test_a_step_never_waits_for_the_device(finetune, stage):
    """Nothing reads a number of a tensor from Python between a batch and the weights it changes."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class NoWaiting(TorchDispatchMode):
        seen = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.seen += 1
            waiting = {"_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select"}
            assert func.overloadpacket.__name__ not in waiting, func
            return func(*args, **(kwargs or {}))

    module = finetune.make_module(stage).train()
    module.log = module.log_dict = lambda *_, **__: None  # Lightning keeps what is logged as it is
    batch = finetune.make_data().val_dataloader().dataset[np.arange(16)]
    optimizer = module.optimisation.configure(module, total_steps=10)["optimizer"]
    module.trainer = type("Trainer", (), {"global_rank": 0, "current_epoch": 0})()
    with NoWaiting() as counted:
        module.training_step(batch, 0).backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 2.0)
        optimizer.step()
        optimizer.zero_grad()
    assert counted.seen > 100
