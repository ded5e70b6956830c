"""The small market that tests of every part read."""

from typing import TYPE_CHECKING

import pytest

from small_market_store import write_small_market

if TYPE_CHECKING:
    from kronos_lab.data.market import Market


@pytest.fixture(scope="session")
def small_market(tmp_path_factory: pytest.TempPathFactory) -> "Market":
    from kronos_lab.data.market import Market

    folder = tmp_path_factory.mktemp("markets")
    return Market(write_small_market(folder / "small market"), cache=folder / "cache")
