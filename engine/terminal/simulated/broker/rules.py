"""A symbol's rules for prices, volumes and distances, as the broker checks them."""

from typing import Final

from engine.decision.money import round_price
from engine.model.symbols import SymbolSpec
from engine.terminal.simulated.broker.broker import Broker

GRID_TOLERANCE: Final = 1e-6
_LAST_BITS: Final = 1e-12


def on_grid(price: float, spec: SymbolSpec) -> bool:
    """Tell whether a price has the symbol's digits."""
    return bool(abs(price - round_price(price, spec.digits)) < spec.point * 1e-3)


def valid_volume(lots: float, spec: SymbolSpec) -> bool:
    """Tell whether a volume is within the symbol's bounds and on its step."""
    steps = lots / spec.volume_step_lots
    return (
        spec.volume_min_lots * (1.0 - _LAST_BITS)
        <= lots
        <= spec.volume_max_lots * (1.0 + _LAST_BITS)
        and abs(steps - round(steps)) < GRID_TOLERANCE
    )


def valid_levels(direction: int, sl: float, tp: float, closing: float, spec: SymbolSpec) -> bool:
    """Tell whether stop and target lie on the grid, away from `closing` by the stops level."""
    nearest = max(spec.stops_level_points, 1.0) - GRID_TOLERANCE
    for level, side in ((sl, -direction), (tp, direction)):
        if level == 0.0:
            continue
        away_points = (level - closing) * side / spec.point
        if not (level > 0.0 and on_grid(level, spec) and away_points > nearest - 1e-3):
            return False
    return True


def is_frozen(market: float, level: float, spec: SymbolSpec, freeze_points: float) -> bool:
    """Tell whether the market has come within the freeze level of a price."""
    return freeze_points > 0.0 and abs(market - level) / spec.point <= freeze_points + 1e-3


def over_position_limit(broker: Broker, symbol: str) -> bool:
    """Tell whether one more order in a symbol could exceed the most positions that may be open.

    Where positions hedge, what waits to open one counts; else a symbol that has its position is
    free.
    """
    limit = broker.config.account.limit_positions
    if not limit:
        return False
    n_open = len(broker.positions)
    if broker.account.hedging:
        n_open += sum(order.position_id == 0 for order in broker.working.values())
    elif broker.netted(symbol):
        return False
    return n_open >= limit


def over_volume_limit(broker: Broker, symbol: str, direction: int, lots: float) -> bool:
    """Tell whether more lots in a direction exceed the most that may be held and wait there."""
    limit = broker.config.volume_limit_lots
    if not limit:
        return False
    for item in broker.positions.values():
        if (item.symbol, item.direction) == (symbol, direction):
            lots += item.lots
    for order in broker.working.values():
        if (order.symbol, order.direction) == (symbol, direction):
            lots += order.lots_left
    return lots > limit + GRID_TOLERANCE
