"""Money, prices and volume to the digit: rounding, profit, commission, swap, lots.

Every amount a deal carries, every price on a symbol's digits and every volume is rounded here and
nowhere else, so that the simulated broker, the backtest and the live ledger agree to the last bit.
A half is a half as decimals have it, although binary may hold it a little above or below: what is
within `_HALF_FRAC` of itself of a half counts as one. No result is −0.0. NaN stays NaN.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from engine.kernels.compiled import core_kernel

Floats = npt.NDArray[np.float64]

# Of every account's currency.
CURRENCY_DIGITS: Final = 2
# An amount comes of at most eight roundings, each to 2^-53 of itself …
_HALF_FRAC: Final = 2.0**-50
# … or a sum of swaps of some thousand nights: 2,000 nights that add up to 10,000 are 2e-7 of a cent
# off at most. In units of the last digit.
_HALF_LEAST: Final = 1e-6
_HALF_MOST: Final = 0.25
# From here on doubles have no halves.
_WHOLE: Final = 2.0**51
# 0.29 / 0.01 is 28.999…96 in binary; without this the floor loses a step.
_STEP_FRAC: Final = 1e-13
# A volume step this near to a whole number of its last decimal is one.
_WHOLE_FRAC: Final = 1e-9
# No broker's volumes are finer.
_LOTS_SCALE: Final = 1e8


# Exact powers; `10.0**digits` calls the C library each time.
_SCALES: Final = tuple(10.0**digits for digits in range(16))


@core_kernel
def _half_width(scaled: float) -> float:
    """Return how near to a half counts as one, `scaled` and the result in the last digit's unit."""
    return min(max(scaled * _HALF_FRAC, _HALF_LEAST), _HALF_MOST)


@core_kernel
def round_ccy(amount: float, digits: int) -> float:
    """Round money half away from zero to `digits` decimals."""
    scale = _SCALES[digits]
    scaled = abs(amount) * scale
    if scaled >= _WHOLE:
        return amount
    rounded = np.floor(scaled + 0.5 + _half_width(scaled)) / scale
    return float((-rounded if amount < 0.0 else rounded) + 0.0)  # −0.0 + 0.0 is 0.0


@core_kernel
def _round_amounts(amounts: Floats, digits: int, out: Floats) -> None:
    for i in range(len(amounts)):
        out[i] = round_ccy(amounts[i], digits)


def rounded_ccy(amounts: npt.ArrayLike, digits: int) -> Floats:
    """Return amounts as `round_ccy` rounds them, in the shape given."""
    given = np.ascontiguousarray(amounts, dtype=np.float64)
    out = np.empty_like(given)
    _round_amounts(given.ravel(), digits, out.ravel())
    return out


@core_kernel
def round_price(price: float, digits: int) -> float:
    """Round a price, or a way between prices, to a symbol's digits, halves to even."""
    scale = _SCALES[digits]
    scaled = price * scale
    whole = np.rint(scaled)
    if 0.5 - abs(scaled - whole) <= _half_width(abs(scaled)):
        whole = 2.0 * np.rint(0.5 * (np.floor(scaled) + 0.5))
    return float(whole / scale + 0.0)


@core_kernel
def _round_prices(prices: Floats, digits: int, out: Floats) -> None:
    for i in range(len(prices)):
        out[i] = round_price(prices[i], digits)


def rounded_prices(prices: Floats, digits: int) -> Floats:
    """Return prices (n,) as `round_price` rounds them."""
    out = np.empty(len(prices))
    _round_prices(np.ascontiguousarray(prices), digits, out)
    return out


@core_kernel
def round_lots(lots: float) -> float:
    """Return a sum or difference of lots without its last bits: brokers keep eight decimals."""
    scaled = lots * _LOTS_SCALE
    return float(np.rint(scaled) / _LOTS_SCALE + 0.0) if abs(scaled) < _WHOLE else lots


@core_kernel
def floor_lots(lots: float, step_lots: float) -> float:
    """Round down to the volume step, exactly: 0.29 / 0.01 is 29 steps; never below 0."""
    if not lots > 0.0:
        return 0.0
    whole = np.floor(lots / step_lots * (1.0 + _STEP_FRAC))
    # Steps of a decimal are a decimal again where they are counted in its last place.
    places = _LOTS_SCALE if step_lots < 1.0 else 1.0
    units = np.rint(step_lots * places)
    if abs(units - step_lots * places) > _WHOLE_FRAC * units:
        return float(whole * step_lots)
    return float(whole * units / places)


@core_kernel
def profit_ccy(
    direction: int,
    lots: float,
    open_price: float,
    close_price: float,
    digits: int,
    contract_size: float,
    conversion: float,
) -> float:
    """Return unrounded profit in account currency; `conversion` is account per profit unit.

    Between prices on the symbol's digits the way is whole points: 1303.785 − 1303.798 is
    −0.01299…96 in binary, and 6.695 of it would not be the half that it is.
    """
    scale = _SCALES[digits]
    points = (close_price - open_price) * scale
    whole = np.rint(points)
    if abs(points - whole) <= (abs(open_price) + abs(close_price)) * scale * _HALF_FRAC:
        points = whole
    return float(points * direction * contract_size * lots * conversion / scale + 0.0)


@core_kernel
def commission_ccy(lots: float, per_lot_ccy: float, digits: int) -> float:
    """Return one side's commission, rounded; ≤ 0."""
    return round_ccy(-lots * per_lot_ccy, digits)


@core_kernel
def swap_night_ccy(
    direction: int,
    lots: float,
    long_points: float,
    short_points: float,
    digits: int,
    contract_size: float,
    conversion: float,
) -> float:
    """Return the swap of one night, unrounded; negative is paid."""
    points = long_points if direction > 0 else short_points
    return float(points * contract_size * lots * conversion / _SCALES[digits])


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
