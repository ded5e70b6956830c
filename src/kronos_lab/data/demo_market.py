"""The built-in market: about 2,600 stocks × 1,500 sessions that anyone can generate, with one effect to be found.

It has what an A-share market has: boards with limits of 10 and 20 %, listings, delistings, suspensions, dividends and
splits, index memberships that change twice a year, price indices, opening gaps, volatility that clusters and trading
that follows it. One thing in it can be predicted, planted and explicit: **heavy trading weighs on the price.** The log
return of a bar from open to close is moved by

    − STRENGTH · volatility · abnormal volume

where the abnormal volume is a mean of the ten volumes before it, normalised by the 90 before it, the last ones weighing
most, and the volatility is that of the 90 (`demo_effect`): a volume acts on each of the ten bars after it, and the 90
bars are what a model with a lookback of 90 sees. `demo_effect.oracle_score` is this formula: over ten sessions, open to
open, its rank IC is between 0.05 and 0.08 in csi300, csi500 and all. The direction of past prices tells nothing:
reversal, momentum and a forecast of the lookback's mean (to which an untrained model is close) rank the stocks by
chance.
`effect="off"` is the same noise, trading and suspensions without the effect; every score then has a rank IC of 0, up
to chance.

Log returns are symmetric, which keeps ranks free of skew. The mean of a simple return then grows with half the
variance: portfolios of volatile stocks earn more than the average stock, with the effect and without it. What a signal
is worth shows in its rank IC, and in the same backtest with `effect="off"`.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kronos_lab.data.bars import FIELDS, PRICES, amount_from_volume
from kronos_lab.data.demo_indices import INDICES, TIERS, draw_tiers, membership_spans, price_index
from kronos_lab.data.demo_prices import Simulation, simulate
from kronos_lab.data.demo_stocks import DemoSize, demo_calendar, draw_stocks
from kronos_lab.data.market import Market
from kronos_lab.data.store import MARKET_JSON, StoreWriter, store_lock
from kronos_lab.errors import InputError

VERSION = 2  # of what is generated; a store of another one is made again
FULL_SIZE = DemoSize()


def demo_market(
    store: Path | str,
    effect: str = "on",
    seed: int = 4,
    cache: Path | str | None = None,
    size: DemoSize = FULL_SIZE,
) -> Market:
    """Open the demo market in `store`; where it is missing or was made with other arguments, generate it first.

    Args:
        store: its folder.
        effect: "on", or "off" for the same noise without anything to predict.
        seed: of all draws.
        cache: folder for memory-mapped bars.
        size: how large it is; smaller ones are for tests.

    Returns:
        The market, named `demo`, or `demo_effect_off`.

    Raises:
        InputError: an effect that is neither of the two, or a folder that holds something else.
    """
    if effect not in ("on", "off"):
        raise InputError(f'market.effect={effect}: write on or off (in YAML with quotes: "on", "off")')
    store = Path(store)
    made_with = {"version": VERSION, "effect": effect, "seed": seed, "size": asdict(size)}
    if not _is_made_with(store, made_with):
        with store_lock(store):  # of several ranks that arrive here together one generates, the others wait
            if not _is_made_with(store, made_with):
                _generate(store, made_with, size, effect == "on", seed)
    return Market(store, cache=cache)


def _is_made_with(store: Path, made_with: dict[str, Any]) -> bool:
    described = store / MARKET_JSON
    if described.is_file():
        earlier = json.loads(described.read_text()).get("made_with")
        if earlier is not None:
            return bool(earlier == json.loads(json.dumps(made_with)))  # JSON knows no tuples
    if store.exists():
        raise InputError(f"{store} holds something else than a demo market: choose another folder with market.store")
    return False


def _generate(store: Path, made_with: dict[str, Any], size: DemoSize, with_effect: bool, seed: int) -> None:
    from rich.progress import Progress

    calendar, future = demo_calendar(size.sessions)
    stocks = draw_stocks(size, calendar, np.random.default_rng([seed, 0]))
    simulation = simulate(stocks, calendar, np.random.default_rng([seed, 1]), with_effect)
    tier_LN = draw_tiers(simulation, calendar, size.index_members)
    with StoreWriter(store, calendar, future) as writer:
        fields = _store_fields(simulation)
        with Progress(transient=True) as progress:
            for n, symbol in enumerate(progress.track(stocks.symbols, description="demo market: writing")):
                bars = {field: values_LN[:, n] for field, values_LN in fields.items()}
                writer.add(symbol, pd.DataFrame(bars, index=calendar))
        for universe, tiers in TIERS.items():
            writer.add_spans(universe, membership_spans(np.isin(tier_LN, tiers), calendar, stocks.symbols))
        for index, universe in INDICES.items():
            writer.add(index, price_index(simulation, np.isin(tier_LN, TIERS[universe]), calendar))
        name = "demo" if with_effect else "demo_effect_off"
        writer.finish({"name": name, "indices": list(INDICES), "made_by": __name__, "made_with": made_with})


def _store_fields(simulation: Simulation) -> dict[str, np.ndarray]:
    """The store's fields, each [L, N]: prices times factor, volume by factor, traded value."""
    raw = {field: getattr(simulation, f"{field}_LN") for field in (*PRICES, "volume", "limit_up", "limit_down")}
    factor_LN = simulation.factor_LN
    adjusted = {field: values_LN * factor_LN for field, values_LN in raw.items() if field != "volume"}
    return adjusted | {
        "volume": raw["volume"] / factor_LN,
        "amount": amount_from_volume(*(raw[field] for field in FIELDS[:5])),
        "factor": factor_LN,
        "change": simulation.change_LN,
    }
