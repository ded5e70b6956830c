"""How many shares an order may be of: as the exchanges take orders of each board, or in one round lot for all names."""

from typing import Literal, NamedTuple

import numpy as np

from kronos_lab.data.limits import Board, board_of

BY_BOARD: Literal["by_board"] = "by_board"
TradeUnit = int | Literal["by_board"]
LOT_SLACK = 0.1  # shares that qlib adds before it counts lots, against rounding


class Lot(NamedTuple):
    """What an order has to be of, in unadjusted shares; a sale of all that is held need not.

    Attributes:
        least: the fewest shares.
        step: what the number of shares is a multiple of.
    """

    least: int
    step: int


# Trading rules of the Shanghai, Shenzhen and Beijing exchanges; STAR has had no other since it opened in 2019. What is
# left of a holding below the least is sold in one order. Instruments that are no A-shares: as the main boards.
LOTS = {
    Board.NONE: Lot(100, 100),
    Board.MAIN: Lot(100, 100),
    Board.STAR: Lot(200, 1),
    Board.CHINEXT: Lot(100, 100),
    Board.BEIJING: Lot(100, 1),
}


def lot_of(symbol: str, trade_unit: TradeUnit) -> Lot:
    """What an order of a name has to be of.

    Args:
        symbol: qlib's spelling.
        trade_unit: `BY_BOARD`, or the shares of one lot for all names.
    """
    return LOTS[board_of(symbol)] if trade_unit == BY_BOARD else Lot(trade_unit, trade_unit)


def in_lots(shares: np.ndarray, least: np.ndarray | int, step: np.ndarray | int) -> np.ndarray:
    """What can be ordered of so many unadjusted shares, see `Lot`: rounded down, 0 where that is too little."""
    whole = (shares + LOT_SLACK) // step * step
    return np.where(whole >= least, whole, 0.0)
