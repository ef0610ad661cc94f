"""Money and volume to the digit: rounding, profit, commission, swap, lots.

Every amount a deal carries is rounded here, half away from zero, so that the simulated broker,
the backtest and the live ledger agree to the last bit.
"""

import math
from typing import Final

from engine.model.compiled import core_kernel

# 0.29 / 0.01 is 28.999…96 in binary; without this the floor loses a step.
_STEP_EPS = 1e-9
# Of every account's currency.
CURRENCY_DIGITS: Final = 2
# Scaled cents such as 1.005 × 100 = 100.49999999999999 are halves that binary cannot hold.
_HALF_EPS = 1e-9


# Exact powers; `10.0**digits` calls the C library each time.
_SCALES: Final = tuple(10.0**digits for digits in range(16))


@core_kernel
def round_ccy(amount: float, digits: int) -> float:
    """Round money half away from zero to `digits` decimals."""
    scale = _SCALES[digits]
    scaled = abs(amount) * scale
    rounded = math.floor(scaled + 0.5 + _HALF_EPS * max(1.0, scaled * 1e-3)) / scale
    return -rounded if amount < 0.0 else rounded


@core_kernel
def round_price(price: float, digits: int) -> float:
    """Round a price to its digits, ties to even in scaled units; NaN stays NaN."""
    scale = _SCALES[digits]
    return float(round(price * scale) / scale) if price == price else price


@core_kernel
def floor_lots(lots: float, step_lots: float) -> float:
    """Round down to the volume step, exactly: 0.29 / 0.01 is 29 steps; never below 0."""
    if not lots > 0.0:
        return 0.0
    steps = lots / step_lots
    whole = math.floor(steps + _STEP_EPS * max(1.0, steps))
    return float(round(whole * step_lots * 1e8) / 1e8)


@core_kernel
def profit_ccy(
    direction: int,
    lots: float,
    open_price: float,
    close_price: float,
    contract_size: float,
    conversion: float,
) -> float:
    """Return unrounded profit in account currency; `conversion` is account per profit unit."""
    return (close_price - open_price) * direction * contract_size * lots * conversion


@core_kernel
def commission_ccy(lots: float, per_lot_ccy: float, digits: int) -> float:
    """Return one side's commission, rounded; ≤ 0."""
    return -round_ccy(lots * per_lot_ccy, digits)


@core_kernel
def swap_night_ccy(
    direction: int,
    lots: float,
    long_points: float,
    short_points: float,
    point: float,
    contract_size: float,
    conversion: float,
) -> float:
    """Return the swap of one night, unrounded; negative is paid."""
    points = long_points if direction > 0 else short_points
    return points * point * contract_size * lots * conversion


@core_kernel
def swap_nights(from_day: int, to_day: int, triple_weekday: int) -> int:
    """Count the nights charged from server day `from_day` to `to_day` (days since 1970-01-01).

    The night that begins on a weekday counts 1, on `triple_weekday` (Monday 0) 3, and on
    Saturday or Sunday 0: seven a week.
    """
    nights = 0
    for day in range(from_day, to_day):
        weekday = (day + 3) % 7  # 1970-01-01 was a Thursday
        if weekday < 5:
            nights += 3 if weekday == triple_weekday else 1
    return nights
