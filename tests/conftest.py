"""The small market that tests of every part read."""

from typing import TYPE_CHECKING

import pytest

from small_market_store import write_small_market

if TYPE_CHECKING:
    from kronos_lab.data.market import Market

# Helpers that assert, so that what they say shows both sides as in a test.
pytest.register_assert_rewrite("checked_bars", "train_command")


@pytest.fixture(scope="session")
def small_market(tmp_path_factory: pytest.TempPathFactory) -> "Market":
    from kronos_lab.data.market import Market

    folder = tmp_path_factory.mktemp("markets")
    return Market(write_small_market(folder / "small market"), cache=folder / "cache")
