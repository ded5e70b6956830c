"""The training step waits for nothing, and other precisions and compiled networks learn the same."""

import sys

import numpy as np
import pytest

from kronos_lab.training.progress import StageProgress

compiles = pytest.mark.skipif(" " in sys.prefix, reason="torch cannot link to an environment in a path with a space")


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
def test_a_step_that_is_not_logged_never_waits_for_the_device(finetune, stage):
    """Nothing reads a number of a tensor from Python: not the networks, the optimiser, Lightning, or what is logged."""
    from collections import Counter

    from lightning.pytorch import Callback
    from torch.utils._python_dispatch import TorchDispatchMode

    class Waits(TorchDispatchMode):
        """Operations for whose result the host waits, by the step they are in."""

        names = frozenset({"_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select"})

        def __init__(self, module):
            super().__init__()
            self.module, self.of_step, self.operations = module, Counter(), 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.operations += 1
            if func.overloadpacket.__name__ in self.names:
                self.of_step[self.module.batch] += 1
            return func(*args, **(kwargs or {}))

    class Count(Callback):
        def on_train_start(self, trainer, pl_module):
            pl_module.batch = -1
            self.waits = Waits(pl_module)
            self.waits.__enter__()

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            pl_module.batch = batch_idx  # until the next begins: fetching that one is part of it

        def on_train_epoch_end(self, trainer, pl_module):
            self.waits.__exit__(None, None, None)

    count = Count()
    data = (("windows_per_epoch", 200), ("rescale", True))  # without rescale the host looks at the host's own bars
    trainer = (("log_every_n_steps", 5), ("enable_progress_bar", True))
    changed = finetune.changed(epochs=1, data=data, trainer=trainer, callbacks=(StageProgress(), count))
    changed.fit(stage)
    assert count.waits.operations > 1000
    # What is logged is read, and the last step ends the epoch.
    assert {4, 9} <= count.waits.of_step.keys() <= {-1, 4, 9, 12}


def test_the_narrow_progress_bar_shows_losses_alone(finetune):
    """The training loss is the logged one, of the last step that was."""
    shown = []

    class Shown(StageProgress):
        def get_metrics(self, trainer, pl_module):
            shown.append(super().get_metrics(trainer, pl_module))
            return shown[-1]

    trainer = (("log_every_n_steps", 3), ("enable_progress_bar", True))
    finetune.changed(epochs=1, trainer=trainer, callbacks=(Shown(),)).fit("tokenizer")
    assert shown[0] == {} and set(shown[-1]) == {"train_loss", "val_loss"}
    logged = finetune.metrics()["tokenizer/train_loss"].dropna()
    assert list(dict.fromkeys(of["train_loss"] for of in shown if of)) == pytest.approx(list(logged))


@compiles
@pytest.mark.slow
def test_compiled_blocks_learn_the_same_under_the_same_names(finetune):
    """Batches of another size too: the last of an epoch has 8 windows for 16, validation is without gradients."""
    import torch

    one_epoch = finetune.changed(epochs=1)
    plain, fast = (one_epoch.changed(folder=finetune.folder / name) for name in ("plain", "fast"))
    eager, expected = plain.fit("predictor")
    torch._dynamo.utils.counters.clear()
    compiled, outcome = fast.changed(compiled=True).fit("predictor")
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert not torch._dynamo.utils.counters["graph_break"]
    assert compiled.state_dict().keys() == eager.state_dict().keys()
    assert losses(fast) == pytest.approx(losses(plain), rel=1e-4)
    assert outcome == pytest.approx(expected, rel=1e-3)
    assert all(module._compiled_call_impl is None for module in compiled.modules())
    exported = [set(load(run / "predictor" / "model.safetensors")) for run in (plain.folder, fast.folder)]
    assert exported[0] == exported[1]


@compiles
@pytest.mark.slow
def test_a_compiled_stage_is_resumed_bit_by_bit(finetune):
    import torch
    from lightning.pytorch import Callback

    class Interrupt(Callback):
        def on_train_batch_end(self, trainer, *arguments):
            if trainer.global_step == 13:
                raise InterruptedError

    compiled = finetune.changed(compiled=True, checkpoint_every=3)
    whole, expected = compiled.changed(folder=finetune.folder / "whole").fit("predictor")
    stopped = compiled.changed(folder=finetune.folder / "stopped")
    with pytest.raises(InterruptedError):
        stopped.changed(callbacks=(Interrupt(),)).fit("predictor")
    resumed, outcome = stopped.fit("predictor")
    assert outcome == expected
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@compiles
@pytest.mark.slow
def test_no_size_of_a_batch_is_left_uncompiled(finetune, monkeypatch):
    """Most kernels are needed where some blocks are frozen and several are not: two sizes each in both parts."""
    import torch

    from kronos_lab.training.tuning import TopBlocks

    monkeypatch.setattr(torch._dynamo.config, "fail_on_recompile_limit_hit", True)
    layers, sizes = (("n_layers", 3),), (("val_windows", 61), ("batch_size", 11))
    finetune.changed(epochs=1, compiled=True, data=sizes, predictor=layers, tuning=TopBlocks(2)).fit("predictor")


@compiles
@pytest.mark.slow
@pytest.mark.parametrize("stage", ["tokenizer", "adapters"])
def test_what_else_is_trained_can_be_compiled(finetune, stage):
    from kronos_lab.training.tuning import Lora

    if stage == "adapters":
        finetune = finetune.changed(tuning=Lora(rank=2, alpha=4.0, dropout=0.0, targets=["q_proj", "v_proj"]))
    name = "predictor" if stage == "adapters" else stage
    one_epoch = finetune.changed(epochs=1)
    _, expected = one_epoch.changed(folder=finetune.folder / "plain").fit(name)
    _, outcome = one_epoch.changed(folder=finetune.folder / "fast", compiled=True).fit(name)
    assert outcome == pytest.approx(expected, rel=1e-3)


def test_compiling_without_a_compiler_is_one_line(finetune, monkeypatch):
    import torch
    from torch._inductor import cpp_builder

    from kronos_lab.errors import InputError

    def none_found(*_):
        raise cpp_builder.exc.InvalidCxxCompiler

    monkeypatch.setattr(torch, "__file__", "/environment/torch/__init__.py")
    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none_found)
    with pytest.raises(InputError, match=r"^compile=true needs a C\+\+ compiler on a CPU: install g\+\+ or clang"):
        finetune.changed(compiled=True).fit("tokenizer")


def load(path):
    from safetensors.torch import load_file

    return load_file(path)


def test_an_environment_in_a_path_with_a_space_cannot_compile(finetune, monkeypatch):
    import torch

    from kronos_lab.errors import InputError

    monkeypatch.setattr(torch, "__file__", "/my environment/torch/__init__.py")
    with pytest.raises(InputError, match=r"^compile=true: on a CPU .* a path with a space, as /my environment/torch"):
        finetune.changed(compiled=True).fit("tokenizer")
