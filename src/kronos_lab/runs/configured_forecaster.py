"""Forecaster and sampling as `conf/forecast/default.yaml` describes it."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from kronos_lab.forecasting.forecaster import Forecaster
from kronos_lab.forecasting.token_sampling import Sampling
from kronos_lab.models.predictor import Kronos
from kronos_lab.models.tokenizer import KronosTokenizer
from kronos_lab.runs.provenance import WindowSettings


def configured_sampling(forecast: Mapping[str, Any]) -> Sampling:
    """How tokens are drawn, of `forecast.*`; what the settings of an earlier run did not know yet has its default."""
    return Sampling(**{field.name: forecast[field.name] for field in fields(Sampling) if field.name in forecast})


def configured_forecaster(
    tokenizer: KronosTokenizer, predictor: Kronos, window: WindowSettings, forecast: Mapping[str, Any], **other: Any
) -> Forecaster:
    """A forecaster of these windows.

    Args:
        tokenizer: of the bars.
        predictor: of their tokens; takes on the precision.
        window: how bars are normalised.
        forecast: `forecast.*`.
        other: in place of what `forecast` has.
    """
    names = ("overflow", "hop", "dependency_rope", "anchor", "precision")
    settings = {name: forecast[name] for name in names} | other
    return Forecaster(tokenizer, predictor, clip=window.clip, rescale=window.rescale, **settings)
