"""What a person sees when a run cannot go on: one clear line and an exit code, not a stack trace."""

import functools
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

from kronos_lab.errors import InputError, Interrupted
from kronos_lab.runs.folder import remove_refused_run
from kronos_lab.runs.job_process import end_with_sweep, leave_error_line
from kronos_lab.runs.lost_ranks import end_children
from kronos_lab.runs.shared_folder import environment_rank
from kronos_lab.runs.sweep import check_stopped, end_of_sweep, resume_sweep

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells count
# Hydra's words for model=foo, for an experiment of another script, and OmegaConf's before an error of `runs.folder`,
# which is called while it composes.
UNKNOWN_OPTION = re.compile(r"Could not find '(\S+)/(\S+)'\s+Available options in '\S+':\s+(.*?)\s+Config", re.DOTALL)
UNKNOWN_GROUP = re.compile(r"In '([^'/]+)/([^']+)': Could not override '([^']+)'\. No match in the defaults list")
# Groups whose `default` is no option, but what the options have in common.
SHARED_DEFAULT = {"model", "universe", "hparams_search"}
NO_NAME_OF_AN_OPTION = "Config group override must be a string"
NO_TARGET, HYDRA_ADVICE = "Error locating target", ", set env var HYDRA_FULL_ERROR=1 to see chained exception"
WHILE_COMPOSING = "InputError raised while resolving interpolation: "


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
            leave_error_line(line or f"{type(error).__name__}: {_one_line(str(error))}")
        raise error
    _leave(f"error: {line}", EXIT_ERROR)


def explain(error: BaseException) -> str | None:
    """The one line that says what the user should change, or None where the error is not about their input."""
    from hydra.errors import HydraException, InstantiationException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    chain = list(_causes(error))
    for cause in chain:
        # Lightning's answer to arguments that do not go together; known by name, as importing Lightning takes seconds.
        if isinstance(cause, InputError) or type(cause).__name__ == "MisconfigurationException":
            return _one_line(str(cause))
        if isinstance(cause, OSError) and cause.filename is not None:
            return f"{cause.filename}: {cause.strerror}"
    if isinstance(error, InstantiationException):
        message = str(error).replace(HYDRA_ADVICE, "")
        wrong_call = len(chain) == 1 or isinstance(chain[1], TypeError | ValueError) or message.startswith(NO_TARGET)
        return _one_line(message) if wrong_call else None
    if isinstance(error, OverrideParseException):
        key, _, value = str(error.override).partition("=")
        return (
            f"cannot read {error.override!r}: a value with unusual characters needs quotes twice, \"{key}='{value}'\""
        )
    if isinstance(error, HydraException | OmegaConfBaseException) or str(error).startswith(NO_NAME_OF_AN_OPTION):
        return _explain_composition(error, chain)
    return None


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


def _explain_composition(error: BaseException, chain: list[BaseException]) -> str:
    """A wrong key or value found while the configuration was composed or read."""
    message = str(error) or str(chain[-1])
    if message.startswith(NO_NAME_OF_AN_OPTION):
        return f"{_override_at(error)}: a group takes the name of one of its options; --help lists them"
    unknown = UNKNOWN_OPTION.search(message)
    if unknown:
        group, given, options = unknown[1], unknown[2], unknown[3].split()
        named = [option for option in options if option != "default" or group not in SHARED_DEFAULT]
        return f"{group}={given}: choose one of {', '.join(named)}"
    elsewhere = UNKNOWN_GROUP.search(message)
    if elsewhere:
        group, name, missing = elsewhere.groups()
        return f"{group}={name} is for another command: it chooses {missing}=, which this one does not have"
    if message.startswith(WHILE_COMPOSING):
        return message.removeprefix(WHILE_COMPOSING).splitlines()[0]
    if message.startswith("Could not override '") and ("Key '" in str(chain[-1]) or "No match" in message):
        key = message.split("'")[1]
        return f"there is no setting or group {key!r}; --help lists the groups, --cfg job every setting"
    details = [str(cause) for cause in chain[1:] if str(cause) not in message]
    return _one_line(": ".join([message, *details[:1]]))


def _override_at(error: BaseException) -> str:
    """The override Hydra was reading when it raised an error that does not name it."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    override = place.tb_frame.f_locals.get("override") if place else None
    return getattr(override, "input_line", None) or "an override"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, outermost first."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def _one_line(text: str) -> str:
    noise = ("full_key:", "object_type=", "reference_type=")  # OmegaConf's postscript
    lines = [line.strip() for line in text.splitlines()]
    full_key = next((line for line in lines if line.startswith("full_key:")), "").removeprefix("full_key:").strip()
    joined = " ".join(line for line in lines if line and not line.startswith(noise))
    return f"{joined} (at {full_key})" if full_key and full_key not in joined else joined


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
