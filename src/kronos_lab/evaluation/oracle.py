"""What can be known of the built-in market, as one more row of a comparison."""

import numpy as np

from kronos_lab.data import demo_market
from kronos_lab.data.demo_effect import oracle_table
from kronos_lab.errors import InputError
from kronos_lab.evaluation.manifest import Manifest


def oracle_scores(manifest: Manifest) -> np.ndarray:
    """The planted effect's own scores of the pairs, float64 [S]; NaN before a stock has 90 bars.

    Raises:
        InputError: the market has no such effect.
    """
    description = manifest.market.description
    if description.get("made_by") != demo_market.__name__ or description.get("name") != "demo":
        raise InputError(
            f"oracle=true: only of the built-in market with its effect (market=demo market.effect=on) is it known what "
            f"can be known, not of market {manifest.market.name}"
        )
    return manifest.take(oracle_table(manifest.bars))
