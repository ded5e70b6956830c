"""qlib's position with its holdings in a fixed order."""

from qlib.backtest.position import Position


class SortedPosition(Position):
    """qlib lists holdings from a set of strings, whose order changes from process to process.

    With it would change which of two tied names is sold and the last bits of every sum: here they are sorted.
    """

    def get_stock_list(self) -> list[str]:
        """Symbols held, sorted."""
        return sorted(super().get_stock_list())
