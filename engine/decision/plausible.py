"""Which prices are believed: one rule for backtest, replay, live and the simulated broker.

A quote is a price where 0 < bid ≤ ask < ∞. It is plausible within a band around the last believed
one: at least `FLOOR_FRAC` of it, wider where the symbol moves or costs much, at most `MOST_FRAC`.
What is no price is never believed. What is a price and not plausible is believed once a later one
is near it: a second tick, or a price of another bar. Until then the last believed price stands.

On recorded M1 bars of currencies, metals and indices the widest step between two prices, weekends
included, is 3.1 % (EURJPY, 2017-04-23), beside silver's 10.8 % of 2017-07-06.

`rows` are records with the fields of `BELIEF`, one a symbol; times are UTC ns.
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.kernels.compiled import core_kernel
from engine.model.times import NS_PER_MINUTE

Records = npt.NDArray[np.void]

# The band: of the price, of a usual day's move, of the contract's spread.
FLOOR_FRAC: Final = 0.05
USUAL_DAYS: Final = 3.0
USUAL_SPREADS: Final = 20.0
MOST_FRAC: Final = 0.3
# The usual move is a decayed mean over so many closes: a day of minutes.
_CLOSES_PER_DAY: Final = 1440.0
# Of so many bars before a start's first price it is found out what to believe.
HISTORY_BARS: Final = 10

BELIEF_FIELDS: Final = [
    ("bid", "f8"),
    ("ask", "f8"),
    # The last believed close, and the decayed mean square of the moves from close to close.
    ("close", "f8"),
    ("variance", "f8"),
    # A price that is not believed yet, NaN for none, and the last moment that it spoke of.
    ("suspect_bid", "f8"),
    ("suspect_ask", "f8"),
    ("suspect_ns", "i8"),
    # How many minutes or ticks had a price that was not believed, and the last moment of one.
    ("n_doubts", "i8"),
    ("doubt_ns", "i8"),
]
BELIEF = np.dtype(BELIEF_FIELDS)


def new_beliefs(n: int) -> Records:
    """Return records of `n` symbols of which nothing is known."""
    rows = np.zeros(n, BELIEF)
    for field in ("bid", "ask", "close", "suspect_bid", "suspect_ask"):
        rows[field] = np.nan
    return rows


@core_kernel
def is_price(bid: float, ask: float) -> bool:
    """Tell whether a quote is a price at all; NaN is none."""
    return 0.0 < bid <= ask < math.inf


@core_kernel
def is_bar(open_bid: float, high_bid: float, low_bid: float, close_bid: float) -> bool:
    """Tell whether a bar is made of prices, open and close between low and high."""
    return 0.0 < low_bid <= open_bid <= high_bid < math.inf and low_bid <= close_bid <= high_bid


@core_kernel
def are_bars(bars: Records) -> bool:
    """Tell whether all bars, (n,) BAR_DTYPE, are made of prices."""
    for i in range(len(bars)):
        bar = bars[i]
        if not is_bar(bar["open"], bar["high"], bar["low"], bar["close"]):
            return False
    return True


def only_bars(bars: Records) -> Records:
    """Return bars, (n,) BAR_DTYPE, without those that are not made of prices; mostly the same."""
    if are_bars(bars):
        return bars
    real = [is_bar(*prices) for prices in bars[["open", "high", "low", "close"]].tolist()]
    kept: Records = bars[np.array(real)]
    return kept


@core_kernel
def band_frac(rows: Records, i: int, usual_spread: float) -> float:
    """Return how far from the last believed bid a plausible price may be, as a part of it."""
    row = rows[i]
    day_frac = math.sqrt(row["variance"] * _CLOSES_PER_DAY)
    wide = max(USUAL_DAYS * day_frac, USUAL_SPREADS * usual_spread / row["bid"])
    return float(min(max(FLOOR_FRAC, wide), MOST_FRAC))


@core_kernel
def near(price: float, around: float, frac: float) -> bool:
    """Tell whether a price is within a part of another; NaN is near nothing."""
    return abs(price - around) <= frac * around


@core_kernel
def is_plausible(rows: Records, i: int, low_bid: float, high_ask: float, spread: float) -> bool:
    """Tell whether prices from a bid to an ask fit the last believed ones; `spread` is the usual.

    Where nothing is believed yet everything that is a price fits.
    """
    row = rows[i]
    if not row["bid"] > 0.0:
        return is_price(low_bid, high_ask)
    # The band is never narrower than its floor: as nearly always.
    if near(low_bid, row["bid"], FLOOR_FRAC) and near(high_ask, row["ask"], FLOOR_FRAC):
        return True
    frac = band_frac(rows, i, spread)
    return near(low_bid, row["bid"], frac) and near(high_ask, row["ask"], frac)


@core_kernel
def take_price(
    rows: Records, i: int, bid: float, ask: float, began_ns: int, ended_ns: int, spread: float
) -> bool:
    """Take a price of the time from `began_ns` to `ended_ns`; tell whether it is believed.

    A tick begins and ends at its own time, a bar's close speaks of the whole minute: so the ticks
    of a bar are not confirmed by the bar. `spread` is the contract's, as a price.
    """
    row = rows[i]
    agrees = False
    if is_price(bid, ask):
        believed = is_plausible(rows, i, bid, ask, spread)
        if not believed:
            frac = band_frac(rows, i, spread)
            agrees = near(bid, row["suspect_bid"], frac) and near(ask, row["suspect_ask"], frac)
            believed = agrees and began_ns > row["suspect_ns"]
            row["suspect_ns"] = max(row["suspect_ns"], ended_ns)
        if believed or not agrees:
            row["suspect_bid"] = bid
            row["suspect_ask"] = ask
        if believed:
            believe(rows, i)
            return True
    note_doubt(rows, i, began_ns, ended_ns)
    return False


@core_kernel
def believe(rows: Records, i: int) -> None:
    """Take the price that is in doubt as the last believed one."""
    row = rows[i]
    row["bid"] = row["suspect_bid"]
    row["ask"] = row["suspect_ask"]
    row["suspect_bid"] = row["suspect_ask"] = math.nan


@core_kernel
def note_doubt(rows: Records, i: int, began_ns: int, ended_ns: int) -> None:
    """Count a price that is not believed, but of one moment only once."""
    row = rows[i]
    if began_ns > row["doubt_ns"]:
        row["n_doubts"] += 1
    row["doubt_ns"] = max(row["doubt_ns"], ended_ns)


@core_kernel
def take_close(
    rows: Records, i: int, bid: float, ask: float, opened_ns: int, spread: float
) -> bool:
    """Take the close of the bar that opened at `opened_ns`; tell whether it is believed."""
    ended_ns = opened_ns + NS_PER_MINUTE - 1
    if not take_price(rows, i, bid, ask, opened_ns, ended_ns, spread):
        return False
    row = rows[i]
    if row["close"] > 0.0:
        # A jump that was believed must not make the next one usual.
        move = min(abs(bid / row["close"] - 1.0), FLOOR_FRAC)
        row["variance"] += (move * move - row["variance"]) / _CLOSES_PER_DAY
    row["close"] = bid
    return True
