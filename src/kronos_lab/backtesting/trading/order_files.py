"""An order list on disk and on the screen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kronos_lab.backtesting.trading.orders import NONE, OrderList
from kronos_lab.runs.summary import write_json

ORDERS_FILE, TARGET_FILE, JSON_FILE = "orders.csv", "target.csv", "orders.json"


def save_orders(folder: Path, plan: OrderList, warnings: Sequence[str], facts: Mapping[str, Any]) -> None:
    """Write `orders.csv`, `target.csv` and both together with everything they were made of as `orders.json`.

    Each file is whole or absent.

    Args:
        folder: the run folder.
        plan: what to write, see `OrderList`.
        warnings: what to know before giving the orders.
        facts: what else `orders.json` says: market, weights, settings.
    """
    for name, table in {TARGET_FILE: plan.target, ORDERS_FILE: plan.orders}.items():
        partial = folder / f"{name}.partial"
        _written(table).to_csv(partial, index=False, float_format="%.10g")
        partial.replace(folder / name)
    session = plan.session
    content = {
        "day": f"{session.day:%Y-%m-%d}",
        "next_session": f"{session.stamp:%Y-%m-%d}" if session.known else None,
        "cash": {"before": plan.cash_before, "after": plan.cash_after},
        "account": plan.account,
        "warnings": list(warnings),
        "orders": _records(plan.orders),
        "target": _records(plan.target),
        **facts,
    }
    write_json(folder / JSON_FILE, content)


def print_orders(plan: OrderList, warnings: Sequence[str]) -> None:
    """Warnings, the orders, and the cash before and after them, on the terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)  # a file cuts nothing short
    for warning in warnings:
        console.print(f"[yellow]{escape(warning)}[/]")
    table = Table(box=None)
    for column in ("symbol", "side", "shares", "price", "value", "cost", "limits", "reason"):
        is_text = column in {"symbol", "side", "reason"}
        table.add_column(column, justify="left" if is_text else "right", no_wrap=column != "reason")
    for order in _records(plan.orders):
        up, down = order["limit_up"], order["limit_down"]
        table.add_row(
            order["symbol"],
            order["side"],
            f"{order['shares']:,.15g}",
            f"{order['reference_price']:.6g}",
            f"{order['value']:,.0f}",
            f"{order['cost']:,.2f}",
            "" if up is None else f"{down:.2f} to {up:.2f}",
            escape(order["reason"]),
        )
    console.print(table if len(plan.orders) else "nothing to trade", highlight=False)
    given = plan.orders[plan.orders["side"] != NONE]
    console.print(
        f"{len(given)} orders for {plan.session.stamp:%Y-%m-%d}, at the closes of {plan.session.day:%Y-%m-%d}: cash "
        f"{plan.cash_before:,.0f} before, {plan.cash_after:,.0f} after, of an account of {plan.account:,.0f}",
        highlight=False,
    )


def _written(table: pd.DataFrame) -> pd.DataFrame:
    """Amounts of money in whole hundredths, shares without a decimal point where none is a fraction."""
    table = table.round({"value": 2, "cost": 2})
    return table.astype({"shares": "int64"}) if (table["shares"] % 1 == 0).all() else table


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = _written(table).itertuples(index=False, name=None)
    return [
        {str(name): None if pd.isna(value) else value for name, value in zip(table, row, strict=True)} for row in rows
    ]
