"""The small market that tests of every part read, and which files go to one process."""

from typing import TYPE_CHECKING

import pytest

from small_market_store import write_small_market

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadFileScheduling

    from kronos_lab.data.market import Market

# Helpers that assert, so that what they say shows both sides as in a test.
pytest.register_assert_rewrite("backtest_commands", "checked_bars", "many_commands", "train_command")

# Folders whose files share fixtures that take long to make.
ONE_PROCESS = {"tests/backtesting/commands"}


@pytest.hookimpl(optionalhook=True)  # there is none without pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> "LoadFileScheduling | None":
    """With `--dist loadfile`, tests of such a folder stay together as those of one file do."""
    if config.getoption("dist") != "loadfile":
        return None
    assert all((config.rootpath / folder).is_dir() for folder in ONE_PROCESS), "one of them has moved"
    from xdist.scheduler import LoadFileScheduling

    class ByFileOrFolder(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            folder = file.rpartition("/")[0]
            return folder if folder in ONE_PROCESS else file

    return ByFileOrFolder(config, log)


@pytest.fixture(scope="session")
def small_market(tmp_path_factory: pytest.TempPathFactory) -> "Market":
    from kronos_lab.data.market import Market

    folder = tmp_path_factory.mktemp("markets")
    return Market(write_small_market(folder / "small market"), cache=folder / "cache")
