"""What a user is told: one clear line for what cannot be imported, a report for what was."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from generated_bars import minutes, open_files, stock, write_sources

from kronos_lab.errors import InputError

PROJECT = Path(__file__).resolve().parents[2]
COLUMNS = "date,open,high,low,close,volume\n"
MEMBERS = "SH600000\t2020-01-01\t2021-01-01\n"
CUT_GZIP = gzip.compress(b"date,open\n" * 99)[:-9]

# what: files to write, options (paths from the folder), what the line must say
BREAKAGES: dict[str, tuple[dict[str, str | bytes], dict[str, object], list[str]]] = {
    "nowhere": ({}, {"bars": "./nowhere.csv"}, ["nowhere.csv", "does not exist"]),
    "a folder without bars": ({"none/a.txt": ""}, {"bars": "./none"}, ["none", ".parquet"]),
    "an unknown kind": ({"a.xlsx": "x"}, {"bars": "./a.xlsx"}, ["a.xlsx", ".csv"]),
    "an empty file": ({"bars.csv": ""}, {}, ["bars.csv", "CSV"]),
    "a header alone": ({"bars.csv": COLUMNS}, {}, ["bars.csv", "no row of bars"]),
    "no Parquet": ({"b.parquet": "PAR1 it is not"}, {"bars": "./b.parquet"}, ["b.parquet", "Parquet"]),
    "a cut gzip": ({"b.csv.gz": CUT_GZIP}, {"bars": "./b.csv.gz"}, ["b.csv.gz", "CSV"]),
    "a missing column": (
        {"bars.csv": COLUMNS.replace("volume", "lots")}, {}, ["bars.csv", "lots", "market.columns.volume"]
    ),
    "a wrong mapping": ({}, {"columns": {"close": "klose"}}, ["bars.csv", "klose", "market.columns.close"]),
    "an unknown field": ({}, {"columns": {"vwap": "x"}}, ["columns.vwap"]),
    "no date": ({"bars.csv": COLUMNS + "soon,1,1,1,1,1\n"}, {}, ["bars.csv", "date", "soon"]),
    "no number": ({"bars.csv": COLUMNS + "2022-01-04,1,1,1,x,1\n"}, {}, ["bars.csv", "close", "x"]),
    "no symbol": (
        {"bars.csv": f"code,{COLUMNS},2022-01-04,1,1,1,1,1\n"}, {}, ["bars.csv", "code", "empty"]
    ),
    "minutes as days": ({"bars.csv": minutes().to_csv()}, {}, ["bars.csv", "several bars a day", "freq=5min"]),
    "days as minutes": ({}, {"freq": "5min"}, ["bars.csv", "freq=day"]),
    "an unknown freq": ({}, {"freq": "weekly"}, ["freq=weekly", "5min"]),
    "unknown prices": ({}, {"prices": "real"}, ["prices=real", "adjusted"]),
    "an unknown unit": ({}, {"volume_unit": "lots"}, ["volume_unit=lots", "hands"]),
    "members nowhere": ({}, {"memberships": "./nowhere"}, ["nowhere", "membership"]),
    "members without tabs": (
        {"m.txt": MEMBERS.replace("\t", " ")}, {"memberships": "./m.txt"}, ["m.txt", "line 1", "tabs"]
    ),
    "members without end": (
        {"m.txt": MEMBERS + "SH600000\t2022-01-01\tsoon\n"}, {"memberships": "./m.txt"}, ["m.txt", "line 2", "soon"]
    ),
    "a universe twice": (
        {"m.txt": MEMBERS, "other/m.txt": MEMBERS}, {"memberships": ["./m.txt", "./other"]}, ["m.txt", "universe m"]
    ),
    "an index of other days": (
        {"i.csv": stock("SH000300", start="2010-01-04").to_csv()}, {"indices": "./i.csv"}, ["i.csv", "no stamp"]
    ),
    "nothing sound": ({"bars.csv": COLUMNS + "2022-01-04,0,0,0,0,0\n"}, {}, ["bars.csv", "none of 1 rows"]),
    "a foreign folder": ({"store/thesis.doc": "x"}, {}, ["store", "market.store"]),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_sources(tmp_path)


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_what_cannot_be_imported_is_one_clear_line(
    folder: Path, breakage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, options, words = BREAKAGES[breakage]
    monkeypatch.chdir(folder)
    for name, content in files.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError) as error:
        open_files(folder, **options)
    line = str(error.value)
    assert "\n" not in line and all(word in line for word in words), line
    assert not (folder / "store" / "market.json").exists()


def test_files_with_different_columns_are_named(folder: Path) -> None:
    (folder / "many").mkdir()
    stock("SH600000").to_csv(folder / "many" / "a.csv", index=False)
    stock("SH600001").drop(columns="factor").to_csv(folder / "many" / "b.csv", index=False)
    with pytest.raises(InputError, match=r"b\.csv and .*a\.csv .*factor"):
        open_files(folder, bars=folder / "many")


def run_script(folder: Path, *overrides: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(PROJECT / "finetune" / "prepare_market.py"), *overrides]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_script_prints_the_report_or_one_line(folder: Path) -> None:
    good = ["market.bars=bars.csv", "market.memberships=members", f"paths.data={folder}", "market.name=mine"]
    done = run_script(folder, *good)
    assert done.returncode == 0, done.stderr
    assert "no_trade" in done.stdout and "csi300" in done.stdout and "is ready" in done.stdout
    assert json.loads((folder / "mine" / "import_report.json").read_text())["bars"] == 138
    assert {path.name for path in folder.iterdir()} == {
        "bars.csv", "members", "index.csv.gz", "mine", "mine.lock"
    }  # fmt: skip
    failed = run_script(folder, *good, "market.columns.close=klose")
    assert failed.returncode == 1
    assert len(failed.stderr.strip().splitlines()) == 1 and "klose" in failed.stderr
