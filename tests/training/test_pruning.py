"""A training that is a trial of a search: what it reports, and how it ends when the search has given it up."""

from functools import partial

import pytest

from kronos_lab.errors import InputError

MEDIAN = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 1, "n_warmup_steps": 1}


@pytest.fixture
def search(tmp_path):
    """A search with an earlier trial, whose validations were as good as 0.0, and one that runs."""
    return make_search(tmp_path / "journal.log", [0.0, 0.0, 0.0, 0.0])


def make_search(journal, earlier, direction="minimize", pruner=MEDIAN):
    from kronos_lab.runs.search_trial import PRUNER, open_study

    study = open_study(journal, direction=direction)
    study.set_user_attr(PRUNER, pruner)
    first = study.ask()
    for number, value in enumerate(earlier):
        first.report(value, number)
    study.tell(first, earlier[-1])
    assert study.ask().number == 1
    return journal


def trial_callback(journal, stage="tokenizer", number=1):
    from kronos_lab.training.pruning import PruneTrial

    return partial(PruneTrial, trial=number, storage=None if journal is None else str(journal), stage=stage)


def trial_of(journal):
    from kronos_lab.runs.search_trial import open_study

    return open_study(journal).get_trials()[1]


def test_a_worse_training_ends_and_exports_nothing(finetune, search, caplog):
    from kronos_lab.runs.search_trial import PRUNED, end_trial, open_study
    from kronos_lab.training.pruning import EndWherePruned

    caplog.set_level("INFO")
    outcome = {"before": 1.0}
    ends = EndWherePruned(outcome)
    with ends:
        finetune.changed(epochs=4, callbacks=(trial_callback(search),)).fit("tokenizer")
    assert ends.pruned and outcome["before"] == 1.0
    trial = trial_of(search)
    values = list(trial.intermediate_values.values())
    assert list(trial.intermediate_values) == [0, 1]  # of four: one is waited for
    assert outcome["tokenizer/val_loss"] == pytest.approx(min(values))
    assert not (finetune.folder / "tokenizer").exists()
    assert f"pruned: tokenizer/val_loss is {values[1]:.4f} in validation 2" in caplog.text
    assert trial.user_attrs[PRUNED] and trial.state.name == "RUNNING"  # its job writes down the end

    end_trial(open_study(search), 1, outcome["tokenizer/val_loss"])  # whatever the job returned
    assert trial_of(search).state.name == "PRUNED"


@pytest.mark.parametrize(
    ("earlier", "changes", "stage"),
    [
        ([9.0] * 4, {}, "tokenizer"),  # better than the earlier one
        ([0.0] * 4, {"pruner": None}, "tokenizer"),
        ([0.0] * 4, {}, "predictor"),  # of which this stage is none
    ],
)
def test_others_are_finished(finetune, tmp_path, earlier, changes, stage):
    journal = make_search(tmp_path / "journal.log", earlier, **changes)
    plain, trial = (finetune.changed(folder=tmp_path / name) for name in ("plain", "trial"))
    _, expected = plain.fit("tokenizer")
    _, outcome = trial.changed(callbacks=(trial_callback(journal, stage),)).fit("tokenizer")
    assert outcome == expected  # nothing else changes
    assert len(trial_of(journal).intermediate_values) == (2 if stage == "tokenizer" else 0)


def test_a_trial_that_was_given_up_goes_its_way(finetune, search, caplog):
    """As the job of a search that was killed, whose trial is another one's now."""
    from kronos_lab.runs.search_trial import end_trial, open_study

    caplog.set_level("INFO")
    end_trial(open_study(search), 1, "interrupted")
    finetune.changed(callbacks=(trial_callback(search),)).fit("tokenizer")
    assert "has ended already" in caplog.text
    assert trial_of(search).intermediate_values == {}


def test_a_run_that_is_no_trial_knows_nothing_of_it(finetune):
    finetune.changed(epochs=1, callbacks=(trial_callback(None, number=None),)).fit("tokenizer")


def test_a_search_in_the_other_direction_is_refused(finetune, tmp_path):
    journal = make_search(tmp_path / "journal.log", [0.0], direction="maximize")
    with pytest.raises(InputError, match=r"^hydra.sweeper.direction=maximize, but of tokenizer/val_loss less"):
        finetune.changed(callbacks=(trial_callback(journal),)).fit("tokenizer")


def test_a_search_that_is_gone_is_one_line(finetune, tmp_path):
    with pytest.raises(InputError, match=r"is no file: this run was a trial of a search that is gone$"):
        finetune.changed(callbacks=(trial_callback(tmp_path / "journal.log"),)).fit("tokenizer")


def test_a_pruned_run_is_no_run_to_start_from(tmp_path):
    import json

    from kronos_lab.runs.summary import read_run

    summary = {
        "kind": "train", "name": "it", "finished": "2026-01-01T00:00:00+00:00", "weights": {},
        "market": {"name": "demo", "fingerprint": "f"},
    }  # fmt: skip
    for status, found in (({}, True), ({"status": "pruned"}, False)):
        (tmp_path / "summary.json").write_text(json.dumps(summary | status))
        assert (read_run(tmp_path) is not None) == found
