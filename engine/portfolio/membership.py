"""What a portfolio says, put together: who is in which book, a symbol's contract, entry hours."""

import re

import msgspec

from engine.model.errors import ConfigError
from engine.model.portfolio import BookSpec, Portfolio, StrategySpec, SymbolOverride
from engine.model.symbols import DEFAULT_SYMBOLS, SymbolSpec

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")


def entry_minutes(hours: str | None) -> tuple[int, int]:
    """Return the minutes of the server's day from and to which entries are allowed; (0, 0): always.

    Raises:
        ConfigError: `hours` is not "HH:MM-HH:MM".
    """
    if hours is None:
        return 0, 0
    match = _HOURS.fullmatch(hours)
    if match is None:
        raise ConfigError(f'entry_hours is {hours!r}; write "HH:MM-HH:MM", server time')
    from_hour, from_minute, to_hour, to_minute = map(int, match.groups())
    return 60 * from_hour + from_minute, (60 * to_hour + to_minute) % 1440


def memberships(p: Portfolio) -> list[tuple[BookSpec, StrategySpec, str]]:
    """Return (book, strategy, symbol) in the order of decisions.

    Books stand in file order, then the strategies named in none, each a voting book of one under
    its own name, in file order.
    """
    strategies = {s.name: s for s in p.strategy}
    out = [(b, strategies[m], strategies[m].symbol) for b in p.book for m in b.members]
    taken = {m for b in p.book for m in b.members}
    for s in p.strategy:
        if s.name not in taken:
            solo = BookSpec(
                name=s.name,
                members={s.name: 1.0},
                combine="vote",
                sizing=s.sizing,
                stops=s.stops,
                max_orders_per_day=s.max_orders_per_day,
                max_lots=s.max_lots,
            )
            out.append((solo, s, s.symbol))
    return out


def symbol_spec(p: Portfolio, name: str) -> SymbolSpec:
    """Return a symbol's contract: built-in facts under the file's overrides."""
    override = p.symbols.get(name, SymbolOverride())
    facts = {k: getattr(override, k) for k in SymbolSpec.__struct_fields__ if hasattr(override, k)}
    values = {k: v for k, v in facts.items() if v is not None}
    if name in DEFAULT_SYMBOLS:
        return msgspec.structs.replace(DEFAULT_SYMBOLS[name], **values)
    return SymbolSpec(name=name, **values)
