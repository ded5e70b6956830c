"""Many commands of one root script, in one process: importing torch and Lightning takes longer than any of them."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

DRIVER = """
import contextlib, io, json, runpy, sys
script, commands = sys.argv[1:]
results = {}
for name, arguments in json.loads(commands).items():
    sys.argv = [script, *arguments]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            code = end.code
        except BaseException as error:  # for the tests to see; the next commands run all the same
            code = repr(error)
    results[name] = {"code": code, "out": out.getvalue(), "err": err.getvalue()}
print("RESULTS" + json.dumps(results))
"""


def run_commands(script: str, commands: Mapping[str, Sequence[str]], folder: Path) -> dict[str, dict[str, Any]]:
    """Run a script once for each list of arguments, from `folder`: exit code, stdout and stderr by name."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(ROOT / script), json.dumps(commands)],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=600,  # against hanging alone: a busy machine takes its time
        check=False,
    )
    assert "RESULTS" in done.stdout, done.stderr
    return json.loads(done.stdout.split("RESULTS")[1])


def assert_refused(result: Mapping[str, Any], words: str) -> None:
    """Exit code 1, and one line that says so in these words."""
    assert result["code"] == 1, result
    assert result["err"].startswith("error: ") and result["err"].count("\n") == 1, result["err"]
    assert words in result["err"]
