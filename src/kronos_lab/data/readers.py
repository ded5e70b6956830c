"""Reads what people have: bars in CSV or Parquet, one file or a folder of them, and files of dated memberships.

Everything leaves here in one shape, and everything that cannot be read is one line that names file and column.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from kronos_lab.data.bars import PRICES
from kronos_lab.data.limits import raw_from_float32
from kronos_lab.errors import InputError

SUFFIXES = (".csv", ".csv.gz", ".parquet")

# Names under which files hold what is meant, tried in this order, in any case; others are mapped by the user.
KNOWN_NAMES = {
    "symbol": ("symbol", "code", "ts_code", "instrument", "ticker"),
    "stamp": ("stamp", "datetime", "timestamp", "timestamps", "date", "trade_date", "time", "trade_time"),
    **{price: (price,) for price in PRICES},
    "volume": ("volume", "vol"),
    "amount": ("amount", "money"),
    "factor": ("factor", "adj_factor", "adjfactor"),
    "st": ("st", "is_st", "isst"),
}
_REQUIRED = ("stamp", *PRICES, "volume")

_EXCHANGES = {"SH": "SH", "SS": "SH", "XSHG": "SH", "SZ": "SZ", "XSHE": "SZ", "BJ": "BJ", "BSE": "BJ"}
_EXCHANGE = f"(?P<exchange>{'|'.join(_EXCHANGES)})"
_SPELLINGS = (
    re.compile(rf"{_EXCHANGE}[._-]?(?P<digits>\d{{6}})"),  # SH600000, sh.600000
    re.compile(rf"(?P<digits>\d{{6}})[._-]?{_EXCHANGE}"),  # 600000.SH, 600000.XSHG
    re.compile(rf"{_EXCHANGE}_\w+_(?P<digits>\d{{6}})"),  # XSHG_5min_600000
)


def canonical_symbol(name: str) -> str:
    """A symbol as qlib and the membership files spell it: SH600000 for every usual spelling of a Chinese code.

    Others are upper-cased, with `_` for what a folder name cannot hold. Six digits alone stay as they are: which
    exchange they mean is not for this function to guess.
    """
    upper = name.strip().upper()
    for spelling in _SPELLINGS:
        match = spelling.fullmatch(upper)
        if match:
            return _EXCHANGES[match["exchange"]] + match["digits"]
    return re.sub(r"[^\w.\-]", "_", upper)


def source_files(path: Path) -> list[Path]:
    """The file, or the CSV and Parquet files of the folder, sorted by name; InputError if there is none."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.name.lower().endswith(SUFFIXES))
        if not files:
            raise InputError(f"folder {path} holds no bars: no file ends in {', '.join(SUFFIXES)}")
        return files
    if not path.is_file():
        raise InputError(f"{path} does not exist: give a file of bars or a folder of them")
    if not path.name.lower().endswith(SUFFIXES):
        raise InputError(f"{path} is of no known kind: bars are read from {', '.join(SUFFIXES)}")
    return [path]


def read_bars(
    files: Iterable[Path],
    columns: Mapping[str, str],
    renamed: Mapping[str, str],
    needs_volume: bool = True,
    columns_key: str = "market.columns",
    with_st: bool = False,
) -> pd.DataFrame:
    """All rows of all files, in one table.

    Args:
        files: see `source_files`.
        columns: field → name of its column in the files, for names `KNOWN_NAMES` does not hold.
        renamed: old code → code it is taken under.
        needs_volume: False for indices, which may come without.
        columns_key: setting that `columns` comes from, for messages.
        with_st: whether to read which stocks were under special treatment.

    Returns:
        Columns symbol (categorical, sorted categories), stamp, open, high, low, close, volume and, where the files
        have them, amount, factor and st (bool); else float64, sorted by symbol and stamp, in the order of the files
        within a stamp.

    Raises:
        InputError: a file cannot be read, lacks a column, or there is no row in any of them.
    """
    unknown = sorted(set(columns) - set(KNOWN_NAMES))
    if unknown:
        raise InputError(f"{columns_key}.{unknown[0]} is no field: map {', '.join(KNOWN_NAMES)}")
    left_out = () if with_st else ("st",)
    parts = [_read_file(file, columns, needs_volume, columns_key, left_out) for file in files]
    names = parts[0][1].columns
    for file, part in parts:
        if set(part.columns) != set(names):
            differing = ", ".join(sorted(set(part.columns) ^ set(names)))
            raise InputError(f"{file} and {parts[0][0]} do not have the same columns: {differing} is in one only")
    if not any(len(part) for _, part in parts):
        raise InputError(f"{parts[0][0]}{' and the other files have' if len(parts) > 1 else ' has'} no row of bars")
    symbol = union_categoricals([part["symbol"] for _, part in parts])
    rows = pd.concat([part.drop(columns="symbol") for _, part in parts], ignore_index=True)
    rows.insert(0, "symbol", pd.Series(_rename(symbol, renamed)))
    return rows.sort_values(["symbol", "stamp"], kind="stable", ignore_index=True)


