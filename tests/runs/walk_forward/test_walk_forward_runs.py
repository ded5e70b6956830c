"""What a walk-forward takes over of the runs that are there already, and in which order it makes the others."""

from pathlib import Path

import pytest
from hydra import compose
from walks import configurations, leave_backtest, leave_fold, settings_of_fold, typed, walk_forward

from kronos_lab.errors import InputError
from kronos_lab.runs.processes import only_one_at_work

# Says when it begins and ends, and leaves the run that the test has prepared under its name.
TRAINING = """
import pathlib, shutil, sys, time
here = pathlib.Path(__file__).parent
name = next(one.removeprefix("name=") for one in sys.argv if one.startswith("name="))
with (here / "order.txt").open("a") as order: order.write(f"{name} begins\\n")
time.sleep(0.2)
if not (here / "prepared" / name).is_dir(): sys.exit("no such luck")
shutil.copytree(here / "prepared" / name, here / "outputs" / "train" / name)
with (here / "order.txt").open("a") as order: order.write(f"{name} ends\\n")
"""
AGAIN = "choose another name=, or move the run away"


@pytest.fixture(autouse=True)
def hydra_knows_the_configurations():
    with configurations():
        yield


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project whose `train.py` leaves what lies in `prepared/`."""
    (tmp_path / "train.py").write_text(TRAINING)
    monkeypatch.setattr("kronos_lab.runs.processes.project_root", lambda: tmp_path)
    return tmp_path


def train(walk, at_once: int = 1) -> None:
    with only_one_at_work(walk.lock_file) as lock:
        walk.train(at_once, lock)


def backtest(walk) -> None:
    with only_one_at_work(walk.lock_file) as lock:
        walk.backtest(lock)


def order(project: Path) -> list[str]:
    file = project / "order.txt"
    return file.read_text().splitlines() if file.is_file() else []


def test_runs_as_planned_are_taken_over(project):
    walk = walk_forward(project / "outputs")
    for number in (1, 2, 3):
        leave_fold(walk, number, "logger=csv", "figures.pairs=0")  # as typed on a cluster: not its weights
    leave_backtest(walk)
    train(walk)
    backtest(walk)
    assert not order(project) and (walk.folder / "checkpoints.json").is_file()


@pytest.mark.parametrize(
    ("further", "said"),
    [
        (["split.train_end=2015-12-31"], "split.train_end='2015-12-31' (planned split.train_end='2023-03-31')"),
        (["split.train_start=2020-01-01"], "split.train_start='2020-01-01' (planned split.train_start=null)"),
        (["universe=csi500"], "universe.name=csi500 (planned universe.name=csi300)"),
        (["model.epochs=3"], "trainer.max_epochs=3"),
        (["model=kronos_mini"], " more: "),
        (["callbacks=early_stopping"], "(planned no callbacks.early_stopping."),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_a_fold_that_was_trained_otherwise_is_refused(project, further, said, finished):
    walk = walk_forward(project / "outputs")
    run = leave_fold(walk, 2, *further)
    if not finished:
        (run / "summary.json").rename(run / "checkpoints")
    with pytest.raises(InputError) as refused:
        train(walk)
    line = str(refused.value)
    assert line.startswith(f"{run} is not fold 2: it has ") and line.endswith(AGAIN) and said in line, line
    assert not order(project) and run.is_dir()


def test_a_fold_of_other_data_is_refused(project):
    walk = walk_forward(project / "outputs")
    run = leave_fold(walk, 1, data="older data")
    with pytest.raises(InputError) as refused:
        train(walk)
    data = "other data of market demo than there is now (fingerprint older data, now the market's data)"
    assert str(refused.value) == f"{run} was made of {data}: {AGAIN}"
    assert not order(project)


def test_folds_are_not_joined_where_the_market_is_refreshed_between_their_trainings(project):
    walk = walk_forward(project / "outputs")
    leave_fold(walk, 1)
    leave_fold(walk, 2, to=project / "prepared" / "walk_fold2")
    leave_fold(walk, 3, data="newer data", to=project / "prepared" / "walk_fold3")
    with pytest.raises(InputError, match="walk_fold3 was made of other data of market demo"):
        train(walk)
    assert not (walk.folder / "checkpoints.json").exists()


def test_what_is_no_run_is_refused(project):
    walk = walk_forward(project / "outputs")
    (walk.runs[0] / "notes").mkdir(parents=True)
    with pytest.raises(InputError, match=f"walk_fold1 is there already, and no run .*: {AGAIN}"):
        train(walk)
    walk.runs[0].rename(project / "away")
    for number in (1, 2, 3):
        leave_fold(walk, number)
    (leave_backtest(walk) / "summary.json").write_text("{}")
    with pytest.raises(InputError, match=f"walk has the summary of another run than the backtest: {AGAIN}"):
        train(walk)
    with pytest.raises(InputError, match="walk has the summary of another run"):
        backtest(walk)


@pytest.mark.parametrize(
    ("further", "said"),
    [
        (["backtest.end=2023-12-29"], "backtest.end='2023-12-29' (planned backtest.end='2024-03-15')"),
        (["backtest.start=2023-10-02"], "backtest.start='2023-10-02' (planned backtest.start='2023-07-03')"),
        (["checkpoint=walk_fold1"], "checkpoint=walk_fold1 (planned checkpoint="),
        (["strategy.topk=7"], "strategy.topk=7 (planned strategy.topk="),
        (["data.lookback=50"], "data.lookback=50 (planned data.lookback="),
    ],
)
def test_a_backtest_that_was_made_otherwise_is_refused_before_anything_is_trained(project, further, said):
    walk = walk_forward(project / "outputs")
    run = leave_backtest(walk, *further)
    with pytest.raises(InputError) as refused:
        train(walk)
    line = str(refused.value)
    assert line.startswith(f"{run} is not the backtest: it has ") and line.endswith(AGAIN) and said in line, line
    assert not order(project)


def test_a_backtest_of_other_weights_or_other_data_is_refused(project):
    walk = walk_forward(project / "outputs")
    for number in (1, 2, 3):
        leave_fold(walk, number)
    run = leave_backtest(walk, retrained=2)
    with pytest.raises(InputError) as refused:
        backtest(walk)
    weights = "other weights than those of fold 2 (predictor older weights 2, now weights 2)"
    assert str(refused.value) == f"{run} traded {weights}: {AGAIN}"
    run.rename(project / "away")
    leave_backtest(walk, data="older data")
    with pytest.raises(InputError, match="made of other data of market demo than there is now"):
        backtest(walk)


def test_folds_that_start_from_the_one_before_have_its_weights_and_are_finetunes(project):
    walk = walk_forward(project / "outputs", "previous")
    first, second, third = (settings_of_fold(walk, number) for number in (1, 2, 3))
    plain = walk_forward(project / "others")
    assert [one.replace("others", "outputs") for one in typed(plain)[0]] == typed(walk)[0]
    assert first.model.pretrained is None and first.stage == "both"
    assert second.model.pretrained == str(walk.runs[0]) and third.model.pretrained == str(walk.runs[1])
    random_rate, rate = (one.optim.predictor.optimizer.lr for one in (first, second))
    for later in (second, third):
        assert later.stage == "predictor" and later.model.pretrained_tokenizer is None
        assert later.optim.predictor.optimizer.lr == later.optim.predictor.schedule.max_lr == rate < random_rate
    assert rate == compose("train", ["model.pretrained=somewhere"]).optim.predictor.optimizer.lr


def test_what_the_first_fold_starts_from_is_left_behind_by_the_next(project):
    given = ["model.pretrained=NeoQuasar/Kronos-small", "model.pretrained_tokenizer=somewhere"]
    walk = walk_forward(project / "outputs", "previous", given)
    first, second = (settings_of_fold(walk, number).model for number in (1, 2))
    assert (first.pretrained, first.pretrained_tokenizer) == ("NeoQuasar/Kronos-small", "somewhere")
    assert (second.pretrained, second.pretrained_tokenizer) == (str(walk.runs[0]), None)


def test_each_fold_waits_for_the_one_it_starts_from(project):
    walk = walk_forward(project / "outputs", "previous")
    for number in (1, 2, 3):
        leave_fold(walk, number, to=project / "prepared" / f"walk_fold{number}")
    train(walk, at_once=2)
    assert order(project) == [f"walk_fold{number} {what}" for number in (1, 2, 3) for what in ("begins", "ends")]


@pytest.mark.parametrize("start_from", ["parent", "previous"])
def test_a_fold_that_fails_stops_those_alone_that_start_from_it(project, start_from):
    walk = walk_forward(project / "outputs", start_from)
    for number in (2, 3):
        leave_fold(walk, number, to=project / "prepared" / f"walk_fold{number}")
    with pytest.raises(InputError) as refused:
        train(walk)
    log = walk.folder / "fold_1.log"
    waiting = "fold 2 and fold 3 wait for the fold before; " if start_from == "previous" else ""
    assert str(refused.value).startswith(
        f"fold 1 failed (exit code 1: no such luck), see {log}; {waiting}no backtest is made of part of the folds"
    )
    later = [f"walk_fold{number} {what}" for number in (2, 3) for what in ("begins", "ends")]
    assert order(project) == ["walk_fold1 begins", *(later if start_from == "parent" else [])]


def test_a_fold_that_started_from_a_training_that_is_gone_is_refused(project):
    walk = walk_forward(project / "outputs", "previous")
    run = leave_fold(walk, 2)
    with pytest.raises(InputError) as refused:
        train(walk)
    assert str(refused.value).startswith(f"{run} started from another training of fold 1 than is still to be made: ")
    assert not order(project)
