"""Lightning's Trainer, made when both of two jobs want one: they come to their forecasts at the same moment."""

import os
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

FOLDER_VARIABLE = "TEST_MEETING_FOLDER"


def meet(**settings: Any) -> Trainer:
    """A Trainer, for `trainer._target_=meeting_trainer.meet`."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    (folder / str(os.getpid())).touch()
    until = time.monotonic() + 100
    while len(list(folder.iterdir())) < 2:
        if time.monotonic() > until:
            raise TimeoutError("the other job does not come")
        time.sleep(0.01)
    return Trainer(**settings)
