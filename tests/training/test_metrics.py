"""What a validation measures, each metric against a count by hand."""

import math

import numpy as np
import pytest
import torch

from kronos_lab.data.bars import FIELDS
from kronos_lab.data.normaliser import denormalise
from kronos_lab.training.metrics import CodeEntropy, Perplexity, RootMean, TokenPerplexity, TokenUse, in_top


def test_tokens_used_equally_often_have_their_number_as_perplexity():
    use, perplexity = TokenUse(16), TokenPerplexity(16)
    for tokens in ([[0, 3], [3, 15]], [[15, 0], [7, 7]]):
        use.update(torch.tensor(tokens))
        perplexity.update(torch.tensor(tokens))
    assert use.compute() == 4 / 16
    assert perplexity.compute() == pytest.approx(4)
    perplexity.update(torch.zeros(8, dtype=torch.int64))  # 10 of 16, and 3 times 2
    assert perplexity.compute() == pytest.approx((10 / 16) ** (-10 / 16) * 8 ** (3 / 8))


def test_roots_and_exponentials_are_taken_after_the_mean():
    root, perplexity = RootMean("disable"), Perplexity("disable")
    for values in ([9.0, 1.0], [2.0]):  # batches of different sizes
        root.update(torch.tensor(values))
        perplexity.update(torch.tensor(values).log())
    assert root.compute() == pytest.approx(2)
    assert perplexity.compute() == pytest.approx(18 ** (1 / 3))


def test_entropy_of_the_code_is_that_of_all_batches_together():
    entropy = CodeEntropy(3)
    entropy.update(torch.tensor([[[1.0, 0.0, 0.5]]]))
    entropy.update(torch.tensor([[[0.0, 0.0, 0.5], [0.5, 0.0, 0.5]]]))
    assert entropy.compute() == pytest.approx(2 * math.log(2), abs=1e-6)  # a bit that is never set has none


def test_the_true_token_among_the_likeliest():
    logits = torch.tensor([[0.1, 0.7, 0.3, 0.9, 0.2, -1.0, 0.0]])
    found = {k: [in_top(logits, torch.tensor([t]), k).item() for t in range(7)] for k in (1, 5)}
    assert found == {1: [0, 0, 0, 1, 0, 0, 0], 5: [1, 1, 1, 1, 1, 0, 0]}
    tied = torch.tensor([[2.0, 1.0, 1.0, 0.0]])  # the second place is one of two
    assert [in_top(tied, torch.tensor([t]), 2).item() for t in range(4)] == [1, 0.5, 0.5, 0]


def test_a_predictor_without_preference_has_the_perplexity_of_its_vocabulary(finetune):
    module = finetune.make_module("predictor")
    for layer in (module.predictor.head.proj_s1, module.predictor.head.proj_s2):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    found = finetune.validate(module)
    for token in ("s1", "s2"):
        assert found[f"val_{token}"] == pytest.approx(math.log(4))
        assert found[f"val_{token}_window"] == pytest.approx(math.log(4))
        assert found[f"val_{token}_perplexity"] == pytest.approx(4)
        assert (found[f"val_{token}_top1"], found[f"val_{token}_top5"]) == (0.25, 1)


def test_accuracy_of_a_predictor_counted_by_hand(finetune):
    module = finetune.make_module("predictor").eval()
    batch = whole_validation(finetune)
    with torch.no_grad():
        s1, s2 = module.tokenizer.encode(batch.bars_BTF, half=True)
        for_s1, for_s2 = module.predictor(
            s1[:, :-1], s2[:, :-1], batch.stamp_BT5[:, :-1], use_teacher_forcing=True, s1_targets=s1[:, 1:]
        )
    found = finetune.validate(module)
    for token, true, logits in (("s1", s1, for_s1), ("s2", s2, for_s2)):
        guess = logits[:, 19:23].argmax(-1)  # of bars 20 to 23, the horizon
        assert found[f"val_{token}_top1"] == pytest.approx((guess == true[:, 20:24]).double().mean().item(), abs=1e-12)
        assert found[f"val_{token}_perplexity"] == pytest.approx(math.exp(found[f"val_{token}"]))


def test_errors_of_the_tokenizer_counted_by_hand(finetune):
    module = finetune.make_module("tokenizer").eval()
    batch = whole_validation(finetune)
    with torch.no_grad():
        (coarse, full), *_ = module.tokenizer(batch.bars_BTF)
        s1, s2 = module.tokenizer.encode(batch.bars_BTF, half=True)
    found = finetune.validate(module)
    bars = denormalise(batch.bars_BTF, batch.scale)
    close = bars[:, :20, 3].mean(1)
    for suffix, reconstructed in (("", full), ("_coarse", coarse)):
        error = (reconstructed - batch.bars_BTF)[:, 20:24]
        assert found[f"val_loss{suffix}"] == pytest.approx(error.square().mean().item(), rel=1e-5)
        in_units = (denormalise(reconstructed, batch.scale) - bars)[:, 20:24]
        for i, field in enumerate(FIELDS):
            assert found[f"val_error_{field}{suffix}"] == pytest.approx(rms(error[..., i]), rel=1e-5)
            if i < 4:
                relative = in_units[..., i] / close[:, None]
                assert found[f"val_price_error_{field}{suffix}"] == pytest.approx(rms(relative), rel=1e-3)
    assert found["val_s1_use"] == len(s1.unique()) / 4
    share = torch.unique(s2, return_counts=True)[1] / s2.numel()
    assert found["val_s2_perplexity"] == pytest.approx(math.exp(-(share * share.log()).sum()), rel=1e-5)


def test_terms_of_the_quantiser_are_logged_apart_and_add_up_to_its_loss(finetune):
    module, _ = finetune.changed(epochs=1).fit("tokenizer")
    logged = finetune.metrics()
    train = {name: logged[f"tokenizer/train_{name}"].dropna() for name in ("quantiser", *TERMS)}
    beta, gamma0, gamma, zeta = (module.tokenizer.config[name] for name in ("beta", "gamma0", "gamma", "zeta"))
    total = beta * train["commitment"] + zeta * (gamma0 * train["entropy_sample"] - gamma * train["entropy_code"])
    np.testing.assert_allclose(train["quantiser"], total, rtol=1e-4, atol=1e-6)
    # Of the whole validation at once: what the quantiser says of one batch that holds it all.
    found = finetune.validate(module.eval())
    with torch.no_grad():
        once = module.tokenizer.losses(whole_validation(finetune).bars_BTF)
    for name in TERMS:
        assert found[f"val_{name}"] == pytest.approx(getattr(once, name).item(), rel=1e-5)


TERMS = ("commitment", "entropy_sample", "entropy_code")


@pytest.mark.parametrize("stage", ["tokenizer", "predictor"])
def test_every_metric_is_measured_whatever_the_size_of_a_batch(finetune, stage):
    module = finetune.make_module(stage)
    found = finetune.validate(module)  # 61 windows in batches of 16
    assert list(found) == [metric.name for metric in module.validation_metrics]
    assert finetune.changed(data=(("batch_size", 7),)).validate(module) == pytest.approx(found, rel=1e-6)


def rms(error):
    return error.double().square().mean().sqrt().item()


def whole_validation(finetune):
    loader = finetune.make_data().val_dataloader()
    return loader.dataset[np.concatenate(list(loader.sampler))]