def _read_file(
    file: Path, columns: Mapping[str, str], needs_volume: bool, columns_key: str, left_out: Sequence[str]
) -> tuple[Path, pd.DataFrame]:
    found = _find_columns(file, columns, needs_volume, columns_key)
    found = {field: name for field, name in found.items() if field not in left_out}
    table = load_columns(file, found)
    part = pd.DataFrame(index=table.index)
    if "symbol" in found:
        symbol = table[found["symbol"]]
        if symbol.isna().any():
            raise InputError(f"{file}, column {found['symbol']}: row {_first(symbol.isna())} is empty")
        part["symbol"] = symbol.astype("category")
    else:
        stem = file.name[: -len(next(suffix for suffix in SUFFIXES if file.name.lower().endswith(suffix)))]
        part["symbol"] = pd.Categorical.from_codes(np.zeros(len(table), dtype=np.int8), pd.Index([stem]))
    part["stamp"] = as_stamps(file, table[found["stamp"]])
    for field in (*PRICES, "volume", "amount", "factor"):
        if field in found:
            part[field] = as_numbers(file, table[found[field]])
    if "st" in found:
        part["st"] = _marks(file, table[found["st"]])
    return file, part


def _find_columns(file: Path, columns: Mapping[str, str], needs_volume: bool, columns_key: str) -> dict[str, str]:
    """Field → column of the file, for the fields the file has."""
    present = column_names(file)
    by_lower = {name.lower(): name for name in reversed(present)}
    found = {}
    for field, known in KNOWN_NAMES.items():
        if field in columns:
            if columns[field] not in present:
                raise InputError(
                    f"{file}: no column {columns[field]!r} for {field} (there are: {', '.join(present)}); "
                    f"correct {columns_key}.{field}"
                )
            found[field] = columns[field]
            continue
        name = next((by_lower[name] for name in known if name in by_lower), None)
        if name is not None:
            found[field] = name
        elif field in _REQUIRED and (needs_volume or field != "volume"):
            raise InputError(
                f"{file}: no column for {field} (there are: {', '.join(present)}); "
                f"name it with {columns_key}.{field}=<column>"
            )
    return found


def column_names(file: Path) -> list[str]:
    """Columns of a CSV or Parquet file, in its order; InputError where it cannot be read."""
    if file.name.lower().endswith(".parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return list(pq.read_schema(file).names)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{file} cannot be read as Parquet: {_one_line(error)}") from error
    return [str(name) for name in read_csv(file, nrows=0).columns]


def load_columns(file: Path, found: Mapping[str, str]) -> pd.DataFrame:
    """The columns of a CSV or Parquet file that were found, by field (symbol, stamp, ...); see `column_names`."""
    wanted = list(found.values())
    if not file.name.lower().endswith(".parquet"):
        # Codes keep their leading zeros, and stamps like 20240102 are told apart from numbers later.
        text = {found[field]: str for field in ("symbol", "stamp") if field in found}
        return read_csv(file, usecols=wanted, dtype=text)
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(file, columns=wanted).to_pandas(date_as_object=False, ignore_metadata=True)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{file} cannot be read as Parquet: {_one_line(error)}") from error


def read_csv(file: Path, **options: Any) -> pd.DataFrame:
    """The table of a CSV file, `options` as of pandas; InputError where it cannot be read."""
    try:
        return pd.read_csv(file, **options)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, EOFError, OSError) as error:
        raise InputError(f"{file} cannot be read as CSV: {_one_line(error)}") from error


