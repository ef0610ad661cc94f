"""Hours of live, and what a comparison with a backtest of the same hours is asked.

Times are int64 ns UTC, money is the account's, net of costs.
"""

import msgspec

from engine.model.portfolio import Portfolio
from engine.model.symbols import SymbolSpec


class ParityStart(msgspec.Struct, frozen=True, kw_only=True):
    """Live's state after its batch at `from_ns`: `core` as saved, `limits` in force by name.

    `files` are the users' strategy files by path, `needed` the M1 bars of each symbol before
    `from_ns` with which no strategy is warming.
    """

    server_day: int
    from_ns: int
    portfolio: Portfolio
    files: dict[str, bytes]
    symbols: list[SymbolSpec]
    needed: dict[str, int]
    core: bytes
    limits: dict[str, float]


class RefusedRun(msgspec.Struct, kw_only=True):
    """A rule refused a slot's entries at the batches in [from, to] at which it was asked."""

    slot: str
    rule: str
    from_ns: int
    to_ns: int


class ParityRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is told: everything up to the batch at `to_ns`.

    `bars` are files of the terminal's M1 bars by symbol, warm-up included; `refused` are live's
    refusals; `database` is the URL that has live's trades and takes the scores.
    """

    start: ParityStart
    to_ns: int
    bars: dict[str, str]
    refused: tuple[RefusedRun, ...]
    database: str


class LiveTrade(msgspec.Struct, frozen=True, kw_only=True):
    """A trade of a book in a symbol; `exit_ns` 0 while it is open."""

    book: str
    symbol: str
    direction: str
    lots: float
    entry_ns: int
    exit_ns: int
    reason: str
    profit_ccy: float
    shares: dict[str, float]


class LiveOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order that was not filled, and why."""

    time_ns: int
    book: str
    symbol: str
    text: str


class LiveCommand(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody did, or the engine by itself; `target` "": it concerns all.

    `until_ns`: how long it lasted, 0 for ever.
    """

    time_ns: int
    text: str
    target: str
    until_ns: int = 0


class LiveDay(msgspec.Struct, frozen=True, kw_only=True):
    """What live did and saw: `bars` are a symbol's (time_ns, high, low, close) as seen then."""

    trades: tuple[LiveTrade, ...] = ()
    orders: tuple[LiveOrder, ...] = ()
    commands: tuple[LiveCommand, ...] = ()
    refused: tuple[RefusedRun, ...] = ()
    bars: dict[str, list[tuple[int, float, float, float]]] = {}
