"""The part of the page on calibration: sentences and tables."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from kronos_lab.backtesting.calibration_sample import SAMPLED
from kronos_lab.backtesting.conclusions import calibration_sentences
from kronos_lab.backtesting.report.wording import Table, capital, chance, number, percent
from kronos_lab.evaluation.calibration_figures import SHARES

HISTORICAL = "Historical volatility"
RETURN_COLUMNS = (
    *(f"{share} % (ideal)" for share in SHARES), "CRPS", "skill", "p", "Brier (of base rate)", "pairs that rose",
)  # fmt: skip
VOLATILITY_COLUMNS = ("MAE", "R²", "QLIKE", "less historical", "p")


class Section(NamedTuple):
    """What stands under one heading."""

    sentences: list[str]
    tables: list[Table]


def calibration_section(metrics: Mapping[str, Any]) -> Section | None:
    """Sentences and tables; sentences alone where calibration was left out, None where none was asked for."""
    calibration = metrics.get("calibration")
    if calibration is None:
        return None
    measured = "sample" in calibration
    tables = [_returns_table(calibration), _volatility_table(calibration)] if measured else []
    return Section(calibration_sentences(metrics), tables)


def _returns_table(calibration: Mapping[str, Any]) -> Table:
    rows = []
    for name, forecast in _forecasts(calibration).items():
        for sessions, figures in forecast["returns"].items():
            covered = [
                f"{percent(figure['mean'])} ({percent(figure['ideal'])})" for figure in figures["coverage"].values()
            ]
            rows.append([f"{name}, {sessions}-session", *covered, percent(figures["crps"]["mean"], 3)])
            if name == HISTORICAL:
                rows[-1] += [""] * 4
                continue
            crps, rise = figures["crps"], figures["rise"]
            rows[-1] += [percent(crps["skill"]), chance(crps["p"])]
            rows[-1] += [f"{number(rise['brier'], 4)} ({number(rise['base_rate_brier'], 4)})"]
            rows[-1] += [percent(rise["base_rate"])]
    sample = calibration["sample"]
    note = (
        f"{sample['pairs']:,} pairs of name and day, {sample['days']} days from {sample['first']} to {sample['last']}, "
        f"{sample['paths']} paths each. Share of outcomes inside the central intervals, in brackets what a perfect "
        "forecaster with as many paths holds. Skill and p: against the historical volatility."
    )
    return Table(RETURN_COLUMNS, rows, note)


def _volatility_table(calibration: Mapping[str, Any]) -> Table:
    rows = []
    for name, forecast in _forecasts(calibration).items():
        figures = forecast["volatility"]
        cells = [percent(figures["mae"], 2), number(figures["r2"], 3), number(figures["qlike"], 3)]
        less = ["", ""] if name == HISTORICAL else [number(figures["less"], 3), chance(figures["p"])]
        rows.append([name, *cells, *less])
    note = (
        f"Forecast volatility against what was realised over {calibration['sample']['horizon']} sessions. Less "
        "historical: QLIKE less that of the historical volatility, below 0 is better."
    )
    return Table(VOLATILITY_COLUMNS, rows, note)


def _forecasts(calibration: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Those that were measured, by the names of their rows."""
    found = {_titled(name, calibration[name]): calibration[name] for name in SAMPLED if name in calibration}
    return {**found, HISTORICAL: calibration["historical"]}


def _titled(name: str, forecast: Mapping[str, Any]) -> str:
    sampling = forecast["sampling"]
    cut = f"top_k {sampling['top_k']}" if sampling["top_k"] else f"top_p {sampling['top_p']:g}"
    return f"{capital(SAMPLED[name])} (temperature {sampling['temperature']:g}, {cut})"
