from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from kronos_lab.errors import InputError
from kronos_lab.runs.folder import (
    find_folder,
    load_config,
    new_folder,
    project_root,
    register_resolvers,
    remove_refused_run,
    run_folder,
    save_config,
)


def test_project_root_holds_the_root_scripts():
    assert (project_root() / "pyproject.toml").is_file()


def test_a_second_run_of_the_same_name_gets_its_own_folder(tmp_path):
    folders = [run_folder(str(tmp_path), "train", "demo") for _ in range(3)]
    assert [folder.removeprefix(f"{tmp_path}/train/") for folder in folders] == ["demo", "demo-2", "demo-3"]


def test_a_folder_is_found_by_its_path_its_name_and_from_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("here", "all/named", "all/here"):
        Path(folder).mkdir(parents=True)
    among = tmp_path / "all"
    assert find_folder("here", among) == Path("here") and find_folder("named", among) == among / "named"
    assert find_folder("conf/model", among) == project_root() / "conf" / "model"  # as outputs/train/<run>
    assert find_folder(str(tmp_path / "here"), among) == tmp_path / "here" and find_folder("gone", among) is None
    (among / "here" / "summary.json").touch()
    assert find_folder("here", among, holding="summary.json") == among / "here"  # the one at hand is no run


def test_a_name_may_be_a_number(tmp_path):
    register_resolvers()
    cfg = OmegaConf.create({"out": str(tmp_path), "name": 20240701, "dir": "${run_folder:${out},train,${name}}"})
    assert cfg.dir == str(tmp_path / "train" / "20240701")
    with pytest.raises(InputError, match="is not the folder of a run"):
        run_folder(str(tmp_path), "train", 1, 20240701)
    (tmp_path / "train" / "20240701" / "config.yaml").touch()
    assert run_folder(str(tmp_path), "train", 1, 20240701) == cfg.dir


def test_runs_that_start_at_the_same_moment_never_share_a_folder(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        folders = list(pool.map(lambda _: new_folder(tmp_path, "demo"), range(64)))
    assert len(set(folders)) == 64


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../up"])
def test_a_name_that_leaves_the_outputs_folder_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="name="):
        new_folder(tmp_path, name)


def test_resume_and_the_environment_name_an_existing_folder(tmp_path, monkeypatch):
    old = tmp_path / "train" / "old"
    with pytest.raises(InputError, match="is not the folder of a run"):
        run_folder(str(tmp_path), "train", "demo", str(old))
    assert not old.exists()
    old.mkdir(parents=True)
    (old / "config.yaml").touch()
    for resume in (str(old), "old"):  # by path, or by name
        assert run_folder(str(tmp_path), "train", "demo", resume) == str(old)
    monkeypatch.setenv("KRONOS_LAB_RUN_DIR", str(tmp_path / "told"))
    assert run_folder(str(tmp_path), "train", "demo") == str(tmp_path / "told")


def test_ranks_started_one_by_one_must_be_told_their_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(InputError, match="KRONOS_LAB_RUN_DIR"):
        run_folder(str(tmp_path), "train", "demo")
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.delenv("RANK")
    monkeypatch.setenv("NODE_RANK", "1")  # the second of two nodes, by hand
    with pytest.raises(InputError, match="KRONOS_LAB_RUN_DIR"):
        run_folder(str(tmp_path), "train", "demo")
    assert not (tmp_path / "train").exists()


def test_ranks_of_a_slurm_job_meet_in_one_folder_and_again_when_it_is_requeued(tmp_path, monkeypatch):
    for name, value in {"SLURM_NTASKS": "2", "SLURM_JOB_ID": "77", "SLURM_STEP_ID": "0"}.items():
        monkeypatch.setenv(name, value)

    def folder(rank, name):
        monkeypatch.setenv("SLURM_PROCID", str(rank))
        return run_folder(str(tmp_path), "train", name)

    monkeypatch.setattr("kronos_lab.runs.shared_folder.SECONDS_TO_MEET", 0.5)
    with pytest.raises(InputError, match=r"rank 1 does not see the run folder of rank 0.*paths.outputs"):
        folder(1, "a")
    first = folder(0, "at noon")
    assert first == str(tmp_path / "train" / "at noon")
    assert folder(1, "a second later") == first
    assert folder(0, "an hour later") == folder(1, "an hour later") == first
    Path(first, "summary.json").touch()  # finished: a new job with an old number
    assert folder(0, "next year") == folder(1, "next year") == str(tmp_path / "train" / "next year")
    assert not list(tmp_path.rglob("*.partial"))


def test_a_refused_run_is_removed_unless_it_holds_something(tmp_path, monkeypatch):
    def begin(name, *files):
        folder = Path(run_folder(str(tmp_path), "train", name))
        for file in ("config.yaml", "train.log", "csv/version_0/hparams.yaml", *files):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).touch()
        return folder

    for name, files in {
        "settings only": (),
        "trained": ("checkpoints/tokenizer-last.ckpt",),
        "exported": ("predictor/config.json",),
        "forecast": ("forecasts/part.parquet",),
    }.items():
        folder = begin(name, *files)
        remove_refused_run()
        assert folder.exists() == bool(files), name

    resumed = tmp_path / "train" / "resumed"
    resumed.mkdir()
    (resumed / "config.yaml").touch()
    run_folder(str(tmp_path), "train", "any", "resumed")
    monkeypatch.setenv("KRONOS_LAB_RUN_DIR", str(resumed))
    run_folder(str(tmp_path), "train", "any")
    remove_refused_run()
    assert resumed.is_dir()  # it was there before


def test_reading_the_folder_twice_creates_one(tmp_path):
    register_resolvers()
    cfg = OmegaConf.create({"outputs": str(tmp_path), "dir": "${run_folder:${outputs},train,demo}"})
    assert cfg.dir == cfg.dir
    assert [path.name for path in (tmp_path / "train").iterdir()] == ["demo"]


def test_config_is_saved_resolved_and_read_back(tmp_path):
    save_config(tmp_path, OmegaConf.create({"a": 1, "b": "${a}"}))
    assert load_config(tmp_path) == {"a": 1, "b": 1}
    with pytest.raises(InputError, match="not the folder of a run"):
        load_config(tmp_path / "nowhere")
