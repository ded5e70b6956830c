"""Exposures that bars do not tell, size and industry among them, from a table of the user's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from kronos_lab.data.readers import (
    KNOWN_NAMES,
    as_numbers,
    as_stamps,
    canonical_symbol,
    column_names,
    load_columns,
)
from kronos_lab.errors import InputError

ALWAYS = pd.Timestamp("1900-01-01")  # what has no date is taken as known ever since


@dataclass(frozen=True)
class GivenExposures:
    """Some columns of a table of symbols, perhaps dated.

    Attributes:
        file: where they were read.
        dated: whether the file says from which day on each row is known.
        values: indexed by (date, symbol), sorted; numbers as float64, text as categories.
    """

    file: Path
    dated: bool
    values: pd.DataFrame

    def frames(self, name: str, days: pd.DatetimeIndex, symbols: Sequence[str]) -> list[pd.DataFrame]:
        """One column as exposures, each [L, N], days × symbols: what was last known of a name up to each day.

        A number is an exposure, in its own unit. Text is a category: there is an exposure for each but the first, 1 for
        the names in it and 0 for the others. NaN where nothing is known yet.
        """
        column = self.values[name].dropna()
        categories = isinstance(column.dtype, pd.CategoricalDtype)
        number = column.cat.codes.astype(float) if categories else column
        dated_LN = number.unstack("symbol").reindex(columns=pd.Index(symbols)).ffill()
        known_LN = dated_LN.reindex(days, method="ffill")
        if not categories:
            return [known_LN]
        present = sorted(number.unique())
        return [known_LN.eq(one).astype(float).where(known_LN.notna()) for one in present[1:]]

    def check(self, names: Sequence[str], member_LN: pd.DataFrame, universe: str) -> list[str]:
        """What is to be said of these columns before scores are made neutral to them.

        Args:
            names: of the columns.
            member_LN: whether a symbol is a member, bool, rows are signal days.
            universe: its name.

        Raises:
            InputError: one of them is known of no member on any day.
        """
        found = []
        if not self.dated:
            found.append(
                f"{self.file} has no date: its {', '.join(names)} may not have been known on the days they are used on"
            )
        for name in names:
            column = self.values[name].dropna().groupby("symbol").head(1)
            first_N = pd.Series(column.index.get_level_values("date"), column.index.get_level_values("symbol"))
            first_N = first_N.reindex(member_LN.columns)
            known_LN = pd.DataFrame({symbol: member_LN.index >= day for symbol, day in first_N.items()})
            share = known_LN.to_numpy()[member_LN.to_numpy()].mean()
            if not share:
                like = self.values.index.get_level_values("symbol")[0]
                raise InputError(
                    f"{self.file}: {name} is known of no member of {universe} on any signal day; its symbols are like "
                    f"{like}, those of the universe like {member_LN.columns[0]}"
                )
            if share < 1:
                found.append(
                    f"{self.file}: {name} is unknown of {1 - share:.1%} of the members: they have no score then"
                )
        return found


def read_exposures(file: Path, names: Sequence[str], taken: Sequence[str]) -> GivenExposures:
    """Columns of a CSV or Parquet file with a column of symbols (in any usual spelling), and perhaps one of dates.

    Args:
        file: to read.
        names: of the columns; those in `taken` need not be there.
        taken: names that mean something else already.

    Raises:
        InputError: the file cannot be read or lacks a column, a name is taken, a row has no symbol or comes twice.
    """
    if not file.is_file():
        raise InputError(
            f"cross_section.exposures={file} does not exist: give a CSV or Parquet file of symbol, date, size, ..."
        )
    present = column_names(file)
    by_lower = {name.lower(): name for name in reversed(present)}
    symbol, date = (
        next((by_lower[name] for name in KNOWN_NAMES[field] if name in by_lower), None) for field in ("symbol", "stamp")
    )
    if symbol is None:
        raise InputError(f"{file}: no column symbol (there are: {', '.join(present)})")
    offered = [name for name in present if name not in (symbol, date)]
    both = sorted(set(offered) & set(taken))
    if both:
        raise InputError(f"{file}, column {both[0]}: bars tell {both[0]} already, give it another name")
    wanted = [name for name in names if name not in taken]
    for name in wanted:
        if name not in offered:
            choose = f"choose any of [{', '.join([*taken, *offered])}], [] for none"
            raise InputError(
                f"cross_section.neutralise: {name} is neither told by bars nor a column of {file}: {choose}"
            )
    keys = {"symbol": symbol} | ({"stamp": date} if date else {})
    rows = load_columns(file, keys | {name: name for name in wanted})
    if rows[symbol].isna().any():
        raise InputError(f"{file}, column {symbol}: row {int(rows[symbol].isna().argmax())} is empty")
    names_of_row = [canonical_symbol(str(name)) for name in rows[symbol]]
    dates = as_stamps(file, rows[date]).dt.normalize() if date else pd.Series(ALWAYS, rows.index)
    index = pd.MultiIndex.from_arrays([dates, names_of_row], names=["date", "symbol"])
    twice = index.duplicated()
    if twice.any():
        day, again = index[int(twice.argmax())]
        when = f" on {day:%Y-%m-%d}" if date else ", and no column says when it is known (date)"
        raise InputError(f"{file}: {again} comes twice{when}")
    values = pd.DataFrame({name: _values(file, rows[name]) for name in wanted}).set_axis(index, axis=0)
    return GivenExposures(file, date is not None, values.sort_index())


def _values(file: Path, column: pd.Series) -> pd.Series:
    """A column of numbers as float64, any other as categories, those of blanks left out."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        numbers = pd.Series(as_numbers(file, column), column.index)
        return numbers.where(numbers.abs() < float("inf"))
    text = column.astype("string").str.strip()
    return text.where(text != "").astype("category")
