"""A second implementation of docs/SEMANTICS.md in plain Python and exact decimals.

It shares no code with the core and follows the text, not the kernels: one dictionary a position,
money in Decimal, the server's day from the calendar. Slow, small, and only for M1.
"""

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

CENT = Decimal("0.01")
NEW_YORK = ZoneInfo("America/New_York")


@dataclass
class Bar:
    minute: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    spread: Decimal


@dataclass
class Symbol:
    digits: int
    contract: Decimal
    commission: Decimal
    swap_long: Decimal
    swap_short: Decimal
    triple: int
    inverse: bool  # its profit currency is the base of account ÷ price, such as USDJPY
    bars: list[Bar]
    bid: Decimal | None = None
    ask: Decimal | None = None
    fresh: bool = False
    exposure: Decimal = Decimal(0)

    @property
    def point(self) -> Decimal:
        return Decimal(1).scaleb(-self.digits)

    def price(self, value: Decimal) -> Decimal:
        return value.quantize(self.point, ROUND_HALF_EVEN)

    @property
    def conversion(self) -> Decimal | None:
        if not self.inverse:
            return Decimal(1)
        return None if self.bid is None else 1 / self.bid


@dataclass
class Member:
    share: Decimal
    script: dict[int, tuple]  # open minute → (raw, confidence, stop, target)
    raw: int = 0
    direction: int = 0
    confidence: Decimal = Decimal(0)
    stop: Decimal | None = None
    target: Decimal | None = None
    changed: bool = False


@dataclass
class Slot:
    name: str
    symbol: Symbol
    members: list[Member]
    vote: bool
    enter: Decimal = Decimal(0)
    exit: Decimal = Decimal(0)
    quorum: int = 1
    risk: Decimal = Decimal("0.005")
    position: dict | None = None
    goal: str = ""
    spent: int = 0  # the direction it was spent in
    due: bool = False
    net: Decimal = Decimal(0)
    wish: int = 0


@dataclass
class Account:
    balance: Decimal
    tiers: tuple[Decimal, Decimal, Decimal]
    leverage: Decimal
    symbol_max: Decimal
    gross_max: Decimal
    margin_max: Decimal
    high: Decimal = Decimal(0)
    equity: Decimal = Decimal(0)
    gross: Decimal = Decimal(0)
    tier: int = 0
    day: object = None
    trades: list[dict] = field(default_factory=list)
    curve: list[tuple[int, Decimal, Decimal]] = field(default_factory=list)


def cents(value: Decimal) -> Decimal:
    return value.quantize(CENT, ROUND_HALF_UP)


def server_day(minute: int):
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    wall = moment.astimezone(NEW_YORK).replace(tzinfo=None) + timedelta(hours=7)
    return wall.date()


def run(account: Account, symbols: list[Symbol], slots: list[Slot], first: int, stop: int) -> None:
    """Trade from minute `first` until `stop`; trades and curve are left in the account."""
    account.high = account.equity = account.balance
    opening = [{b.minute: b for b in s.bars if first <= b.minute < stop} for s in symbols]
    batches = sorted({m + d for bars in opening for m in bars for d in (0, 1)})
    for now in batches:
        roll_day(account, slots, server_day(now))
        for symbol, bars in zip(symbols, opening, strict=True):
            bar = bars.get(now)
            symbol.fresh = bar is not None
            if bar is not None:
                quote(symbol, bar.open, bar.spread)
        mark(account, symbols, slots)
        risk_state(account, slots)
        account.curve.append((now, account.balance, account.equity))
        for slot in slots:
            closed = opening[index_of(symbols, slot.symbol)]
            take_signals(slot, now - 1 if now - 1 in closed else None)
        for slot in slots:
            exit_if_due(account, slot, now)
        mark(account, symbols, slots)
        for slot in slots:
            enter_if_due(account, slot, now)
        for slot in slots:
            bar = opening[index_of(symbols, slot.symbol)].get(now)
            if bar is not None and slot.position:
                match(account, slot, bar, now)
        for symbol, bars in zip(symbols, opening, strict=True):
            if now in bars:
                quote(symbol, bars[now].close, bars[now].spread)
    for slot in slots:
        if slot.position:
            close(account, slot, closing_price(slot), slot.goal or "end", batches[-1])


