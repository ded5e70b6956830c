"""`trainer.accumulate_grad_batches`: several batches make one step."""

import pytest


def no_dropout(module):
    for part in module.modules():
        for name in ("p", "dropout_p", "attn_dropout_p"):
            if isinstance(getattr(part, name, None), float):
                setattr(part, name, 0.0)
    return module


def test_a_step_is_made_of_the_mean_of_its_batches(finetune):
    """The first step of a run that accumulates two batches, next to the same step by hand.

    The predictor's loss is a mean over windows, so two batches of equal size are one of both.
    """
    import torch
    from lightning.pytorch import Callback

    class Batches(Callback):
        def __init__(self):
            self.seen = []

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.seen.append(batch)

    class NoDropout(Callback):
        def on_train_start(self, trainer, pl_module):
            no_dropout(pl_module)

    batches = Batches()
    accumulating = finetune.changed(
        data=(("batch_size", 8),), trainer=(("accumulate_grad_batches", 2), ("max_steps", 1)),
        s1_conditioning="teacher", schedule="constant", callbacks=(batches, NoDropout()),
    )  # fmt: skip
    trained, _ = accumulating.fit("predictor")
    sizes = [len(batch.bars_BTF) for batch in batches.seen]
    assert len(sizes) == 2 and sizes[0] == sizes[1]

    by_hand = no_dropout(accumulating.make_module("predictor"))
    together = type(batches.seen[0])(*(torch.cat(parts) for parts in zip(*batches.seen, strict=True)))
    optimizer = accumulating.optimisation().configure(by_hand, total_steps=1)
    optimizer = optimizer["optimizer"] if isinstance(optimizer, dict) else optimizer
    by_hand.training_losses(together)["loss"].backward()
    torch.nn.utils.clip_grad_norm_([p for p in by_hand.parameters() if p.grad is not None], 2.0)
    optimizer.step()
    moved = 0
    start = accumulating.make_module("predictor").predictor.state_dict()
    for name, value in by_hand.predictor.state_dict().items():
        assert trained.predictor.state_dict()[name] == pytest.approx(value, abs=2e-6), name
        moved += not value.equal(start[name])
    assert moved > 10


@pytest.mark.parametrize("accumulated", [2, 3])
def test_an_epoch_is_cut_into_whole_steps(finetune, accumulated):
    """No step at the end of an epoch of fewer batches, whose gradient Lightning would divide by too much."""
    from lightning.pytorch import Callback

    class Count(Callback):
        def __init__(self):
            self.sizes = []

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.sizes.append(len(batch.bars_BTF))

    count = Count()
    trainer = (("accumulate_grad_batches", accumulated),)
    finetune.changed(data=(("batch_size", 10),), epochs=1, trainer=trainer, callbacks=(count,)).fit("tokenizer")
    assert len(count.sizes) % accumulated == 0
    assert max(count.sizes) <= 10 and max(count.sizes) - min(count.sizes) <= 1
