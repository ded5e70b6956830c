"""Where the time of a run went."""

import time


class Laps:
    """Seconds between one call and the next, by name; a name that comes again adds up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()

    def __call__(self, name: str) -> None:
        """What was done since the last call, or since the beginning, was `name`."""
        now = time.monotonic()
        self.seconds[name] = round(self.seconds.get(name, 0.0) + now - self._since, 2)
        self._since = now
