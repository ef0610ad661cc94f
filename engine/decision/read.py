"""What Python reads of a core: one function a question, typed answers.

Nobody outside `engine.decision` names a field of the core's arrays in a string: a field that is
renamed, or that never was, is then found by the type checker and not by a trade. An answer is a
copy of the moment. Units and NaN are those of `engine.decision.state`, where each field is said to
be what it is; a reading has the fields that somebody asks for, under the same names.
"""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

import numpy as np

from engine.decision.state import (
    ACCOUNT_STATE,
    LIMITS,
    MEMBER_STATE,
    SLOT_STATE,
    SYMBOL_STATE,
    Core,
    Floats,
    Integers,
    Records,
)


class AccountReading(NamedTuple):
    """The account: its money, its marks and its risk state."""

    batch_ns: int
    server_ns: int
    server_day: int
    balance_ccy: float
    equity_ccy: float
    high_water_ccy: float
    day_start_equity_ccy: float
    drawdown_frac: float
    external_ccy: float
    account_high_ccy: float
    account_drawdown_frac: float
    tier: int
    trading: int
    halted_ns: int
    stopped_days: int


class LimitsReading(NamedTuple):
    """The limits in force that Python compares with; `read_limits` returns all of them."""

    leverage: float
    gross_exposure_max_frac: float
    account_drawdown_max_frac: float
    correlation_threshold_frac: float
    drawdown_reduce_frac: float
    drawdown_stop_entries_frac: float
    drawdown_flatten_frac: float
    drawdown_release_days: float


class PositionReading(NamedTuple):
    """A slot: its open position, its wish, and the entry that is not booked yet."""

    direction: int
    lots: float
    entry_price: float
    entry_ns: int
    swap_ccy: float
    stop: float
    target: float
    ticket: int
    close_reason: int
    unsettled: int
    wish: int
    spent: int
    refusal: int
    barred: int
    barred_ns: int
    allocation: float
    pending_direction: int
    pending_lots: float
    pending_price: float
    pending_stop_distance: float
    pending_target_distance: float


class MemberReading(NamedTuple):
    """A member: what it says, what it may say, and its shadow record."""

    direction: int
    confidence: float
    share: float
    entry_share: float
    enabled: int
    benched: int
    killed: int
    quarantined: int
    warming: int
    waiting: int
    realised_ccy: float
    shadow_trades: int
    shadow_r: float


class QuoteReading(NamedTuple):
    """A symbol: its last believed price, and what was not believed."""

    bid: float
    ask: float
    close: float
    killed: int
    n_doubts: int
    doubt_ns: int


def _picker(record: Any, reading: Any) -> Any:
    """Return what takes a reading's values out of a whole row of a record type."""
    return itemgetter(*map(record.names.index, reading._fields))


_ACCOUNT: Final = _picker(ACCOUNT_STATE, AccountReading)
_LIMITS: Final = _picker(LIMITS, LimitsReading)
_POSITION: Final = _picker(SLOT_STATE, PositionReading)
_MEMBER: Final = _picker(MEMBER_STATE, MemberReading)
_QUOTE: Final = _picker(SYMBOL_STATE, QuoteReading)


def account(core: Core) -> AccountReading:
    """Return the account as it is now."""
    return AccountReading._make(_ACCOUNT(core.account.item()))


def limits(core: Core) -> LimitsReading:
    """Return the limits in force."""
    return LimitsReading._make(_LIMITS(core.limits.item()))


def position(core: Core, slot: int) -> PositionReading:
    """Return a slot as it is now; `direction` is 0 where it holds nothing."""
    return PositionReading._make(_POSITION(core.positions[slot].item()))


def positions(core: Core) -> list[PositionReading]:
    """Return every slot, in book order."""
    return list(map(PositionReading, *_columns(core.positions, PositionReading._fields)))


def member(outputs: Records, index: int) -> MemberReading:
    """Return a member of a core's `outputs`, or of a copy of them."""
    return MemberReading._make(_MEMBER(outputs[index].item()))


def members(outputs: Records) -> list[MemberReading]:
    """Return all of a core's `outputs`, or of a part of them, in order."""
    return list(map(MemberReading, *_columns(outputs, MemberReading._fields)))


def quote(core: Core, symbol: int) -> QuoteReading:
    """Return a symbol's price as it is now."""
    return QuoteReading._make(_QUOTE(core.quotes[symbol].item()))


def quotes(core: Core) -> list[QuoteReading]:
    """Return every symbol's price, in order."""
    return list(map(QuoteReading, *_columns(core.quotes, QuoteReading._fields)))


def _columns(records: Any, names: Sequence[str]) -> Iterable[list[Any]]:
    # Column by column: NumPy makes plain numbers of a whole one at once.
    return (records[name].tolist() for name in names)


# ---- which slot, which symbol


def slot_of(core: Core, member: int) -> int:
    """Return the slot of a member."""
    return int(core.members[member]["slot"])


def slots_of_members(core: Core) -> list[int]:
    """Return each member's slot, in order."""
    return core.members["slot"].tolist()  # type: ignore[no-any-return]


def symbol_of(core: Core, slot: int) -> int:
    """Return the symbol of a slot."""
    return int(core.slots[slot]["symbol"])


def symbols_of_slots(core: Core) -> Integers:
    """Return each slot's symbol, (n_slots,)."""
    return core.slots["symbol"].copy()


def book_of(core: Core, slot: int) -> int:
    """Return the number of a slot's book."""
    return int(core.slots[slot]["book"])


def point(core: Core, symbol: int) -> float:
    """Return the smallest step of a symbol's price."""
    return float(core.symbols[symbol]["point"])