def as_stamps(file: Path, values: pd.Series) -> pd.Series:
    """Stamps without a time zone (local time of the exchange), from dates, texts, or integers like 20240102."""
    text = values.astype(str) if pd.api.types.is_integer_dtype(values) else values
    parsed = pd.to_datetime(text, errors="coerce") if len(text) else pd.to_datetime(text)
    if parsed.isna().any() and not pd.api.types.is_datetime64_any_dtype(text):
        parsed = pd.to_datetime(text, errors="coerce", format="mixed")  # some with seconds, some without
    wrong = parsed.isna()
    if wrong.any():
        row = _first(wrong)
        raise InputError(f"{file}, column {values.name}: {values.iloc[row]!r} in row {row} is no date or time")
    return parsed.dt.tz_localize(None).astype("datetime64[ns]")


def as_numbers(file: Path, values: pd.Series) -> np.ndarray:
    """A column as float64, blanks as NaN; InputError where it holds anything else."""
    if values.dtype == np.float32:
        return raw_from_float32(values.to_numpy())
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = numbers.isna() & values.notna()
    if wrong.any():
        row = _first(wrong)
        raise InputError(f"{file}, column {values.name}: {values.iloc[row]!r} in row {row} is no number")
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)


def _marks(file: Path, values: pd.Series) -> np.ndarray:
    """A column of true and false, or 1 and 0, as bool; blanks are false."""
    kinds = values.astype("category").cat
    text = kinds.categories.astype(str).str.strip().str.lower()
    known = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False, "": False}
    wrong = ~text.isin(list(known))
    if wrong.any():
        row = _first(kinds.codes.isin(np.flatnonzero(wrong)))
        raise InputError(f"{file}, column {values.name}: {values.iloc[row]!r} in row {row} is neither true nor false")
    return np.array([*(known[one] for one in text), False])[kinds.codes.to_numpy()]  # of a blank -1, the last one


def _rename(symbol: pd.Categorical, renamed: Mapping[str, str]) -> "pd.Categorical[str]":
    new_code = {canonical_symbol(old): canonical_symbol(new) for old, new in renamed.items()}
    names = [canonical_symbol(str(name)) for name in symbol.categories]
    names = [new_code.get(name, name) for name in names]
    categories = sorted(set(names))
    number = {name: n for n, name in enumerate(categories)}
    codes = np.array([number[name] for name in names], dtype=np.int32)[symbol.codes]
    return pd.Categorical.from_codes(codes, pd.Index(categories))


def membership_files(paths: Sequence[Path]) -> list[Path]:
    """The files named, and the *.txt of the folders named; the file's name is the universe's."""
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist: give a membership file or a folder of *.txt")
        found = sorted(path.glob("*.txt")) if path.is_dir() else [path]
        if not found:
            raise InputError(f"folder {path} holds no membership file: no file ends in .txt")
        files += found
    return files


def read_memberships(file: Path, renamed: Mapping[str, str]) -> pd.DataFrame:
    """Dated memberships of one universe: lines of symbol, first and last day, tab separated.

    Returns:
        Columns symbol, start, end (both inclusive), in the order of the file.
    """
    try:
        lines = file.read_text().splitlines()
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{file} cannot be read: {_one_line(error)}") from error
    split = [(number, line.split("\t")) for number, line in enumerate(lines, start=1) if line.strip()]
    for number, parts in split:
        if len(parts) != 3:
            raise InputError(f"{file}, line {number}: {len(parts)} columns, not symbol, start, end with tabs between")
    rows = pd.DataFrame([parts for _, parts in split], columns=["symbol", "start", "end"])
    for column in ("start", "end"):
        parsed = pd.to_datetime(rows[column], errors="coerce")
        if parsed.isna().any():
            row = _first(parsed.isna())
            raise InputError(f"{file}, line {split[row][0]}: {column} {rows[column].iloc[row]!r} is no date")
        rows[column] = parsed
    rows["symbol"] = np.asarray(_rename(pd.Categorical(rows["symbol"]), renamed), dtype=object)
    return rows


def _first(mask: pd.Series) -> int:
    return int(np.flatnonzero(mask.to_numpy())[0])


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
