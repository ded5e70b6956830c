import subprocess
import sys
import textwrap

import pytest

from kronos_lab.errors import InputError
from kronos_lab.runs.explanation import explain

SCRIPT = """
import sys
import hydra
from kronos_lab.errors import InputError
from kronos_lab.runs.errors import one_line_errors
from kronos_lab.runs.folder import register_resolvers

def make(size):
    if size < 0:
        raise InputError("size=-1 is negative:\\n give a positive one")
    if size == 7:
        raise RuntimeError("a bug")
    return size

register_resolvers()

@one_line_errors
@hydra.main(version_base="1.3", config_path="conf", config_name="job")
def main(cfg):
    if cfg.job == "interrupt":
        raise KeyboardInterrupt
    hydra.utils.instantiate(cfg.thing)
    cfg.needed

if __name__ == "__main__":
    main()
"""
CONFIG = """
defaults: [_self_, model: tiny]
hydra: {run: {dir: "${run_folder:out,job,demo}"}, output_subdir: null}
job: plain
needed: 1
debug: false
thing: {_target_: __main__.make, size: 1}
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    folder = tmp_path_factory.mktemp("job with space")
    (folder / "conf" / "model").mkdir(parents=True)
    (folder / "conf" / "model" / "tiny.yaml").write_text("width: 64\n")
    (folder / "conf" / "job.yaml").write_text(CONFIG)
    (folder / "job.py").write_text(textwrap.dedent(SCRIPT))

    def run(*arguments):
        command = [sys.executable, "job.py", *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)

    run.folder = folder
    return run


def test_a_good_run_says_nothing(script):
    done = script()
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("modle=tiny", "no setting or group 'modle'"),
        ("model.widht=3", "no setting or group 'model.widht'"),
        ("model=big", "model=big: choose one of tiny"),
        ("model=5", "model=5: a group takes the name of one of its options"),
        ("thing.size=-1", "size=-1 is negative: give a positive one"),
        ("+thing.sise=1", "unexpected keyword argument 'sise'"),
        ("needed=???", "needed"),
        ("job=[", "cannot read 'job=['"),
        ("hydra.run.dir=${run_folder:job.py,job,x}", "job.py/job: Not a directory; paths.outputs= puts runs elsewhere"),
        ("hydra.run.dir=${run_folder:out,job,a/b}", "name='a/b' cannot be a folder name"),
    ],
)
def test_bad_input_is_one_line_and_code_1(script, argument, words):
    done = script(argument)
    assert done.returncode == 1, done
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: "), done.stderr
    assert words in done.stderr


def test_a_refused_run_leaves_no_folder(script):
    made = script.folder / "out" / "job"
    before = sorted(made.glob("*"))
    assert script("thing.size=-1").returncode == 1
    assert sorted(made.glob("*")) == before
    assert script("thing.size=7").returncode == 1  # a bug: its log may say why
    assert len(sorted(made.glob("*"))) == len(before) + 1


def test_debug_shows_the_trace(script):
    done = script("thing.size=-1", "debug=true")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_a_bug_keeps_its_trace(script):
    done = script("thing.size=7")
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "a bug" in done.stderr


def test_interrupt_is_130(script):
    done = script("job=interrupt")
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_lightning_s_answer_to_wrong_arguments_is_one_line():
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    assert explain(MisconfigurationException("no such\ndevice")) == "no such device"


def test_what_is_no_input_error_is_not_explained():
    assert explain(RuntimeError("a bug")) is None
    assert explain(InputError("two\nlines")) == "two lines"
