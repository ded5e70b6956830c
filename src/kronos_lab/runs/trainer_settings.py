"""`trainer.*`, Lightning's own arguments: what Lightning would take and stumble over later, and whose fault it is."""

from collections.abc import Mapping
from typing import Any

from kronos_lab.data.settings import positive_number, sound_number, switch, whole_number
from kronos_lab.errors import InputError

# Least value of what counts something. Lightning takes most of these as they come.
COUNTS = {
    "num_nodes": 1, "max_epochs": 1, "min_epochs": 0, "max_steps": 1, "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1, "log_every_n_steps": 0, "num_sanity_val_steps": 0,
}  # fmt: skip
NULL_IS_A_DEFAULT = COUNTS.keys() - {"num_nodes", "accumulate_grad_batches"}
NO_LIMIT = {("max_epochs", -1), ("max_steps", -1), ("num_sanity_val_steps", -1)}
NUMBERS_OF_BATCHES = (
    "limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches", "val_check_interval",
)  # fmt: skip
# What a run decides elsewhere: given here it would be overridden without a word.
DECIDED_ELSEWHERE = {
    "gradient_clip_val": "the bound belongs to a stage, optim.<stage>.gradient_clip=",
    "logger": "choose with logger=",
    "callbacks": "add them as +callbacks.<name>=",
    "plugins": "they are chosen by the run",
    "default_root_dir": "choose with paths.outputs= and name=",
}
SWITCHES = ("enable_progress_bar", "enable_model_summary", "detect_anomaly", "inference_mode", "benchmark")


def check_trainer_settings(settings: Mapping[str, Any]) -> None:
    """Refuse numbers that are none or make no sense.

    Raises:
        InputError: the line names `trainer.<key>`.
    """
    for key, value in settings.items():
        if key in DECIDED_ELSEWHERE:
            raise InputError(f"trainer.{key}={value} has no effect: {DECIDED_ELSEWHERE[key]}")
        if key == "strategy" and any(word in str(value) for word in ("spawn", "fork", "notebook")):
            raise InputError(f"trainer.{key}={value} copies a run that has begun: use ddp, which starts it once a rank")
        if key == "use_distributed_sampler" and value is not False:
            raise InputError(f"trainer.{key}={value} would deal out windows twice: leave it out")
        if key in COUNTS and not (value is None and key in NULL_IS_A_DEFAULT) and (key, value) not in NO_LIMIT:
            whole_number(f"trainer.{key}", value, COUNTS[key])
        elif key in NUMBERS_OF_BATCHES and value is not None and not _is_duration(value):
            positive_number(f"trainer.{key}", value)
        elif key == "overfit_batches":
            advice = "must be 0, Lightning would take its own order of windows: use data.windows_per_epoch=<a few>"
            sound_number(f"trainer.{key}", value, lambda number: number == 0, advice)
        elif key in SWITCHES and value is not None:
            switch(f"trainer.{key}", value)


def blame(settings: Mapping[str, Any], message: str) -> str:
    """Lightning's complaint with the setting it is about in front: the one whose name or value it mentions first."""
    message = " ".join(message.split())
    found, key = len(message), None
    for name, value in settings.items():
        for word in (name, value):
            place = message.lower().find(word.lower()) if isinstance(word, str) else -1
            if 0 <= place < found:
                found, key = place, name
    return f"trainer.*: {message}" if key is None else f"trainer.{key}={settings[key]}: {message}"


def _is_duration(value: Any) -> bool:
    return isinstance(value, str) and ":" in value  # as val_check_interval=00:01:00:00; Lightning reads it
