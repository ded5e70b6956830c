"""The tables and sentences of the report."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from kronos_lab.backtesting.baselines import LIGHTGBM, OURS
from kronos_lab.backtesting.report.wording import Table, capital, chance, number, percent, span, unknown

RETURN_COLUMNS = ("annual return", "annual volatility", "information ratio", "max drawdown", "total return")
RANKING_COLUMNS = ("mean", "95 %", "ICIR", "t", "p", "t apart", "detectable", "days > 0", "days")
KINDS = {"rank_ic": "rank IC", "ic": "IC"}
OVER = {"equal_weight": "equal weight", "index": "the price index"}
LABELS = {"open_to_open": "open to open", "close_to_close": "close to close"}


class Line(NamedTuple):
    """One line of the headline table."""

    name: str
    value: str
    how: str


def headline_table(metrics: Mapping[str, Any]) -> list[Line]:
    """The figures one looks at first, each with how it is meant."""
    ranking = metrics["ranking"]["open_to_open"]
    lines = []
    for horizon in sorted(ranking, key=int):
        figures = ranking[horizon]["rank_ic"]
        how = f"{span(figures, 'mean', number, 4)} p {chance(figures['p'])} over {figures['days']} days"
        if unknown(figures["p"]):
            how = f"no p: {figures['reason']}"
        lines.append(Line(f"Rank IC, {horizon}-session label", number(figures["mean"], 4), how))
    for name, excess in metrics["excess"].items():
        with_cost, before = excess["with_cost"], excess["without_cost"]
        lines.append(
            Line(
                f"Annual excess over {OVER[name]}, with cost",
                percent(with_cost["annual_return"]),
                f"{span(with_cost, 'annual_return', percent)} p {chance(with_cost['p'])}, information ratio "
                f"{number(with_cost['information_ratio'], 2)} {span(with_cost, 'information_ratio', number, 2)}; "
                f"before cost {percent(before['annual_return'])}; {metrics['benchmarks'][name]['label']}",
            )
        )
    own, trading = metrics["portfolio"]["with_cost"], metrics["trading"]
    how = f"arithmetic; {percent(own['total_return'])} in all"
    lines.append(Line("Annual return, with cost", percent(own["annual_return"]), how))
    lines.append(Line("Maximum drawdown, with cost", percent(own["max_drawdown"]), "of the portfolio"))
    how = f"of the account, bought + sold; costs {percent(trading['annual_cost'])} a year"
    lines.append(Line("Turnover per session", percent(trading["turnover_per_session"]), how))
    coverage = metrics["coverage"]
    how = f"of those not suspended; least on {coverage['worst_day']}: {percent(coverage['worst'])}"
    lines.append(Line("Members scored", percent(coverage["mean"]), how))
    return lines


def returns_table(metrics: Mapping[str, Any]) -> Table:
    """Portfolio, benchmarks, and the differences between them."""

    def row(name: str, figures: Mapping[str, Any]) -> list[str]:
        keys = ("annual_return", "annual_volatility", "information_ratio", "max_drawdown", "total_return")
        return [name] + [
            number(figures[key], 2) if key == "information_ratio" else percent(figures[key]) for key in keys
        ]

    costs = {"with_cost": "with cost", "without_cost": "before cost"}
    rows = [row(f"Portfolio, {text}", metrics["portfolio"][kind]) for kind, text in costs.items()]
    for benchmark in metrics["benchmarks"].values():
        rows.append(row(capital(benchmark["label"]), benchmark))
    for name, excess in metrics["excess"].items():
        rows += [row(f"Excess over {OVER[name]}, {text}", excess[kind]) for kind, text in costs.items()]
    conventions = metrics["conventions"]
    note = (
        f"Annual return: {conventions['annual_return']}. Excess: {conventions['excess']}. "
        f"{capital(conventions['first_session'])}."
    )
    return Table(RETURN_COLUMNS, rows, note)


def ranking_table(metrics: Mapping[str, Any]) -> Table:
    """Rank IC and IC for both labels and all horizons."""
    rows = []
    for label, horizons in metrics["ranking"].items():
        for horizon, kinds in horizons.items():
            for kind, figures in kinds.items():
                values = [number(figures["mean"], 4), span(figures, "mean", number, 4), number(figures["icir"], 3)]
                values += [number(figures["t"], 2), chance(figures["p"]), number(figures["t_separate"], 2)]
                values += [number(figures["detectable"], 4), percent(figures["positive_days"]), str(figures["days"])]
                rows.append([f"{capital(KINDS[kind])}, {horizon}-session {LABELS[label]}", *values])
    conventions = metrics["conventions"]
    note = (
        f"Open to open: {conventions['open_to_open']}. Close to close: {conventions['close_to_close']}. "
        f"ICIR: mean / std per day. t: {conventions['t']}. Detectable: the smallest mean that could be told from 0. "
        f"Interval: {conventions['interval']}."
    )
    return Table(RANKING_COLUMNS, rows, note)


def order_sentence(metrics: Mapping[str, Any]) -> str:
    """Groups, hit rate and how slowly the order changes, in words."""
    groups, hits = metrics["groups"], metrics["hit_rate"]
    turns = [
        f"{number(value, 2)} with {lag} {'sessions' if int(lag) > 1 else 'session'} before"
        for lag, value in metrics["rank_autocorrelation"].items()
    ]
    long_short = groups["long_short"]
    return (
        f"Highest less lowest group: {percent(long_short['mean'], 3)} a session "
        f"{span(long_short, 'mean', percent, 3)} (a diagnostic, not a return one could have); monotonicity "
        f"{number(groups['monotonicity'], 2)}. Hit rate {percent(hits['mean'], 2)} {span(hits, 'mean', percent, 2)}. "
        f"Rank correlation of the scores: {', '.join(turns)}."
    )


def years_table(metrics: Mapping[str, Any]) -> Table:
    """Rank IC of the next session, year by year."""
    return _next_session_table(metrics["by_year"])


def parts_table(metrics: Mapping[str, Any]) -> Table:
    """Rank IC of the next session among names that are little traded, and among those that are much."""
    return _next_session_table({f"{capital(name)} by traded value": row for name, row in metrics["by_part"].items()})


def _next_session_table(table: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = [
        [name, number(figures["mean"], 4), span(figures, "mean", number, 4), number(figures["t"], 2),
         chance(figures["p"]), str(figures["days"])]
        for name, figures in table.items()
    ]  # fmt: skip
    return Table(("rank IC, next session", "95 %", "t", "p", "days"), rows, "")


def baselines_table(metrics: Mapping[str, Any]) -> Table:
    """The scores beside rules that need no model, their parent and LightGBM."""
    rows = []
    first = next(iter(metrics["baselines"][OURS]["rank_ic"]))
    for name, row in metrics["baselines"].items():
        excess = row["excess"]
        cells = [number(figures["mean"], 4) for figures in row["rank_ic"].values()]
        cells += [percent(excess["annual_return"]), number(excess["information_ratio"], 2), percent(row["turnover"])]
        if name == OURS:
            cells += ["", ""]
        else:
            rank_ic, earned = row["rank_ic_less"][first], row["return_less"]
            cells += [f"{number(rank_ic['mean'], 4)} (p {chance(rank_ic['p'])})"]
            cells += [f"{percent(earned['annual_return'])} (p {chance(earned['p'])})"]
        rows.append([capital(name), *cells])
    labels = [f"rank IC, {sessions}-session" for sessions in metrics["baselines"][OURS]["rank_ic"]]
    columns = (*labels, "excess", "ratio", "turnover", "ours less it, rank IC", "a year")
    note = (
        f"Rules: {metrics['conventions']['baselines']}. Excess: over equal weight, a year, with cost, and its "
        f"information ratio. Ours less it: {first}-session rank IC and net return, day by day."
    )
    if LIGHTGBM in metrics["baselines"]:
        note += f" {LIGHTGBM}: {metrics['conventions']['lightgbm']}."
    return Table(columns, rows, note)


def trading_table(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What it took to hold the portfolio."""
    trading, sessions = metrics["trading"], metrics["sessions_traded"]
    participation = [  # older runs have none
        percent(trading.get(key), 2)
        for key in ("mean_participation", "participation_quantile_95", "largest_participation")
    ]
    return [
        ("Sessions traded", f"{sessions['count']} ({sessions['first']} to {sessions['last']})"),
        ("Sessions with a trade", f"{trading['sessions_with_trades']}"),
        ("Account at the end, in the market's currency", f"{trading['final_account']:,.0f}"),
        ("Names held, mean over sessions", number(trading["mean_names_held"], 1)),
        ("Cash at the close, mean share of the account", percent(trading["mean_cash_share"])),
        ("Turnover a year (bought + sold), times the account", number(trading["annual_turnover"], 1)),
        ("Costs a year, share of the account", percent(trading["annual_cost"])),
        ("Costs over the value bought and sold", percent(trading["cost_per_value"], 3)),
        ("Break-even: what they could have been for an excess of 0 over equal weight", break_even(trading)),
        ("Fills", f"{trading['fills']:,}"),
        ("Participation of a fill in the day's trade: mean, 95 % quantile, largest", ", ".join(participation)),
    ]


def break_even(trading: Mapping[str, Any]) -> str:
    """Costs over traded value that would have left nothing of the excess over equal weight."""
    cost = trading["break_even_cost_per_value"]
    return "none, there was no excess before cost" if cost is not None and cost <= 0 else percent(cost, 3)


def styles_sentence(metrics: Mapping[str, Any]) -> str:
    """What was held, in percentiles."""
    styles = [f"{name} {percent(value, 0)}" for name, value in metrics["styles"].items()]
    return f"Mean percentile of what was held among the scored names, 50% as if drawn by lot: {', '.join(styles)}."


def coverage_sentence(metrics: Mapping[str, Any]) -> str:
    """How much of the universe was scored."""
    coverage = metrics["coverage"]
    return (
        f"On an average day {coverage['mean_scored']:,.0f} of {coverage['mean_members']:,.0f} members were scored, "
        f"{percent(coverage['mean'])} of those not suspended; least on {coverage['worst_day']}: "
        f"{percent(coverage['worst'])}."
    )
