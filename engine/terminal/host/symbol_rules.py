"""What a symbol allows: filling mode, price and volume steps, stop distances.

Rounding is decimal: a price or volume is a decimal number that binary only approximates.
"""

import math
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

import msgspec

# `symbol_info.filling_mode` is a bitmask, a request's `type_filling` an enumeration.
_ALLOWS_FOK: Final = 1
_ALLOWS_IOC: Final = 2
FILLING_FOK: Final = 0
FILLING_IOC: Final = 1
FILLING_RETURN: Final = 2
_EXECUTION_MARKET: Final = 2
TRADE_MODE_FULL: Final = 4
_TRADE_MODES: Final = {0: "disabled", 1: "long only", 2: "short only", 3: "close only"}
_ONE_SIDED: Final = {1: 1, 2: -1}


class SymbolFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A symbol as the terminal specifies it; `*_points` are counts of `point`.

    `name` is ours, `broker_name` the terminal's own.
    `swap_weekday` is MetaTrader's: Sunday 0. Swaps are in `swap_mode`'s unit. `stops_daily`: the
    broker takes stops and targets away at the end of its day.
    """

    name: str
    broker_name: str
    digits: int
    point: float
    tick_size: float
    contract_size: float
    base: str
    profit_currency: str
    margin_currency: str
    volume_min_lots: float
    volume_max_lots: float
    volume_step_lots: float
    volume_limit_lots: float
    spread_points: int
    stops_level_points: int
    freeze_level_points: int
    filling_mode: int
    execution_mode: int
    trade_mode: int
    calc_mode: int
    swap_mode: int
    swap_long: float
    swap_short: float
    swap_weekday: int
    stops_daily: bool


def fillings_for(facts: SymbolFacts) -> list[int]:
    """Return the `type_filling`s of a market order by preference: all or nothing, part, rest.

    Market execution knows no RETURN; a symbol that allows nothing gets FOK there, and is told by
    the terminal what it takes.
    """
    allowed = [
        filling
        for bit, filling in ((_ALLOWS_FOK, FILLING_FOK), (_ALLOWS_IOC, FILLING_IOC))
        if facts.filling_mode & bit
    ]
    if facts.execution_mode != _EXECUTION_MARKET:
        allowed.append(FILLING_RETURN)
    return allowed or [FILLING_FOK]


def side_problem(direction: int, facts: SymbolFacts) -> str:
    """Return why the symbol takes no entry in this direction now, or ""."""
    if facts.trade_mode == TRADE_MODE_FULL or direction == _ONE_SIDED.get(facts.trade_mode, 0):
        return ""
    word = _TRADE_MODES.get(facts.trade_mode, f"in trade mode {facts.trade_mode}")
    return f"the broker has it {word}"


def round_to_tick(price: float, facts: SymbolFacts) -> float:
    """Round a price to the symbol's tick size, exactly; 0.0 (none) stays."""
    step = Decimal(repr(facts.tick_size if facts.tick_size > 0 else facts.point))
    ticks = (Decimal(repr(price)) / step).quantize(Decimal(1), ROUND_HALF_EVEN)
    return float(ticks * step)


def volume_problem(lots: float, facts: SymbolFacts) -> str:
    """Return why the symbol does not take this volume, or "" when it does."""
    if not (math.isfinite(lots) and lots > 0):
        return f"lots {lots} is not a positive number"
    if lots < facts.volume_min_lots or lots > facts.volume_max_lots:
        return f"lots {lots} outside {facts.volume_min_lots}..{facts.volume_max_lots}"
    if Decimal(repr(lots)) % Decimal(repr(facts.volume_step_lots)):
        return f"lots {lots} is no multiple of the step {facts.volume_step_lots}"
    return ""


def stops_problem(
    direction: int, closing_price: float, stop: float, target: float, facts: SymbolFacts
) -> str:
    """Return why stop or target cannot stand, or "".

    `direction` is the position's. The distance counts from the price it would close at: bid for
    long, ask for short. Stop and target 0.0 mean none.
    """
    for name, level, side in (("stop", stop, 1), ("target", target, -1)):
        if level == 0.0:
            continue
        distance_points = round((closing_price - level) * direction * side / facts.point, 6) + 0.0
        if distance_points <= 0 or distance_points < facts.stops_level_points:
            return (
                f"{name} {level} is {distance_points:g} points from {closing_price}, "
                f"least {max(1, facts.stops_level_points)}"
            )
    return ""


def limit_problem(lots: float, held_lots: float, facts: SymbolFacts) -> str:
    """Return why so many lots more in one direction exceed the symbol's limit, or "".

    `held_lots`: held and waiting in that direction.
    """
    limit = facts.volume_limit_lots
    if limit <= 0 or Decimal(repr(lots)) + Decimal(repr(held_lots)) <= Decimal(repr(limit)):
        return ""
    return f"lots {lots} and {held_lots:g} held exceed the limit {limit:g} of one direction"


def freeze_problem(closing_price: float, stop: float, target: float, facts: SymbolFacts) -> str:
    """Return why a position with these levels cannot be changed now, or ""; 0.0 is no level."""
    for name, level in (("stop", stop), ("target", target)):
        if level == 0.0 or facts.freeze_level_points <= 0:
            continue
        distance_points = round(abs(closing_price - level) / facts.point, 6)
        if distance_points <= facts.freeze_level_points:
            return (
                f"its {name} {level} is {distance_points:g} points from {closing_price}, "
                f"frozen within {facts.freeze_level_points}"
            )
    return ""
