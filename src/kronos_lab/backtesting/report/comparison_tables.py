"""The tables of a comparison page."""

from collections.abc import Callable, Mapping, Sequence

from kronos_lab.backtesting.comparison.comparison import NET_RETURN, RETURN_LESS, ComparedTable, Line, RunComparison
from kronos_lab.backtesting.comparison.rows import EXCESS, RATIO, Figure, Row, shown_settings
from kronos_lab.backtesting.comparison.settings import WEIGHTS, different
from kronos_lab.backtesting.report.wording import Table, chance, number, percent, unknown

Write = Callable[[float | None, int], str]
MOST_COLUMNS = 6  # of settings beside figures; more of them stand in a table of their own
MONEY: Sequence[tuple[str, str, Write, int]] = (
    ("annual_return", "return", percent, 1),
    ("sharpe_ratio", "Sharpe ratio", number, 2),
    ("max_drawdown", "max drawdown", percent, 1),
    ("turnover", "turnover", percent, 1),
    ("annual_cost", "cost a year", percent, 2),
)


def different_settings(compared: RunComparison) -> list[str]:
    """Names of the settings that are not the same for all rows of all tables, `weights` where no other tells them."""
    rows = [line.row for table in compared.tables for line in table.lines]
    shown = {row.name: shown_settings(row) for row in rows}
    found = different([*shown.values()])
    explained = any(key != WEIGHTS and key.startswith("train") for key in found)
    return [key for key in found if key != WEIGHTS or not explained or _is_set(rows)]


def _is_set(rows: Sequence[Row]) -> bool:
    """Whether some run is known by its weights alone."""
    return any(WEIGHTS in run.settings for row in rows for run in row.runs)


def settings_table(compared: RunComparison, table: ComparedTable) -> Table:
    """What differs, a row for each."""
    keys = different_settings(compared)
    rows = [[line.row.name, *(shown_settings(line.row).get(key, "–") for key in keys)] for line in table.lines]
    return Table(keys, rows, "Only what is not the same for all; train.*: of the training run behind the weights.")


def figures_table(compared: RunComparison, table: ComparedTable) -> Table:
    """What differs, and rank IC."""
    keys = different_settings(compared)
    keys = keys if len(keys) <= MOST_COLUMNS else []
    seeds = any(len(line.row.runs) > 1 for line in table.lines)
    labels = table.lines[0].row.labels
    columns = [*keys, *(["seeds"] if seeds else [])]
    for sessions in labels:
        columns += [f"rank IC, {sessions}-session", "p"]
    rows = []
    for line in table.lines:
        cells = [line.row.name, *(shown_settings(line.row).get(key, "–") for key in keys)]
        cells += [str(len(line.row.runs))] if seeds else []
        for sessions in labels:
            cells += _sure(line.figures[f"rank_ic_{sessions}"], number, 4)
        rows.append(cells)
    conventions = table.lines[0].row.runs[0].metrics["conventions"]
    note = (
        f"Label: {conventions['open_to_open']}. p and interval: {conventions['t']}. Interval: "
        f"{conventions['interval']}."
    )
    return Table(columns, rows, "" if table.unlike else note)


def money_table(table: ComparedTable) -> Table:
    """Excess over equal weight and what it took."""
    columns = ["excess", "p", "ratio", *(title for _, title, _, _ in MONEY)]
    rows = []
    for line in table.lines:
        cells = [*_sure(line.figures[EXCESS], percent, 1), _with_interval(line.figures[RATIO], number, 2)]
        rows.append([line.row.name, *cells, *(value(line.figures[name], write, n) for name, _, write, n in MONEY)])
    conventions = table.lines[0].row.runs[0].metrics["conventions"]
    note = (
        f"With cost, a year: {conventions['annual_return']}. Excess: over equal weight, {conventions['equal_weight']}; "
        f"ratio: the excess over its volatility. Sharpe ratio: of the return itself, cash at 0 %. Drawdown: "
        f"{conventions['max_drawdown']}. Turnover a session: {conventions['turnover']}."
    )
    return Table(columns, rows, "" if table.unlike else note)


def less_table(compared: RunComparison, table: ComparedTable) -> Table:
    """Paired differences, where there are any; in the first table, what the best of them are worth."""
    labels = table.lines[0].row.labels
    columns: list[str] = []
    for sessions in labels:
        columns += [f"rank IC, {sessions}-session", "p"]
    columns += ["net return a year", "p", "sessions"]
    rows = []
    for line in table.lines:
        if not line.less:
            continue
        cells = [line.row.name]
        for sessions in labels:
            cells += _of(line, f"rank_ic_{sessions}_less", number, 4)
        cells += [
            *_of(line, RETURN_LESS, percent, 1),
            str(line.less[RETURN_LESS].days) if RETURN_LESS in line.less else "0",
        ]
        rows.append(cells)
    note = (
        f"Less {compared.against.name}, day by day, on the days that both have; 95 % and p as above, of each row by "
        "itself: of twenty rows that know nothing more, one looks apart. The same resampled days for all rows."
    )
    if table is compared.first and compared.superiority:
        rows.append(_superiority(compared))
        note += " SPA: the p that none is better, knowing that the best of them was picked."
    return Table(columns, rows, "" if table.unlike else note)


def _superiority(compared: RunComparison) -> list[str]:
    """The last row: under each p that of the best of all."""
    cells = ["SPA: none is better"]
    for name in (*(f"rank_ic_{sessions}" for sessions in compared.against.labels), NET_RETURN):
        cells += ["", chance(compared.superiority[name].p) if name in compared.superiority else "–"]
    return [*cells, ""]


def runs_table(compared: RunComparison) -> Table | None:
    """Every run of the rows that hold several seeds; None where none does."""
    rows = []
    for table in compared.tables:
        for line in table.lines:
            if len(line.row.runs) == 1:
                continue
            for run in line.row.runs:
                alone = Row((run,))
                rows.append([run.name, _seeds(alone), *_headline(run.metrics, alone)])
    columns = ("seeds", "rank IC, next session", "excess", "ratio")
    return Table(columns, rows, "Runs of one setting that differ in nothing but their seeds.") if rows else None


def _seeds(row: Row) -> str:
    return ", ".join(f"{key} {row.setting(key)}" for key in row.runs[0].settings if key.rpartition(".")[2] == "seed")


def _headline(metrics: Mapping, row: Row) -> list[str]:
    excess = metrics["excess"]["equal_weight"]["with_cost"]
    mean = float(row.rank_ic(1).mean())
    return [number(mean, 4), percent(excess["annual_return"]), number(excess["information_ratio"], 2)]


def value(figure: Figure, write: Write, digits: int) -> str:
    """A figure with its deviation over seeds."""
    spread = "" if unknown(figure.deviation) else f" ± {write(figure.deviation, digits)}"
    return f"{write(figure.value, digits)}{spread}"


def _of(line: Line, name: str, write: Write, digits: int) -> list[str]:
    return _sure(line.less[name], write, digits) if name in line.less else ["–", "–"]


def _sure(figure: Figure, write: Write, digits: int) -> list[str]:
    return [_with_interval(figure, write, digits), chance(figure.p)]


def _with_interval(figure: Figure, write: Write, digits: int) -> str:
    """The interval stands below."""
    shown = value(figure, write, digits)
    return shown if unknown(figure.low) else f"{shown}\n[{write(figure.low, digits)}, {write(figure.high, digits)}]"
