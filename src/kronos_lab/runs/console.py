"""What reaches the screen of a run."""

import logging


def quiet_libraries() -> None:
    """Leave the screen to the run: from Lightning only warnings, and those once."""
    import lightning.pytorch

    logging.getLogger("lightning").handlers.clear()  # it prints to stderr what the run's log shows already
    for package in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(package).setLevel(logging.WARNING)
    assert lightning.pytorch  # imported so that its own set-up of logging is over
