"""qlib's one global data provider: point it at a store, quietly, and only when it is not there already."""

import os
import sys
from pathlib import Path

_served: tuple[str, str] | None = None  # store and fingerprint that qlib's memory caches belong to


def serve(store: Path, fingerprint: str) -> None:
    """Make qlib read `store` in this process; a later call with another store, or other content, moves it there.

    One kernel: our reads are small and sequential, and qlib's process pool costs more than it saves.
    """
    global _served  # noqa: PLW0603  qlib's provider is a global too; this mirrors it
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import logging

    import qlib
    from qlib.config import C

    provider = str(store.resolve())
    if C.registered and _served == (provider, fingerprint) and provider in C["provider_uri"].values():
        return
    hook = sys.excepthook
    qlib.init(provider_uri=provider, region="cn", kernels=1, logging_level=logging.ERROR)
    sys.excepthook = hook  # qlib installs its own, which prints errors twice
    _served = (provider, fingerprint)
