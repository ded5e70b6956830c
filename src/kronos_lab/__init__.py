"""Kronos Lab: finetune the Kronos K-line models and backtest them on whole stock universes.

The three names of the original API are importable from here; they are loaded on first use, so that importing
`kronos_lab` costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kronos_lab.forecasting.kronos_predictor import KronosPredictor
    from kronos_lab.models.predictor import Kronos
    from kronos_lab.models.tokenizer import KronosTokenizer

__all__ = ["Kronos", "KronosPredictor", "KronosTokenizer"]

_HOME = {
    "Kronos": "kronos_lab.models.predictor",
    "KronosTokenizer": "kronos_lab.models.tokenizer",
    "KronosPredictor": "kronos_lab.forecasting.kronos_predictor",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
