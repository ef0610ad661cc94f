"""Stops and targets inside a bar: one rule for the backtest and the simulated broker."""

from engine.decision.money import round_price
from engine.kernels.compiled import core_kernel

NO_HIT = 0
STOP_HIT = 1
TARGET_HIT = 2


@core_kernel
def match_bar(
    direction: int,
    stop: float,
    target: float,
    open_bid: float,
    high_bid: float,
    low_bid: float,
    spread: float,
    digits: int,
) -> tuple[int, float]:
    """Return what a bar did to a position: (NO_HIT | STOP_HIT | TARGET_HIT, exit price).

    Long positions exit on bid, short ones on ask (bid + spread,
    rounded to `digits`). A gap through a level fills at
    the open; both touched: the stop. Levels that are NaN do not exist.
    """
    if direction > 0:
        if open_bid <= stop:
            return STOP_HIT, open_bid
        if open_bid >= target:
            return TARGET_HIT, open_bid
        if low_bid <= stop:
            return STOP_HIT, stop
        if high_bid >= target:
            return TARGET_HIT, target
        return NO_HIT, 0.0
    open_ask = round_price(open_bid + spread, digits)
    if open_ask >= stop:
        return STOP_HIT, open_ask
    if open_ask <= target:
        return TARGET_HIT, open_ask
    if round_price(high_bid + spread, digits) >= stop:
        return STOP_HIT, stop
    if round_price(low_bid + spread, digits) <= target:
        return TARGET_HIT, target
    return NO_HIT, 0.0
