"""`hydra/sweeper=optuna`: what is searched, what a killed search does when it goes on, and what it leaves."""

from pathlib import Path

import pytest
from searches import App, parameters, states

from kronos_lab.errors import InputError
from many_commands import ROOT


@pytest.fixture
def app(tmp_path):
    return App(tmp_path)


def test_a_killed_search_goes_on(app):
    """Killed in a trial, its journal torn in a line: nothing is lost, and what was running is asked again first."""
    app.kill_in_job(3, "wait_in=2")
    folder = app.outputs / "train" / "first"
    assert states(app.trials()) == ["complete", "complete", "running"]
    with (folder / "journal.log").open("a") as journal:
        journal.write('{"op_code":5,"wor')

    three = ["wait_in=2", "hydra.sweeper.n_trials=3"]  # another number of trials is the same search
    done = app.run(on=three, again=three, whole=["wait_in=null", "name=whole"])
    assert "goes on, 2 of 3 trials are done" in done["on"]["out"]
    trials = app.trials()
    assert states(trials) == ["complete", "complete", "failed", "complete"]
    assert trials[2]["error"] == "interrupted"
    assert parameters(trials[2:3]) == parameters(trials[3:])
    assert (folder / "3").is_dir() and trials[3]["folder"] == "3"
    # It asked for the same as a search that nobody killed, and was not asked more once it was done.
    assert parameters(app.trials("whole")[:3]) == parameters(trials[:3])
    assert [job[0] for job in app.jobs()] == ["0", "1", "2", "3", "0", "1", "2", "3", "4"]


def test_killed_within_a_batch(app):
    """Of three that were asked for together the first had ended: it is kept, the others are asked again, in order."""
    settings = ["wait_in=1", "hydra.sweeper.n_jobs=3", "hydra.sweeper.n_trials=4"]
    app.kill_in_job(2, *settings)
    assert app.run(on=settings)["on"]["code"] == 0
    trials = app.trials()
    assert states(trials) == ["complete", "failed", "failed", "complete", "complete", "complete"]
    assert parameters(trials[3:5]) == parameters(trials[1:3])
    assert [job[0] for job in app.jobs()] == ["0", "1", "3", "4", "5"]


SOME_FAIL = ["name=some_fail", "fail_in=[1]", "nothing_in=[2]", "nan_in=[3]"]
ONE = "hydra.sweeper.n_trials=1"


@pytest.fixture(scope="module")
def searches(tmp_path_factory):
    """An application after some searches, each of a name of its own, and what they said."""
    app = App(tmp_path_factory.mktemp("searches"))
    said = app.run(
        some_fail=SOME_FAIL,
        all_fail=["name=all_fail", "kind_of=broken", "hydra.sweeper.n_trials=50"],
        best=["name=best", "hydra/sweeper/sampler=random", "seed=9", "hydra.sweeper.direction=maximize"],
        grid=["name=grid", "x=range(0,3)", "hydra/sweeper/sampler=grid", "hydra.sweeper.n_trials=100"],
        one=[ONE],
        other_space=[ONE, "x=interval(0,2)"],
        less_space=[ONE, "x=0.5"],
        other_direction=[ONE, "hydra.sweeper.direction=maximize"],
        other_settings=[ONE, "seed=4"],
        unknown_key=["name=none", "y=interval(0,1)"],
        nothing=["name=none", "x=1", "kind_of=a"],
        no_trials=["name=none", "hydra.sweeper.n_trials=0"],
        no_direction=["name=none", "hydra.sweeper.direction=down"],
        no_grid=["name=none", "hydra/sweeper/sampler=grid"],
    )
    return app, said


def test_failed_trials_are_recorded(searches):
    app, said = searches
    trials = app.trials("some_fail")
    assert states(trials) == ["complete", "failed", "failed", "failed", "complete"]
    assert [row["error"] for row in trials[1:4]] == [
        "ValueError: no luck in trial 1",
        "the job returned None, which is no number",
        "the job returned nan, which is no number",
    ]
    assert said["some_fail"]["code"] == 0
    assert "trial 1: failed: ValueError: no luck in trial 1; 1 of 5 done; best" in said["some_fail"]["out"]


def test_failed_trials_are_tried_again_when_typed_again(searches):
    app, _ = searches
    before = app.trials("some_fail")
    app.run(again=SOME_FAIL)
    after = app.trials("some_fail")
    assert states(after[5:]) == ["complete"] * 3
    assert parameters(after[5:]) == parameters(before[1:4])


def test_a_search_in_which_all_fails_stops(searches):
    app, said = searches
    assert states(app.trials("all_fail")) == ["failed"] * 3
    words = "error: all 3 trials have failed, the last with: ValueError: no luck in trial 2 (see "
    assert said["all_fail"]["code"] == 1 and said["all_fail"]["err"].startswith(words)


def test_the_best_can_be_typed(searches):
    import yaml

    app, said = searches
    best = yaml.safe_load((app.outputs / "train" / "best" / "best.yaml").read_text())
    trials = app.trials("best")
    assert best["value"] == max(float(row["value"]) for row in trials)
    row = trials[best["trial"]]
    assert best["overrides"][-2:] == [f"x={row['x']}", f"kind_of={row['kind_of']}"]
    assert "seed=9" in best["overrides"] and not any("hparams_search" in one for one in best["overrides"])
    assert any(job[:2] == [row["trial"], row["x"]] for job in app.jobs())
    assert all(float(row["seconds"]) >= 0 for row in trials)
    assert " ".join(best["overrides"]) in said["best"]["out"]


