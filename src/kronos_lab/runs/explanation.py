"""What an error means for the person who typed the command: one line, where it is about what was typed."""

import re
from collections.abc import Iterator

from kronos_lab.errors import InputError

# Hydra's words for model=foo, for an experiment of another script, and OmegaConf's before an error of `runs.folder`,
# which is called while it composes.
UNKNOWN_OPTION = re.compile(r"Could not find '(\S+)/(\S+)'\s+Available options in '\S+':\s+(.*?)\s+Config", re.DOTALL)
UNKNOWN_GROUP = re.compile(r"In '([^'/]+)/([^']+)': Could not override '([^']+)'\. No match in the defaults list")
# Groups whose `default` is no option, but what the options have in common.
SHARED_DEFAULT = {"model", "universe", "hparams_search"}
NO_NAME_OF_AN_OPTION = "Config group override must be a string"
NO_TARGET, HYDRA_ADVICE = "Error locating target", ", set env var HYDRA_FULL_ERROR=1 to see chained exception"
WHILE_COMPOSING = "InputError raised while resolving interpolation: "
NO_FOLDER = re.compile(r"Error raised while resolving interpolation: \[Errno \d+\] (.*?): '(.*?)'")


def explain(error: BaseException) -> str | None:
    """The one line that says what the user should change, or None where the error is not about their input."""
    from hydra.errors import HydraException, InstantiationException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    chain = list(_causes(error))
    for cause in chain:
        # Lightning's answer to arguments that do not go together; known by name, as importing Lightning takes seconds.
        if isinstance(cause, InputError) or type(cause).__name__ == "MisconfigurationException":
            return one_line(str(cause))
        if isinstance(cause, OSError) and cause.filename is not None:
            return f"{cause.filename}: {cause.strerror}"
    if isinstance(error, InstantiationException):
        message = str(error).replace(HYDRA_ADVICE, "")
        wrong_call = len(chain) == 1 or isinstance(chain[1], TypeError | ValueError) or message.startswith(NO_TARGET)
        return one_line(message) if wrong_call else None
    if isinstance(error, OverrideParseException):
        key, _, value = str(error.override).partition("=")
        return (
            f"cannot read {error.override!r}: a value with unusual characters needs quotes twice, \"{key}='{value}'\""
        )
    if isinstance(error, HydraException | OmegaConfBaseException) or str(error).startswith(NO_NAME_OF_AN_OPTION):
        return _explain_composition(error, chain)
    return None


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
    if said := _said_by_resolver(message):
        return said
    if message.startswith("Could not override '") and ("Key '" in str(chain[-1]) or "No match" in message):
        key = message.split("'")[1]
        return f"there is no setting or group {key!r}; --help lists the groups, --cfg job every setting"
    details = [str(cause) for cause in chain[1:] if str(cause) not in message]
    return one_line(": ".join([message, *details[:1]]))


def _said_by_resolver(message: str) -> str | None:
    """What `runs.folder`, which is called while the configuration is composed, had to say."""
    if message.startswith(WHILE_COMPOSING):
        return message.removeprefix(WHILE_COMPOSING).splitlines()[0]
    no_folder = NO_FOLDER.search(message)
    return f"{no_folder[2]}: {no_folder[1]}; paths.outputs= puts runs elsewhere" if no_folder else None


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


def one_line(text: str) -> str:
    """A message of several lines as one, without OmegaConf's postscript but for the key it names."""
    noise = ("full_key:", "object_type=", "reference_type=")  # OmegaConf's postscript
    lines = [line.strip() for line in text.splitlines()]
    full_key = next((line for line in lines if line.startswith("full_key:")), "").removeprefix("full_key:").strip()
    joined = " ".join(line for line in lines if line and not line.startswith(noise))
    return f"{joined} (at {full_key})" if full_key and full_key not in joined else joined
