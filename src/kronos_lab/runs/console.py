"""What reaches the screen of a run."""

import logging
import warnings

from rich.console import Console


def screen() -> Console:
    """Where tables are printed; a file that takes the place of a terminal is wide enough to cut nothing short."""
    console = Console()
    return console if console.is_terminal else Console(width=120)


def quiet_libraries() -> None:
    """Leave the screen to the run: from Lightning only warnings, those once, and not the one about its own code."""
    import lightning.pytorch

    logging.getLogger("lightning").handlers.clear()  # it prints to stderr what the run's log shows already
    for package in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(package).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", r".*LeafSpec.* is deprecated", module=r"lightning\.pytorch\.")  # its use of torch
    assert lightning.pytorch  # imported so that its own set-up of logging is over