def index_of(symbols: list[Symbol], symbol: Symbol) -> int:
    return next(i for i, s in enumerate(symbols) if s is symbol)


def quote(symbol: Symbol, bid: Decimal, spread: Decimal) -> None:
    symbol.bid, symbol.ask = bid, symbol.price(bid + spread)


def roll_day(account: Account, slots: list[Slot], today) -> None:
    before, account.day = account.day, today
    if before is None:
        return
    day = before
    while day < today:
        for slot in slots:
            p = slot.position
            if p and day.weekday() < 5:
                s = slot.symbol
                points = s.swap_long if p["direction"] > 0 else s.swap_short
                night = points * s.point * s.contract * p["lots"] * s.conversion
                p["swap"] += night * (3 if day.weekday() == s.triple else 1)
        day += timedelta(days=1)


def mark(account: Account, symbols: list[Symbol], slots: list[Slot]) -> None:
    account.gross = Decimal(0)
    for s in symbols:
        s.exposure = Decimal(0)
    account.equity = account.balance
    for slot in slots:
        if slot.position:
            account.equity += profit(slot, closing_price(slot)) + slot.position["swap"]
            worth = notional(slot.symbol, slot.position["lots"])
            slot.symbol.exposure += worth
            account.gross += worth


def notional(s: Symbol, lots: Decimal) -> Decimal:
    return lots * s.contract * s.bid * s.conversion


def closing_price(slot: Slot) -> Decimal:
    return slot.symbol.bid if slot.position["direction"] > 0 else slot.symbol.ask


def profit(slot: Slot, price: Decimal) -> Decimal:
    p, s = slot.position, slot.symbol
    return (price - p["price"]) * p["direction"] * s.contract * p["lots"] * s.conversion


def risk_state(account: Account, slots: list[Slot]) -> None:
    account.high = max(account.high, account.equity)
    drawdown = 1 - account.equity / account.high
    release = Decimal("0.75")
    reduce, stop, flatten = account.tiers
    if account.tier == 3 or drawdown >= flatten:
        account.tier = 3
    elif drawdown >= (stop * release if account.tier == 2 else stop):
        account.tier = 2
    elif drawdown >= (reduce * release if account.tier >= 1 else reduce):
        account.tier = 1
    else:
        account.tier = 0
    if account.tier == 3:
        for slot in slots:
            if slot.position and not slot.goal:
                slot.goal = "drawdown"


def take_signals(slot: Slot, minute: int | None) -> None:
    if minute is None:
        return
    slot.due = True
    for m in slot.members:
        raw, confidence, stop, target = m.script[minute]
        m.changed = raw in (1, -1) and raw != m.raw
        m.raw = raw
        if raw != 2:
            m.direction, m.confidence, m.stop, m.target = raw, confidence, stop, target


def combine(slot: Slot) -> None:
    if slot.vote:
        votes = [m.direction for m in slot.members]
        slot.net = Decimal(sum(votes))
        side = (slot.net > 0) - (slot.net < 0)
        slot.wish = side if side and votes.count(side) >= slot.quorum else 0
    else:
        total = sum(m.share for m in slot.members)
        slot.net = sum(m.share / total * m.confidence * m.direction for m in slot.members)
        side = (slot.net > 0) - (slot.net < 0)
        slot.wish = side if abs(slot.net) >= slot.enter else 0
    if slot.spent:
        if len(slot.members) == 1:
            rearmed = slot.members[0].changed
        else:
            rearmed = slot.wish in (0, -slot.spent)
        if rearmed:
            slot.spent = 0


def exit_if_due(account: Account, slot: Slot, now: int) -> None:
    if slot.due:
        combine(slot)
        if slot.position and not slot.goal:
            carried = slot.net * slot.position["direction"]
            if carried <= 0 or (not slot.vote and carried < slot.exit):
                slot.goal = "signal"
    if slot.position and slot.goal and slot.symbol.fresh:
        close(account, slot, closing_price(slot), slot.goal, now)


