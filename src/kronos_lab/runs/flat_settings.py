"""Settings of runs by dotted name, to be told apart."""

from collections.abc import Mapping
from typing import Any

# Of a run, what changes neither its weights nor its forecasts; its market is known by fingerprint.
NOT_DECISIVE = {
    "paths", "market", "logger", "name", "debug", "resume", "kind", "evaluation", "figures", "from_run", "objective",
    "hparams_search",
}  # fmt: skip


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name; lists are values."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
