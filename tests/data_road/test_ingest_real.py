"""The import on real bars, where they lie beside the project: known errors are found, and nothing else is touched."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from generated_bars import open_files

PROJECT = Path(__file__).resolve().parents[2]
REAL = PROJECT.parent / "shared" / "data"
DAILY, FIVE_MINUTES = REAL / "cn_csi800_day.parquet", REAL / "XSHG_5min_600977.csv"

# Symbol and first day of what is known to be wrong in the daily file.
OLDER_CODES = {("SZ001872", "2015-01-05"), ("SZ001914", "2015-01-05"), ("SZ302132", "2015-01-05")}
BAD_FACTORS = {
    ("SH600372", "2020-11-19"), ("SH600633", "2020-11-25"), ("SH600654", "2020-11-25"), ("SH600655", "2020-11-25"),
    ("SH601607", "2020-11-27"), ("SZ000001", "2020-12-31"), ("SZ000002", "2020-11-16"), ("SZ000002", "2020-11-19"),
    ("SZ000002", "2025-01-09"), ("SZ000517", "2020-11-17"), ("SZ000981", "2022-02-25"), ("SZ002466", "2019-12-26"),
}  # fmt: skip


@pytest.mark.skipif(not FIVE_MINUTES.is_file(), reason=f"needs {FIVE_MINUTES.name} in ../shared/data")
def test_a_real_file_of_minute_bars(tmp_path: Path) -> None:
    market = open_files(tmp_path, bars=FIVE_MINUTES, freq="5min", volume_unit="hands")
    assert market.symbols("all") == ["SH600977"]
    bars, source = market.bars(), pd.read_csv(FIVE_MINUTES)
    assert len(bars.values_MF) == len(source) == 2500
    np.testing.assert_allclose(bars.values_MF[:, 4], source["volume"] * 100, rtol=1e-6)
    np.testing.assert_allclose(bars.values_MF[:, 5], source["amount"], rtol=1e-6)
    assert np.bincount(market.session_L)[1:-1].tolist() == [48] * (market.session_L[-1] - 1)
    fields = market.wide(["high", "low", "limit_up", "limit_down"], ["SH600977"])
    assert not (fields["high"] > fields["limit_up"]).to_numpy().any()
    assert not (fields["low"] < fields["limit_down"]).to_numpy().any()


@pytest.mark.slow
@pytest.mark.skipif(not DAILY.is_file(), reason=f"needs {DAILY.name} in ../shared/data")
def test_the_real_daily_bars(tmp_path: Path) -> None:
    import resource

    command = [
        sys.executable, str(PROJECT / "finetune" / "prepare_market.py"), f"market.bars={DAILY}",
        f"market.memberships={REAL / 'instruments'}", f"market.indices={REAL / 'cn_index_day.csv.gz'}",
        f"paths.data={tmp_path}", "market.name=store",
    ]  # fmt: skip
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    assert time.perf_counter() - started < 180
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 8 * 2**20, "KiB"

    found = pd.read_csv(tmp_path / "store" / "import_report.csv")
    counts = found.groupby(["check", "action"]).size().to_dict()
    assert counts == {
        ("bad_factor", "repaired"): 15, ("code_migration", "rejected"): 691 + 998 + 2448, ("large_move", "kept"): 33,
        ("no_trade", "suspended"): 98_747, ("outside_range", "repaired"): 19,
    }  # fmt: skip
    first = found.groupby(["check", "symbol", "detail"], as_index=False)["date"].min()
    for check, known in (("code_migration", OLDER_CODES), ("bad_factor", BAD_FACTORS)):
        rows = first[first["check"] == check]
        assert set(zip(rows["symbol"], rows["date"], strict=True)) == known

    from kronos_lab.data.market import Market

    market = Market(tmp_path / "store")
    fields = market.wide(["open", "high", "low", "limit_up", "limit_down"], market.symbols("csi300"))
    fields = {name: frame.to_numpy() for name, frame in fields.items()}
    traded = np.isfinite(fields["open"]).sum()
    above, below = fields["high"] > fields["limit_up"], fields["low"] < fields["limit_down"]
    # What lies beyond its limits is the listed resumptions of these stocks; at the limit is at it exactly.
    kept = found[(found["check"] == "large_move") & found["detail"].str.startswith("resumption")]
    beyond = {market.symbols("csi300")[column] for column in np.flatnonzero((above | below).any(axis=0))}
    assert beyond <= set(kept["symbol"])
    locked = (fields["high"] >= fields["limit_up"]).sum()
    assert 0.01 < locked / traded < 0.05
