"""What somebody holds, read from a CSV file as a broker shows it."""

from pathlib import Path

import numpy as np
import pandas as pd

from kronos_lab.data.market import ALL, Market
from kronos_lab.data.readers import canonical_symbol, read_csv
from kronos_lab.data.settings import positive_number, sound_number
from kronos_lab.errors import InputError

REQUIRED, SESSIONS_HELD = ("symbol", "shares"), "sessions_held"


def no_holdings() -> pd.DataFrame:
    """All is cash; see `read_holdings`."""
    columns: dict[str, list[float]] = {"shares": [], SESSIONS_HELD: []}
    return pd.DataFrame(columns, index=pd.Index([], dtype=object, name="symbol"), dtype=float)


def read_holdings(
    holdings: Path | str, market: Market, day: pd.Timestamp, *, whole: bool = False
) -> tuple[pd.DataFrame, list[str]]:
    """Holdings at the close of a day, and what is to be said of them.

    Args:
        holdings: CSV file with the columns symbol (in any usual spelling), shares (as the market counts them, not
            adjusted), and perhaps sessions_held (closes since the purchase, that of its own session included); others
            are not read.
        market: where the names trade.
        day: the day.
        whole: whether shares are whole numbers, as they are where orders are of lots.

    Returns:
        Indexed by symbol, sorted: shares, unadjusted; sessions_held, infinite where the file does not say. Rows of no
        shares are left out.

    Raises:
        InputError: the file cannot be read or lacks a column; a line holds a symbol that the market does not have, has
            no bar of up to that day, or that came before, or a number that makes no sense.
    """
    file = Path(str(holdings)).expanduser()
    if not file.is_file():
        raise InputError(
            f"holdings={file} does not exist: give a CSV file of symbol, shares; holdings=null is all cash"
        )
    table = read_csv(
        file, dtype=str, skip_blank_lines=False, keep_default_na=False, encoding="utf-8-sig", index_col=False
    )
    table.columns = table.columns.str.strip().str.lower()
    missing = [name for name in REQUIRED if name not in table]
    if missing:
        has = ", ".join(table.columns)
        raise InputError(f"{file}: no column {missing[0]} (there are: {has}); its first line names symbol, shares")
    table = table.apply(lambda column: column.str.strip())
    table = table[(table != "").any(axis=1)]
    lines = [f"{file}, line {row + 2}" for row in table.index]  # the first line is that of the names
    symbols = _symbols(list(table["symbol"]), lines, market, day)
    places = [f"{line}: {symbol}" for line, symbol in zip(lines, symbols, strict=True)]
    shares = [_number(text, place, "shares", whole) for text, place in zip(table["shares"], places, strict=True)]
    said = list(table[SESSIONS_HELD]) if SESSIONS_HELD in table else [""] * len(table)
    sessions = [
        _number(text, place, SESSIONS_HELD) if text else np.inf for text, place in zip(said, places, strict=True)
    ]
    columns = {"shares": shares, SESSIONS_HELD: sessions}
    held = pd.DataFrame(columns, index=pd.Index(symbols, dtype=object, name="symbol"), dtype=float)
    held = held[held["shares"] > 0].sort_index()
    unsaid = int(np.isinf(held[SESSIONS_HELD]).sum())
    if not unsaid:
        return held, []
    return held, [f"{unsaid} of {len(held)} holdings without {SESSIONS_HELD}: taken as held long enough to be sold"]


def cash_beside(cash: object, held: pd.DataFrame, account: object) -> tuple[float, list[str]]:
    """Cash in currency, and what is to be said of it.

    Args:
        cash: as typed; None: all of `account` where nothing is held, otherwise none.
        held: see `read_holdings`.
        account: what a backtest begins with.

    Raises:
        InputError: it is no amount, or there is nothing at all.
    """
    if cash is not None:
        amount = sound_number("cash", cash, lambda amount: amount >= 0, "is no amount of money, from 0 on")
        if not amount and held.empty:
            raise InputError("neither cash nor a holding: give cash=<amount>, or holdings=<csv>")
        return amount, []
    if held.empty:
        return positive_number("backtest.account", account), []
    return 0.0, ["cash=null: none beside the holdings, only the proceeds of sales can be spent"]


def _symbols(given: list[str], lines: list[str], market: Market, day: pd.Timestamp) -> list[str]:
    known = market.symbols(ALL)
    line_of: dict[str, str] = {}
    for name, line in zip(given, lines, strict=True):
        symbol = canonical_symbol(name)
        if symbol not in known:
            like = [one for one in known if symbol.isdigit() and one.endswith(symbol)]
            write = f": write {' or '.join(like)}" if like else ""
            raise InputError(f"{line}: market {market.name} has no symbol {name!r}{write}")
        if symbol in line_of:
            earlier = line_of[symbol].rsplit(", ", maxsplit=1)[-1]
            raise InputError(f"{line}: {symbol} stands in {earlier} already: add the two up")
        line_of[symbol] = line
    symbols = list(line_of)
    begun = market.wide(["close"], symbols, end=day)["close"].notna().any()
    for symbol, line in line_of.items():
        if not begun[symbol]:
            raise InputError(f"{line}: {symbol} has no bar up to {day:%Y-%m-%d} in market {market.name}")
    return symbols


def _number(text: str, where: str, name: str, whole: bool = False) -> float:
    value = pd.to_numeric(text, errors="coerce")
    if not np.isfinite(value) or value < 0:
        raise InputError(f"{where}: {name} {text!r} is no number from 0 on; write it plainly, as 1200")
    if whole and value % 1:
        raise InputError(f"{where}: {name} {text!r} is no whole number, and orders here are of whole shares")
    return float(value)
