"""Where a finetune starts, and what is refused as a start."""

from pathlib import Path

import pytest

from kronos_lab.errors import InputError


@pytest.fixture(scope="module")
def trained(small_market, tmp_path_factory):
    """Run folder as a predictor stage leaves it."""
    from kronos_lab.training.export import export_model

    tokenizer, predictor = networks(seed=1)
    folder = tmp_path_factory.mktemp("out") / "train" / "mine"
    export_model(tokenizer, folder / "tokenizer")
    export_model(predictor, folder / "predictor")
    return folder


def networks(seed, **predictor_changes):
    import torch

    from kronos_lab.models.predictor import Kronos
    from kronos_lab.models.tokenizer import KronosTokenizer

    torch.manual_seed(seed)
    tokenizer = KronosTokenizer(6, 8, 2, 16, 2, 2, 0.0, 0.0, 0.0, 2, 2, 0.05, 1.0, 1.1, 0.05, 4)
    changes = {"d_model": 8, "ffn_dropout_p": 0.1} | predictor_changes
    predictor = Kronos(
        s1_bits=2, s2_bits=2, n_layers=1, n_heads=2, ff_dim=16, attn_dropout_p=0.1, resid_dropout_p=0.1,
        token_dropout_p=0.1, learn_te=True, **changes,
    )  # fmt: skip
    return tokenizer, predictor


def start(pair, pretrained, pretrained_tokenizer, outputs):
    from kronos_lab.training.starting_weights import load_starting_weights

    pretrained = str(pretrained) if isinstance(pretrained, Path) else pretrained
    return load_starting_weights(*pair, pretrained, pretrained_tokenizer, outputs)


def same(network, other):
    from kronos_lab.models.hub import weights_fingerprint

    return weights_fingerprint(network) == weights_fingerprint(other)


def test_a_run_gives_both_networks(trained):
    expected, pair = networks(seed=1), networks(seed=2)
    start(pair, trained, None, trained.parent.parent)
    assert same(pair[0], expected[0]) and same(pair[1], expected[1])


def test_a_tokenizer_alone_leaves_the_predictor_random(trained):
    expected, pair = networks(seed=1), networks(seed=2)
    start(pair, None, str(trained), trained)
    assert same(pair[0], expected[0]) and same(pair[1], networks(seed=2)[1])


@pytest.mark.parametrize("name", ["mine", 20240701])
def test_a_run_may_be_named(trained, name):
    outputs, pair, tokenizer_only = trained.parent.parent, networks(seed=2), networks(seed=2)
    if name != "mine" and not (outputs / "train" / str(name)).exists():
        (outputs / "train" / str(name)).symlink_to(trained)
    start(pair, name, None, outputs)
    start(tokenizer_only, None, name, outputs)
    assert same(pair[1], networks(seed=1)[1])
    assert same(tokenizer_only[0], networks(seed=1)[0]) and same(tokenizer_only[1], networks(seed=2)[1])


def test_a_start_that_is_no_text_is_refused(trained):
    for given in ((5, None), (None, 5)):
        with pytest.raises(InputError, match=r"no .*5: give"):
            start(networks(seed=2), *given, trained)


def test_dropout_is_the_configuration_s(trained):
    pair = networks(seed=2, ffn_dropout_p=0.5)
    start(pair, trained, None, trained)
    assert pair[1].config["ffn_dropout_p"] == 0.5 and same(pair[1], networks(seed=1)[1])


def test_weights_of_another_shape_are_refused(trained):
    with pytest.raises(InputError, match="is another Kronos than model= describes: d_model is 8, not 16"):
        start(networks(seed=2, d_model=16), trained, None, trained)


def test_the_summary_says_which_days_the_weights_have_seen(small_market, trained, finetune, tmp_path):
    """A chain of two runs, the second on earlier days than the first; weights of unknown origin; a tokenizer alone."""
    from kronos_lab.data.split import DateSplit
    from kronos_lab.runs.summary import read_summary
    from kronos_lab.training.attempts import Attempts
    from kronos_lab.training.export import export_model
    from kronos_lab.training.outcome import finish_training
    from kronos_lab.training.pruning import EndWherePruned

    def run(name, val_end, pretrained=None, pretrained_tokenizer=None):
        pair, folder = networks(seed=2), tmp_path / "train" / name
        weights = start(pair, pretrained, pretrained_tokenizer, tmp_path)
        models = dict(zip(("tokenizer", "predictor"), pair, strict=True))
        for part, model in models.items():
            export_model(model, folder / part)
        split = DateSplit(None, "2023-12-29", "2024-01-01", val_end, "2024-12-02", None)
        settings, attempts, data = {"name": name, "seed": 1}, Attempts(folder), finetune.make_data()
        ended = EndWherePruned({})
        finish_training(folder, settings, small_market, split, weights, models, {}, attempts, data, {}, None, ended)
        summary = read_summary(folder)
        return folder, summary["seen_until"], summary["started_from"]

    first, *said = run("first", "2024-06-28")
    assert said == ["2024-06-28", "random weights"]
    _, *said = run("second", "2024-03-29", pretrained=first)
    assert said == ["2024-06-28", "run first, itself started from random weights"]
    _, *said = run("third", "2024-03-29", pretrained="second")
    assert said[0] == "2024-06-28" and said[1].startswith("run second, itself started from run first")
    _, *said = run("on its tokens", 20240329, pretrained_tokenizer=str(first))
    assert said == ["2024-06-28", "run first, itself started from random weights"]
    _, *said = run("unknown", "2024-03-29", pretrained=trained)
    assert said[0] is None and str(trained) in said[1]


def test_a_stage_needs_what_it_stands_on():
    from kronos_lab.training.starting_weights import stages_of

    assert stages_of("both", None, None) == ("tokenizer", "predictor")
    assert stages_of("predictor", None, "somewhere") == ("predictor",)
    with pytest.raises(InputError, match="stage=predictor needs a trained tokenizer"):
        stages_of("predictor", None, None)
    with pytest.raises(InputError, match="stage=all: choose one of both, tokenizer, predictor"):
        stages_of("all", None, None)


def test_an_export_replaces_an_earlier_one_completely(tmp_path):
    from kronos_lab.models.tokenizer import KronosTokenizer
    from kronos_lab.training.export import export_model

    first, second = networks(seed=1)[0], networks(seed=2)[0]
    export_model(first, tmp_path / "tokenizer")
    (tmp_path / "tokenizer" / "left-over").touch()
    export_model(second, tmp_path / "tokenizer")
    assert same(KronosTokenizer.from_pretrained(tmp_path / "tokenizer"), second)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "README.md", "config.json", "model.safetensors", "tokenizer",
    ]  # fmt: skip
