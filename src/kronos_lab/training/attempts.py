"""The processes a run has taken: how long each worked, as far as its checkpoints tell."""

import json
import time
from pathlib import Path

from kronos_lab.runs.summary import write_json

ATTEMPTS_FILE = "attempts.json"


class Attempts:
    """Keeps `<run>/checkpoints/attempts.json`: when each process of a run began and how many seconds it worked.

    What a process did after its last checkpoint, before it was killed, is done again by the next and not counted.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path, self.started = folder / "checkpoints" / ATTEMPTS_FILE, time.time()
        self._earlier = _read(self.path)

    @property
    def earlier_seconds(self) -> float:
        """Seconds that earlier processes of this run worked."""
        return sum(attempt["seconds"] for attempt in self._earlier)

    @property
    def number(self) -> int:
        """How many processes this run has taken, as far as they came to a checkpoint; this one included."""
        return len(self._earlier) + 1

    def note(self) -> None:
        """Write down how long this process has worked."""
        this = {"started": round(self.started, 1), "seconds": round(time.time() - self.started, 1)}
        write_json(self.path, {"attempts": [*self._earlier, this]})


def _read(path: Path) -> list[dict[str, float]]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["attempts"]
    except (OSError, ValueError, KeyError):
        return []