def search_file(app, name, **settings):
    import yaml

    folder = app.folder / "conf" / "hparams_search"
    folder.mkdir(exist_ok=True)
    content = {"defaults": ["default"], "objective": "value", "callbacks": {"pruning": {"trial": 0}}} | settings
    (folder / f"{name}.yaml").write_text("# @package _global_\n" + yaml.safe_dump(content))


def test_settings_of_a_search_file_that_the_best_would_lose_are_refused(app):
    """What best.yaml says is run again without the search; of its file it knows hydra.sweeper.params alone."""
    params = {"x": "interval(0, 1)", "kind_of": "choice(a, b)"}
    search_file(app, "more", kind_of="b", wait_in=7, extra={"new": 1}, hydra={"sweeper": {"params": params}})
    search_file(app, "all", hydra={"sweeper": {"params": params | {"wait_in": 7, "+extra": "{new: 1}"}}})
    two = ["hydra.sweeper.n_trials=2", "callbacks.pruning=null"]
    done = app.run(
        more=["hparams_search=more", "name=more", *two],
        all=["hparams_search=all", "name=all", *two],
        typed=["hparams_search=more", "name=typed", "wait_in=7", "++extra.new=1", *two],
        nowhere=["hparams_search=more", "name=nowhere", "extra.new=2"],
    )
    assert done["more"]["code"] == 1 and not (app.outputs / "train" / "more").exists()
    words = "error: hparams_search=more sets extra.new, wait_in, which best.yaml would not say: move it to "
    assert done["more"]["err"].startswith(words) and done["more"]["err"].count("\n") == 1
    assert done["nowhere"]["code"] == 1 and "hparams_search=more sets what best.yaml" in done["nowhere"]["err"]
    assert done["nowhere"]["err"].count("\n") == 1 and not (app.outputs / "train" / "nowhere").exists()
    for name in ("all", "typed"):
        assert done[name]["code"] == 0, done[name]["err"]
        best = (app.outputs / "train" / name / "best.yaml").read_text()
        assert "wait_in=7" in best and "pruning" not in best


def test_a_grid_asks_for_every_combination_once(searches):
    app, said = searches
    assert parameters(app.trials("grid")) == [(x, kind) for x in "012" for kind in "ab"]
    assert "6 trials" in said["grid"]["out"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("other_space", "another choice of x"),
        ("less_space", "another choice of x"),
        ("other_direction", "its direction is minimize, not maximize"),
        ("other_settings", "with seed=4 in one of them"),
        ("unknown_key", "there is no setting or group 'y'"),
        ("nothing", "nothing to search"),
        ("no_trials", "hydra.sweeper.n_trials=0 must be a whole number"),
        ("no_direction", "hydra.sweeper.direction=down: choose one of minimize, maximize"),
        ("no_grid", "a grid needs every value of x"),
    ],
)
def test_what_cannot_be_searched_is_one_line(searches, name, words):
    app, said = searches
    assert said[name]["code"] == 1
    assert words in said[name]["err"] and said[name]["err"].count("\n") == 1
    assert len(app.trials()) == 1
    assert not (app.outputs / "train" / "none").exists()


def test_one_process_at_a_time(app):
    from filelock import FileLock

    folder = app.outputs / "train" / "first"
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock"):
        second = app.run(second=[])["second"]
    assert "is at work in another process" in second["err"] and second["code"] == 1
    assert app.jobs() == []


@pytest.mark.parametrize("script", ["train", "backtest"])
def test_the_searches_there_are_compose(script):
    """Each with the first point of its space, and as a run that its job is told; best.yaml is of such overrides."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from kronos_lab.runs.folder import register_resolvers
    from kronos_lab.runs.search_files import to_type
    from kronos_lab.runs.search_space import parse_search_space
    from kronos_lab.runs.search_trial import told

    register_resolvers()
    (search,) = {"train": ["lr_blocks"], "backtest": ["sampling_strategy"]}[script]
    typed = [f"hparams_search={search}"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        sweeper = compose(script, typed, return_hydra_config=True).hydra.sweeper
        space = parse_search_space(sweeper.params, typed)
        overrides = space.overrides(space.example())
        of_job = compose(script, [*overrides, *told(3, Path("a folder's journal.log"))])
        plain = compose(script, to_type(overrides))
    assert (of_job.hparams_search.trial, of_job.hparams_search.storage) == (3, "a folder's journal.log")
    assert "hparams_search" not in plain and plain.get("objective") is None
    for key in space.free:
        assert OmegaConf.select(plain, key) == OmegaConf.select(of_job, key)
    assert of_job.objective and sweeper.direction in {"minimize", "maximize"}
    if script == "train":
        assert of_job.callbacks.pruning.trial == 3 and "progress" in of_job.callbacks


def test_a_search_without_m_is_refused():
    from omegaconf import OmegaConf

    from kronos_lab.runs.search_trial import refuse_search_of_one_run

    refuse_search_of_one_run(OmegaConf.create({}))
    refuse_search_of_one_run(OmegaConf.create({"hparams_search": {"trial": 0}}))
    with pytest.raises(InputError, match="type -m before it"):
        refuse_search_of_one_run(OmegaConf.create({"hparams_search": {"trial": None}}))
