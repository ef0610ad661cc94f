"""Bars as a terminal shows them: prices on the symbol's digits, whole points, whole volumes.

A level that is touched exactly is missed by the last bit where a price is 1.1690000295639038
(32-bit columns) or 1.1690200000000002 (a cast DECIMAL, points × 0.00001), and bid and ask cross
where only one of them is rounded. So bars are brought to the grid once, when they are loaded.
What that moved is said; what would move too much is refused.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from engine.decision.money import round_price
from engine.kernels.compiled import core_kernel
from engine.model.bars import Bars
from engine.model.errors import DataError
from engine.model.symbols import SymbolSpec, price_text
from engine.model.times import iso_utc

Floats = npt.NDArray[np.float64]

# Of a point.
_FAR: Final = 0.05
# Most prices that far off are prices of other digits.
_FAR_FRAC: Final = 0.5
_DIGITS_MAX: Final = 10
# Points and pips, taken as prices, are further off than these: of the price, and times the
# contract's spread for the middle one of all.
_SPREAD_MAX_FRAC: Final = 0.2
_SPREAD_MAX_FACTOR: Final = 20.0
# Above it doubles have no halves.
_WHOLE: Final = 2.0**51

_KINDS: Final = (
    ("prices", "to {} digits, by {:.2g} points at most"),
    ("spreads", "to whole points, by {1:.2g} points at most"),
    ("volumes", "to whole numbers, by {1:.2g} at most"),
)
# Of each kind: how many are known, are off the grid, are off by more than _FAR; how much at most,
# in units of the last place; and how many spreads are too wide.
_N, _OFF, _FAR_OFF, _MOST, _WIDE = 0, 1, 2, 3, 4


def bring_to_grid(bars: Bars, spec: SymbolSpec) -> list[str]:
    """Bring bars to what a terminal shows, in place; return a line for each kind that was moved.

    Raises:
        DataError: the prices have other digits, or the spreads are none in price units.
    """
    found = np.zeros((3, 5))
    if not measure(bars, 10.0**spec.digits, found):
        high = float(bars["high"].max())
        raise DataError(f"{spec.name}: {price_text(high)} is no price of {spec.digits} digits")
    prices = found[0]
    if prices[_FAR_OFF] > _FAR_FRAC * prices[_N]:
        raise DataError(_other_digits(bars, spec, prices))
    if found[:, _OFF].any():
        bring(bars, spec.digits)
        _check_above_zero(bars, spec)
    if found[1, _N]:
        _check_spreads(bars, spec, int(found[1, _WIDE]))
    return [
        f"{spec.name}: {int(row[_OFF]):,} of {int(row[_N]):,} {what} were moved "
        + how.format(spec.digits, row[_MOST])
        for (what, how), row in zip(_KINDS, found, strict=True)
        if row[_OFF]
    ]


@core_kernel
def measure(bars: Bars, scale: float, found: Floats) -> bool:
    """Add up in `found` (3, 5) how far bars are off the grid; tell whether doubles can hold it."""
    fits = True
    for i in range(len(bars)):
        bar = bars[i]
        fits &= bar["high"] * scale < _WHOLE
        _add(bar["open"], scale, found, 0)
        _add(bar["high"], scale, found, 0)
        _add(bar["low"], scale, found, 0)
        _add(bar["close"], scale, found, 0)
        _add(bar["spread"], scale, found, 1)
        _add(bar["volume"], 1.0, found, 2)
        found[1, _WIDE] += bar["spread"] > _SPREAD_MAX_FRAC * bar["low"]
    return fits


@core_kernel
def _add(value: float, scale: float, found: Floats, kind: int) -> None:
    if np.isnan(value):
        return
    found[kind, _N] += 1.0
    scaled = value * scale
    whole = np.rint(scaled)
    if whole / scale == value:
        return
    off = abs(scaled - whole)
    found[kind, _OFF] += 1.0
    found[kind, _FAR_OFF] += off > _FAR and not _is_of_32_bits(value, whole, scale)
    found[kind, _MOST] = max(found[kind, _MOST], off)


@core_kernel
def _is_of_32_bits(value: float, whole: float, scale: float) -> bool:
    """Tell whether a value is a multiple of the last place as 32 bits hold it, and no other's."""
    return bool(
        np.float32(whole / scale) == value
        and np.float32((whole - 1.0) / scale) != value
        and np.float32((whole + 1.0) / scale) != value
    )


@core_kernel
def bring(bars: Bars, digits: int) -> None:
    """Round every known value in place: prices and spreads to digits, volumes to whole numbers.

    What traded at all has a volume of at least 1, as a terminal's bar has a tick; 0 is unknown.
    """
    for i in range(len(bars)):
        bar = bars[i]
        bar["open"] = round_price(bar["open"], digits)
        bar["high"] = round_price(bar["high"], digits)
        bar["low"] = round_price(bar["low"], digits)
        bar["close"] = round_price(bar["close"], digits)
        bar["spread"] = round_price(bar["spread"], digits)
        volume = bar["volume"]
        bar["volume"] = max(1.0, np.rint(volume)) if volume > 0.0 else volume


def _other_digits(bars: Bars, spec: SymbolSpec, prices: Floats) -> str:
    far = f"{int(prices[_FAR_OFF]):,} of {int(prices[_N]):,} prices"
    example = next(
        (float(p) for p in bars["close"] if abs(p * 10**spec.digits % 1.0 - 0.5) < 0.5 - _FAR),
        float(bars["close"][0]),
    )
    fit = next((d for d in range(spec.digits + 1, _DIGITS_MAX + 1) if _fits(bars, d)), None)
    remedy = (
        "no number of digits fits: were they computed, or stored in too few bits?"
        if fit is None
        else f"set digits = {fit} in [symbols.{spec.name}]"
    )
    return f"{spec.name}: {far} are finer than {spec.digits} digits, such as {example!r}: {remedy}"


def _fits(bars: Bars, digits: int) -> bool:
    found = np.zeros((3, 5))
    return measure(bars, 10.0**digits, found) and found[0, _FAR_OFF] <= 0.01 * found[0, _N]


def _check_above_zero(bars: Bars, spec: SymbolSpec) -> None:
    if not (bars["low"] > 0.0).all():
        bar = bars[int(np.argmin(bars["low"]))]
        raise DataError(
            f"{spec.name}: bar {iso_utc(int(bar['time_ns']))}: low is 0 at {spec.digits} digits; "
            f"set digits in [symbols.{spec.name}]"
        )


def _check_spreads(bars: Bars, spec: SymbolSpec, n_wide: int) -> None:
    """Refuse spreads in points or pips: as prices they are far too large."""
    spreads = bars["spread"]
    remedy = "a spread is in price units, not in points or pips"
    if n_wide:
        bar = bars[int(np.argmax(spreads > _SPREAD_MAX_FRAC * bars["low"]))]
        raise DataError(
            f"{spec.name}: bar {iso_utc(int(bar['time_ns']))}: spread "
            f"{price_text(float(bar['spread']))} at a price of {price_text(float(bar['close']))} "
            f"({n_wide:,} bars are beyond {_SPREAD_MAX_FRAC:.0%}): {remedy}"
        )
    known = spreads[spreads > 0.0]
    usual = max(spec.spread, spec.point)
    if len(known) and (middle := float(np.median(known))) > _SPREAD_MAX_FACTOR * usual:
        raise DataError(
            f"{spec.name}: the usual spread of the bars is {price_text(middle)}, the contract's "
            f"{price_text(usual)}: {remedy}; if it is right, set spread_points = "
            f"{middle / spec.point:.0f} in [symbols.{spec.name}]"
        )