def digits(core: Core, symbol: int) -> int:
    """Return the number of decimals of a symbol's price."""
    return int(core.symbols[symbol]["digits"])


def volume_step_lots(core: Core, symbol: int) -> float:
    """Return the step of a symbol's volumes."""
    return float(core.symbols[symbol]["volume_step_lots"])


def currency_digits(core: Core) -> int:
    """Return the number of decimals of the account's money."""
    return int(core.limits[0]["currency_digits"])


# ---- which of them


def held_slots(core: Core) -> list[int]:
    """Return the slots that hold a position, in book order."""
    return np.flatnonzero(core.positions["direction"]).tolist()


def settled_slots(core: Core) -> list[int]:
    """Return the slots that hold a position and wait for no order's outcome, in book order."""
    found = core.positions
    return np.flatnonzero((found["direction"] != 0) & (found["unsettled"] == 0)).tolist()


def unsettled_slots(core: Core) -> list[int]:
    """Return the slots that wait for an order's outcome, in book order."""
    return np.flatnonzero(core.positions["unsettled"]).tolist()


def closing_slots(core: Core) -> list[int]:
    """Return the slots whose position has the goal to close, and may be sent for it now."""
    goal = core.positions["close_reason"] != 0
    return [slot for slot in settled_slots(core) if goal[slot]]


def pending_slots(core: Core) -> list[int]:
    """Return the slots whose entry was accepted, is not booked, and is not looked for."""
    found = core.positions
    return np.flatnonzero((found["pending_direction"] != 0) & (found["unsettled"] == 0)).tolist()


def refused_slots(core: Core) -> list[int]:
    """Return the slots that wish to enter and were refused when they were asked last."""
    found = core.positions
    return np.flatnonzero((found["refusal"] != 0) & (found["wish"] != 0)).tolist()


def wishes(core: Core) -> dict[int, int]:
    """Return the side that each slot wishes to enter on, 1 or −1; others are left out."""
    found = core.positions["wish"]
    return {slot: int(found[slot]) for slot in np.flatnonzero(found).tolist()}


def barred(core: Core) -> list[int]:
    """Return the Refusal that took each slot's entries, 0 for none; in book order."""
    return core.positions["barred"].tolist()  # type: ignore[no-any-return]


def tickets(core: Core) -> list[int]:
    """Return the broker's number of each slot's position, 0 for none; in book order."""
    return core.positions["ticket"].tolist()  # type: ignore[no-any-return]


def results(core: Core) -> list[tuple[int, float]]:
    """Return each slot's number of closed positions and what they made, net of costs."""
    found = core.positions
    return list(zip(found["n_trades"].tolist(), found["realised_ccy"].tolist(), strict=True))


def doubtful_symbols(core: Core) -> Integers:
    """Return the symbols that have a price which is not believed yet, (n,)."""
    return np.flatnonzero(core.quotes["suspect_bid"] > 0.0)


def suspect_ns(core: Core, symbols: Integers) -> int:
    """Return the newest moment that a price of these symbols, (n ≥ 1,), spoke of."""
    return int(core.quotes["suspect_ns"][symbols].max())


def killed_slots_due(core: Core) -> list[int]:
    """Return the slots of killed members that are to decide at the next quote, in book order."""
    killed = np.zeros(len(core.slots), bool)
    killed[core.members["slot"][core.outputs["killed"] != 0]] = True
    return np.flatnonzero((core.positions["due"] != 0) & killed).tolist()


# ---- members, each in order


def directions(core: Core) -> list[int]:
    """Return what each member's output stands for: 1, 0 or −1."""
    return core.outputs["direction"].tolist()  # type: ignore[no-any-return]


def shares(core: Core) -> Floats:
    """Return each member's share of its book, (n_members,)."""
    return core.outputs["share"].copy()


def benched(core: Core) -> Integers:
    """Return 1 for each member that its shadow record switched off, else 0, (n_members,)."""
    return core.outputs["benched"].copy()


def benched_days(core: Core) -> Integers:
    """Return the days of its market since each member was benched, (n_members,)."""
    days: Integers = core.outputs["shadow_days"] - core.outputs["benched_day"]
    return days


def fallen_r(core: Core) -> Floats:
    """Return how far each member's shadow record is below its highest, in R, (n_members,)."""
    fallen: Floats = core.outputs["shadow_high_r"] - core.outputs["shadow_day_r"]
    return fallen


# ---- sums


def net_ccy(core: Core) -> Floats:
    """Return each symbol's notional, long less short, (n_symbols,); `mark_exposure` comes first."""
    return core.work["net_ccy"][:-1].copy()


def gross_ccy(core: Core) -> Floats:
    """Return each symbol's notional, long and short added, (n_symbols,); `mark_exposure` first."""
    return core.work["gross_ccy"][:-1].copy()


def total_gross_ccy(core: Core) -> float:
    """Return all notional, long and short added; `mark_exposure` comes first."""
    return float(core.work[-1]["gross_ccy"])


def total_net_ccy(core: Core) -> float:
    """Return Σ |net notional of a symbol|; `mark_exposure` comes first."""
    return float(core.work[-1]["net_ccy"])


def n_samples(core: Core) -> Integers:
    """Return the number of returns sampled of each symbol so far, (n_symbols,)."""
    return core.quotes["n_samples"].copy()


def past_returns(core: Core) -> Floats:
    """Return the sampled returns, oldest first, (N_RETURNS, n_symbols)."""
    return np.roll(core.returns, -int(core.account[0]["next_return"]), axis=0)
