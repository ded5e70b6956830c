"""Who is on the demo market: stocks, their boards, listings, delistings, suspensions, dividends and splits."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos_lab.data.limits import Board

FIRST_SESSION = "2019-07-01"
BOARD_SHARE = {Board.MAIN: 0.70, Board.CHINEXT: 0.18, Board.STAR: 0.12}
INDUSTRIES = 20
EX_RIGHTS_MONTHS = (5, 6, 7)  # after the annual reports, as in China


@dataclass(frozen=True)
class DemoSize:
    """How large a demo market is.

    Attributes:
        sessions: days with bars.
        listed: stocks that are listed when it begins.
        listings: stocks that are listed later.
        delistings: stocks that are delisted on a drawn day; those that fall below par come on top.
        index_members: members of csi300, csi500 and csi1000.
    """

    sessions: int = 1500
    listed: int = 2280
    listings: int = 320
    delistings: int = 40
    index_members: tuple[int, int, int] = (300, 500, 1000)


@dataclass(frozen=True)
class Stocks:
    """The N stocks and what happens to them on L sessions, whatever their prices do.

    Attributes:
        symbols: in qlib's spelling, the code tells the board.
        board_N: `Board` of each.
        first_N: position of the first session; 0 for those listed before the market begins.
        stop_N: position after the last session.
        listed_N: whether the first session is the listing.
        industry_N: number of the industry.
        beta_N: sensitivity to the market's return.
        volatility_N: usual deviation of the own daily log return.
        price_N: price before the first session, yuan.
        shares_N: shares outstanding before the first session.
        turnover_N: usual share of the outstanding shares traded in a day.
        suspended_LN: sessions without trading.
        dividend_LN: cash dividend on its ex-date, as a fraction of the close before.
        split_LN: new shares for each old one on the ex-date, if the stock is dear enough to split; 1 on other days.
    """

    symbols: list[str]
    board_N: np.ndarray
    first_N: np.ndarray
    stop_N: np.ndarray
    listed_N: np.ndarray
    industry_N: np.ndarray
    beta_N: np.ndarray
    volatility_N: np.ndarray
    price_N: np.ndarray
    shares_N: np.ndarray
    turnover_N: np.ndarray
    suspended_LN: np.ndarray
    dividend_LN: np.ndarray
    split_LN: np.ndarray


def demo_calendar(sessions: int, future: int = 250) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex]:
    """Sessions from 2019-07-01, and the ones known after them: weekdays without New Year and the three long holidays.

    About 243 a year, as in China; the real holidays move with the moon, these do not.
    """
    weekdays = pd.bdate_range(FIRST_SESSION, periods=(sessions + future) * 11 // 10)
    month, day = weekdays.month, weekdays.day
    holiday = (
        ((month == 1) & (day == 1))
        | ((month == 2) & (day >= 3) & (day <= 11))
        | ((month == 5) & (day <= 5))
        | ((month == 10) & (day <= 7))
    )
    open_days = weekdays[~holiday]
    return open_days[:sessions], open_days[sessions : sessions + future]


def draw_stocks(size: DemoSize, calendar: pd.DatetimeIndex, rng: np.random.Generator) -> Stocks:
    """Draw the stocks of a market and the dates of what happens to them."""
    count, sessions = size.listed + size.listings, size.sessions
    board_N = rng.choice(list(BOARD_SHARE), size=count, p=list(BOARD_SHARE.values()))
    first_N = np.zeros(count, dtype=np.int64)
    first_N[size.listed :] = np.sort(rng.integers(5, sessions - 5, size.listings))
    capital_N = 9e9 * np.exp(rng.normal(0, 1.1, count))  # market value, yuan
    price_N = np.round(20 * np.exp(rng.normal(0, 0.5, count)), 2)
    stop_N = np.full(count, sessions)
    smaller = np.argsort(capital_N[: size.listed])[: size.listed // 2]
    gone = rng.choice(smaller, size.delistings, replace=False)
    stop_N[gone] = rng.integers(sessions // 10, sessions - 5, size.delistings)
    dividend_LN, split_LN = _draw_ex_rights(calendar, count, rng)
    return Stocks(
        symbols=_symbols(board_N),
        board_N=board_N,
        first_N=first_N,
        stop_N=stop_N,
        listed_N=first_N > 0,
        industry_N=rng.integers(0, INDUSTRIES, count),
        beta_N=rng.normal(1, 0.25, count).clip(0.3, 1.8),
        volatility_N=0.018 * np.exp(rng.normal(0, 0.25, count)) * (capital_N / 9e9) ** -0.05,
        price_N=price_N,
        shares_N=np.round(capital_N / price_N, -2),
        turnover_N=0.015 * np.exp(rng.normal(0, 0.5, count)) * (capital_N / 9e9) ** -0.2,
        suspended_LN=_draw_suspensions(first_N, stop_N, sessions, rng),
        dividend_LN=dividend_LN,
        split_LN=split_LN,
    )


def _symbols(board_N: np.ndarray) -> list[str]:
    """Codes in the number range of each board; main-board stocks alternate between Shanghai and Shenzhen."""
    prefixes = {Board.MAIN: ("SH60", "SZ00"), Board.CHINEXT: ("SZ30",), Board.STAR: ("SH68",)}
    first_code = {"SH60": 0, "SZ00": 1, "SZ30": 1, "SH68": 8001}
    used = dict.fromkeys(Board, 0)
    symbols = []
    for board in map(Board, board_N):
        turn, which = divmod(used[board], len(prefixes[board]))
        prefix = prefixes[board][which]
        symbols.append(f"{prefix}{first_code[prefix] + turn:04d}")
        used[board] += 1
    return symbols


def _draw_suspensions(first_N: np.ndarray, stop_N: np.ndarray, sessions: int, rng: np.random.Generator) -> np.ndarray:
    """About 1 % of all days: mostly a few sessions long, one in twenty for a month or more."""
    suspended_LN = np.zeros((sessions, len(first_N)), dtype=bool)
    events = rng.binomial(sessions, 0.0015, len(first_N))
    stock_E = np.repeat(np.arange(len(first_N)), events)
    start_E = rng.integers(1, sessions, len(stock_E))
    length_E = np.where(
        rng.random(len(stock_E)) < 0.05, rng.integers(20, 61, len(stock_E)), rng.geometric(0.25, len(stock_E))
    )
    for stock, start, length in zip(stock_E, start_E, length_E, strict=True):
        if start > first_N[stock]:  # the first session trades
            suspended_LN[start : min(start + length, stop_N[stock] - 1), stock] = True  # and so does the last
    return suspended_LN


def _draw_ex_rights(calendar: pd.DatetimeIndex, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A year's dividend of 0.5-4 % for seven stocks in ten, and the split that a dear stock makes on the same day."""
    dividend_LN = np.zeros((len(calendar), count), dtype=np.float32)
    split_LN = np.ones((len(calendar), count), dtype=np.float32)
    for year in calendar.year.unique():
        days = np.flatnonzero((calendar.year == year) & calendar.month.isin(EX_RIGHTS_MONTHS))
        pays_N = rng.random(count) < 0.7
        yield_N, ratio_N = rng.uniform(0.005, 0.04, count), rng.choice([1.2, 1.3, 1.4, 1.5, 2.0], count)
        place_N = rng.random(count)
        if len(days):
            day_N = days[(place_N * len(days)).astype(np.int64)]
            dividend_LN[day_N[pays_N], np.flatnonzero(pays_N)] = yield_N[pays_N]
            split_LN[day_N, np.arange(count)] = ratio_N
    return dividend_LN, split_LN