def enter_if_due(account: Account, slot: Slot, now: int) -> None:
    due, slot.due = slot.due, False
    s = slot.symbol
    if not due or not slot.wish or slot.spent or slot.position:
        return
    if account.tier >= 2 or account.equity <= 0 or not s.fresh:
        return
    side = slot.wish
    agreeing = [m for m in slot.members if m.direction == side]
    weights = [Decimal(1) if slot.vote else m.share * m.confidence for m in agreeing]
    stop_distance = mean([(m.stop, w) for m, w in zip(agreeing, weights, strict=True)])
    target_distance = mean([(m.target, w) for m, w in zip(agreeing, weights, strict=True)])
    if stop_distance is None:
        return
    price, closing = (s.ask, s.bid) if side > 0 else (s.bid, s.ask)
    stop = s.price(price - side * decimal(stop_distance))
    target = None if target_distance is None else s.price(price + side * decimal(target_distance))
    if (closing - stop) * side <= 0 or (target is not None and (target - closing) * side <= 0):
        return
    # A third of a point is no decimal: only fractions find the whole step.
    lots = Fraction(account.equity * slot.risk) / (stop_distance * Fraction(s.contract))
    if s.inverse:
        lots *= Fraction(s.bid)
    if account.tier == 1:
        lots /= 2
    lots = Decimal(math.floor(min(lots, Fraction(100)) * 100)) * CENT
    if lots < CENT:
        return
    worth = notional(s, lots)
    if s.exposure + worth > account.symbol_max * account.equity:
        return
    if account.gross + worth > account.gross_max * account.equity:
        return
    if (account.gross + worth) / account.leverage > account.margin_max * account.equity:
        return
    s.exposure += worth
    account.gross += worth
    fee = -cents(lots * s.commission)
    total = sum(weights)
    slot.position = {
        "direction": side,
        "lots": lots,
        "price": price,
        "minute": now,
        "stop": stop,
        "target": target,
        "fee": fee,
        "swap": Decimal(0),
        "shares": [w / total for w in weights],
    }
    account.balance += fee


def mean(values: list[tuple[Decimal | None, Decimal]]) -> Fraction | None:
    known = [(v, w) for v, w in values if v is not None]
    if not known or not sum(w for _, w in known):
        return None
    return sum(Fraction(v) * Fraction(w) for v, w in known) / Fraction(sum(w for _, w in known))


def decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def match(account: Account, slot: Slot, bar: Bar, now: int) -> None:
    p, s = slot.position, slot.symbol
    side = p["direction"]
    shift = Decimal(0) if side > 0 else bar.spread
    opened, high, low = (s.price(v + shift) for v in (bar.open, bar.high, bar.low))
    worst, best = (low, high) if side > 0 else (high, low)
    target = p["target"]
    if (opened - p["stop"]) * side <= 0:
        close(account, slot, opened, "stop", now)
    elif target is not None and (opened - target) * side >= 0:
        close(account, slot, opened, "target", now)
    elif (worst - p["stop"]) * side <= 0:
        close(account, slot, p["stop"], "stop", now)
    elif target is not None and (best - target) * side >= 0:
        close(account, slot, target, "target", now)


def close(account: Account, slot: Slot, price: Decimal, reason: str, now: int) -> None:
    p = slot.position
    gain, swap = cents(profit(slot, price)), cents(p["swap"])
    fee = -cents(p["lots"] * slot.symbol.commission)
    account.balance += gain + fee + swap
    account.trades.append(
        {
            "book": slot.name,
            "direction": p["direction"],
            "lots": p["lots"],
            "entry_minute": p["minute"],
            "entry_price": p["price"],
            "exit_minute": now,
            "exit_price": price,
            "exit_reason": reason,
            "commission": p["fee"] + fee,
            "swap": swap,
            "profit": gain + p["fee"] + fee + swap,
        }
    )
    if reason != "signal":
        slot.spent = p["direction"]
    slot.position, slot.goal = None, ""
