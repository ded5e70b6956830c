"""What a person sees when a run cannot go on: one clear line and an exit code, not a stack trace."""

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from kronos_lab.errors import Interrupted
from kronos_lab.runs.explanation import explain, one_line
from kronos_lab.runs.folder import remove_refused_run
from kronos_lab.runs.job_process import end_with_sweep, leave_error_line
from kronos_lab.runs.lost_ranks import end_children
from kronos_lab.runs.shared_folder import environment_rank
from kronos_lab.runs.sweep import check_stopped, end_of_sweep, resume_sweep

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells count


def one_line_errors(main: Callable[[], None]) -> Callable[[], None]:
    """Decorate a `hydra.main` function: bad input, a wrong key, Ctrl-C end in one line on stderr.

    Exit code 1 for errors, 130 for Ctrl-C, 128 and its number for another signal. `debug=true` on the command line
    shows the stack trace. An exception that is no answer to something the user gave is a bug, and keeps its trace. A
    run that was refused before it did anything leaves no folder behind.
    """

    @functools.wraps(main)
    def run() -> None:
        _let_hydra_raise()
        end_with_sweep()
        try:
            resume_sweep()
            try:
                main()
            except Exception:  # of a launcher whose processes were told to stop
                check_stopped()
                raise
            finally:
                end_of_sweep()
        except KeyboardInterrupt as error:
            _leave_interrupted(error)
        except SystemExit as error:
            # Lightning answers Ctrl-C by tidying up and exiting with code 1.
            if isinstance(error.__context__, KeyboardInterrupt):
                _leave_interrupted(error.__context__)
            if isinstance(error.__cause__, Exception):  # Hydra ended by `runs.sweep`
                _leave_explained(error.__cause__)
            raise
        except Exception as error:  # every kind is looked at here, and the unknown ones go on as they are
            _leave_explained(error)

    return run


def _leave_explained(error: Exception) -> None:
    line = explain(error)
    if line is not None:
        remove_refused_run()
    if line is None or _debug():
        if not environment_rank():
            leave_error_line(line or f"{type(error).__name__}: {one_line(str(error))}")
        raise error
    _leave(f"error: {line}", EXIT_ERROR)


def _let_hydra_raise() -> None:
    """Have Hydra hand errors on; by itself it prints them, and a line with the overrides before each.

    The error of a job of a sweep is its return value, and not raised: the sweep goes on, unless it was asked to stop.
    """
    from hydra.core.utils import JobReturn, JobStatus
    from hydra.types import RunMode

    def result(job: JobReturn) -> Any:
        if job.status == JobStatus.FAILED:
            if job.hydra_cfg is None or job.hydra_cfg.hydra.mode != RunMode.MULTIRUN:
                raise job._return_value
            check_stopped()
        return job._return_value

    os.environ["HYDRA_FULL_ERROR"] = "1"
    # There is no setting for that line, and the property that writes it is the only way to the result.
    JobReturn.return_value = property(result, JobReturn.return_value.fset)  # type: ignore[attr-defined, assignment]


def _leave_interrupted(error: KeyboardInterrupt) -> None:
    if environment_rank():  # rank 0 says it
        sys.exit(EXIT_INTERRUPTED)
    code = 128 + error.number if isinstance(error, Interrupted) else EXIT_INTERRUPTED
    _leave(str(error) or "interrupted", code)


def _leave(line: str, code: int) -> None:
    rank = environment_rank()
    end_children()
    if not rank:
        leave_error_line(line.removeprefix("error: "))
    print(f"[rank {rank}] {line}" if rank else line, file=sys.stderr, flush=True)
    sys.exit(code)


def _debug() -> bool:
    # Read from the command line: an error while composing comes before there is a configuration to ask.
    return any(argument.lower() == "debug=true" for argument in sys.argv[1:])
