"""A second implementation of docs/SEMANTICS.md in plain Python and exact decimals.

It shares no code with the core and follows the text, not the kernels: one dictionary a position,
money in Decimal, the server's day from the calendar. Slow, small, and only for M1. Covariances,
and what is made of them, are floats.
"""

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

CENT = Decimal("0.01")
NEW_YORK = ZoneInfo("America/New_York")
NAN = float("nan")


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
    usual_points: Decimal
    stops_level: Decimal = Decimal(0)
    restricted: bool = False
    hours: tuple[int, int] = (0, 0)  # minutes of the server's day
    own_order_lots: Decimal | None = None
    bid: Decimal | None = None
    ask: Decimal | None = None
    last_close: Decimal | None = None
    fresh: bool = False
    gross: Decimal = Decimal(0)
    net: Decimal = Decimal(0)
    orders: list[Fraction] = field(default_factory=list)
    sampled: Decimal | None = None
    returns: list[float] = field(default_factory=list)
    n_samples: int = 0
    doubted: tuple[Decimal, Decimal] | None = None
    doubted_until: float = -1.0
    variance: float = 0.0

    @property
    def point(self) -> Decimal:
        return Decimal(1).scaleb(-self.digits)

    @property
    def usual_spread(self) -> Decimal:
        return max(self.usual_points, Decimal(1)) * self.point

    def price(self, value: Decimal) -> Decimal:
        return value.quantize(self.point, ROUND_HALF_EVEN)

    @property
    def conversion(self) -> Decimal | None:
        if not self.inverse:
            return Decimal(1)
        return None if self.bid is None else 1 / self.bid


@dataclass
class Shadow:
    direction: int = 0
    price: Decimal = Decimal(0)
    stop: Decimal | None = None
    target: Decimal | None = None
    unit: Decimal = Decimal(0)
    cost: Fraction = Fraction(0)
    swap: Decimal = Decimal(0)
    goal: bool = False
    spent: bool = False
    results: list[Fraction] = field(default_factory=list)


@dataclass
class Member:
    share: Decimal
    script: dict[int, tuple]  # open minute → (raw, confidence, stop, target)
    enabled: bool = True
    raw: int = 0
    direction: int = 0
    confidence: Decimal = Decimal(0)
    stop: Decimal | None = None
    target: Decimal | None = None
    changed: bool = False
    shadow: Shadow = field(default_factory=Shadow)
    realised: Decimal = Decimal(0)


@dataclass
class Slot:
    name: str
    symbol: Symbol
    members: list[Member]
    vote: bool
    sizing: dict
    enter: Decimal = Decimal(0)
    exit: Decimal = Decimal(0)
    quorum: int | str = 1
    allocation: Decimal = Decimal(1)
    max_orders: int = 0
    max_lots: Decimal = Decimal(0)
    position: dict | None = None
    goal: str = ""
    spent: int = 0  # the direction it was spent in
    due: bool = False
    net: Decimal = Decimal(0)
    wish: int = 0
    refused: set[str] = field(default_factory=set)  # by which rules, this wish
    barred: bool = False
    orders_today: int = 0
    stops: dict = field(default_factory=dict)
    same: tuple[int, int, int] = (0, 0, 0)  # direction, count, minute of the first


@dataclass
class Account:
    balance: Decimal
    limits: dict[str, Decimal]
    closed_days: tuple[str, ...] = ()
    high: Decimal = Decimal(0)
    drawdown: Decimal = Decimal(0)
    equity: Decimal = Decimal(0)
    day_start: Decimal = Decimal(0)
    gross: Decimal = Decimal(0)
    tier: int = 0
    halted: bool = False
    day: object = None  # of the last bar that opened
    night: object = None  # up to which swaps are charged
    sample: int = -1
    tokens: Fraction = Fraction(0)
    tokens_minute: int = 0
    symbol_tokens: dict[int, tuple[Fraction, int]] = field(default_factory=dict)
    trades: list[dict] = field(default_factory=list)
    curve: list[tuple[int, Decimal, Decimal]] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    checked: list[tuple[int, str, dict]] = field(default_factory=list)


def cents(value: Decimal) -> Decimal:
    return value.quantize(CENT, ROUND_HALF_UP)


def wall_clock(minute: int) -> datetime:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    return moment.astimezone(NEW_YORK).replace(tzinfo=None) + timedelta(hours=7)


def run(account: Account, symbols: list[Symbol], slots: list[Slot], first: int, stop: int) -> None:
    """Trade from minute `first` until `stop`; trades and curve are left in the account."""
    account.high = account.equity = account.balance
    account.tokens = Fraction(account.limits["orders_per_minute_max"])
    opening = [{b.minute: b for b in s.bars if first <= b.minute < stop} for s in symbols]
    batches = sorted({m + d for bars in opening for m in bars for d in (0, 1)})
    for now in batches:
        charge_swaps(account, slots, wall_clock(now).date())
        if any(opens(bars.get(now)) for bars in opening):
            roll_day(account, slots, wall_clock(now).date())
        for symbol, bars in zip(symbols, opening, strict=True):
            bar = bars.get(now)
            symbol.fresh = bar is not None and believe(symbol, bar.open, bar.spread, now, now)
        stop_out(account, symbols, slots, now)
        mark(account, slots)
        risk_state(account, slots)
        sample(account, symbols, now)
        account.curve.append((now, account.balance, account.equity))
        for slot in slots:
            closed = opening[index_of(symbols, slot.symbol)].get(now - 1)
            take_signals(slot, now - 1 if closed is not None and is_real(closed) else None)
        for slot in slots:
            exit_if_due(account, symbols, slot, now)
        mark(account, slots)
        mark_exposure(account, symbols, slots)
        for slot in slots:
            enter_if_due(account, symbols, slots, slot, now)
        for slot in slots:
            move_stop(account, symbols, slot, now)
        for slot in slots:
            bar = opening[index_of(symbols, slot.symbol)].get(now)
            if bar is not None and slot.position and fits(slot.symbol, bar):
                match(account, slot, bar, now)
        for symbol, bars in zip(symbols, opening, strict=True):
            if now in bars and is_real(bars[now]):
                bar = bars[now]
                for slot in slots:
                    if slot.symbol is symbol and fits(symbol, bar):
                        match_shadows(slot, bar)
                        follow(slot, bar)
                if believe(symbol, bar.close, bar.spread, now, now + 0.99):
                    if symbol.last_close is not None:
                        move = min(abs(float(bar.close / symbol.last_close) - 1.0), 0.05)
                        symbol.variance += (move * move - symbol.variance) / 1440
                    symbol.last_close = bar.close
    for slot in slots:
        if slot.position:
            close(account, slot, closing_price(slot), slot.goal or "end", batches[-1])


def index_of(symbols: list[Symbol], symbol: Symbol) -> int:
    return next(i for i, s in enumerate(symbols) if s is symbol)


def opens(bar: Bar | None) -> bool:
    return bar is not None and bar.open.is_finite() and bar.open > 0


def is_real(bar: Bar) -> bool:
    prices = (bar.open, bar.high, bar.low, bar.close)
    return all(p.is_finite() and bar.low <= p <= bar.high for p in prices) and bar.low > 0


def band(symbol: Symbol) -> float:
    """Return how far a plausible price may be, as a part of the last believed one."""
    day = math.sqrt(symbol.variance * 1440)
    spread = float(symbol.usual_spread / symbol.bid)
    return min(max(0.05, 3 * day, 20 * spread), 0.3)


def near(price: Decimal, other: Decimal, frac: float) -> bool:
    return abs(float(price - other)) <= frac * float(other)


def fits(symbol: Symbol, bar: Bar) -> bool:
    """Tell whether a bar's range is within the band around what is believed."""
    if not (bar.low.is_finite() and bar.high.is_finite()):
        return False
    high_ask = symbol.price(bar.high + bar.spread)
    if symbol.bid is None:
        return 0 < bar.low <= high_ask
    wide = band(symbol)
    return near(bar.low, symbol.bid, wide) and near(high_ask, symbol.ask, wide)


def believe(symbol: Symbol, bid: Decimal, spread: Decimal, began: float, ended: float) -> bool:
    """Take a price if it is near the last one, or agrees with a doubted one of before."""
    if not bid.is_finite() or bid <= 0 or symbol.price(bid + spread) < bid:
        return False
    ask = symbol.price(bid + spread)
    wide = 0.0 if symbol.bid is None else band(symbol)
    if symbol.bid is not None and not (near(bid, symbol.bid, wide) and near(ask, symbol.ask, wide)):
        before, until = symbol.doubted, symbol.doubted_until
        agrees = before is not None and near(bid, before[0], wide) and near(ask, before[1], wide)
        symbol.doubted_until = max(until, ended)
        if not agrees:
            symbol.doubted = bid, ask
        if not agrees or began <= until:
            return False
    symbol.bid, symbol.ask, symbol.doubted = bid, ask, None
    return True


def stop_out(account: Account, symbols: list[Symbol], slots: list[Slot], now: int) -> None:
    """Close the largest loser that has a quote while equity is below its part of the margin."""
    first = len(account.trades)
    while held := [s for s in slots if s.position]:
        equity = account.balance
        margin = Decimal(0)
        for slot in held:
            equity += cents(profit(slot, closing_price(slot))) + cents(slot.position["swap"])
        for symbol in symbols:
            sides = [Decimal(0), Decimal(0)]
            for slot in held:
                if slot.symbol is symbol:
                    sides[slot.position["direction"] > 0] += slot.position["lots"]
            if any(sides):
                margin += notional(symbol, max(sides)) / account.limits["leverage"]
        losers = [slot for slot in held if slot.symbol.fresh]
        if equity >= cents(margin) * account.limits["stop_out_frac"] or not losers:
            break
        worst = min(
            losers, key=lambda s: (cents(profit(s, closing_price(s))), s.position["minute"])
        )
        close(account, worst, closing_price(worst), "stop_out", now)
    names = [slot.name for slot in slots]
    places = {id(trade): names.index(trade["book"]) for trade in account.trades[first:]}
    account.trades[first:] = sorted(account.trades[first:], key=lambda t: places[id(t)])


def nights(before, today, triple: int) -> int:
    count, day = 0, before
    while day < today:
        if day.weekday() < 5:
            count += 3 if day.weekday() == triple else 1
        day += timedelta(days=1)
    return count


def roll_day(account: Account, slots: list[Slot], today) -> None:
    """Begin the day of the bar that opens: a calendar day without bars is none."""
    if account.day == today:
        return
    account.day, account.day_start = today, account.equity
    for slot in slots:
        slot.orders_today = 0


def charge_swaps(account: Account, slots: list[Slot], today) -> None:
    """Charge the nights since the last batch, bars or none."""
    before, account.night = account.night, today
    if before is None or before == today:
        return
    for slot in slots:
        s = slot.symbol
        n = nights(before, today, s.triple)
        for m in slot.members:
            if m.shadow.direction:
                points = s.swap_long if m.shadow.direction > 0 else s.swap_short
                m.shadow.swap += n * points * s.point
        if p := slot.position:
            points = s.swap_long if p["direction"] > 0 else s.swap_short
            p["swap"] += n * points * s.point * s.contract * p["lots"] * s.conversion


def mark(account: Account, slots: list[Slot]) -> None:
    account.equity = account.balance
    for slot in slots:
        if slot.position:
            account.equity += profit(slot, closing_price(slot)) + slot.position["swap"]


def mark_exposure(account: Account, symbols: list[Symbol], slots: list[Slot]) -> None:
    account.gross = Decimal(0)
    for s in symbols:
        s.gross = s.net = Decimal(0)
    for slot in slots:
        if slot.position:
            add_exposure(account, slot.symbol, slot.position["direction"], slot.position["lots"])


def add_exposure(account: Account, s: Symbol, side: int, lots: Decimal) -> None:
    worth = notional(s, lots)
    s.gross += worth
    s.net += side * worth
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
    drawdown = account.drawdown = 1 - account.equity / account.high
    release = Decimal("0.75")
    reduce, stop, flatten = (
        account.limits[f"drawdown_{name}_frac"] for name in ("reduce", "stop_entries", "flatten")
    )
    if account.tier == 3 or drawdown >= flatten:
        account.tier = 3
    elif drawdown >= (stop * release if account.tier == 2 else stop):
        account.tier = 2
    elif drawdown >= (reduce * release if account.tier >= 1 else reduce):
        account.tier = 1
    else:
        account.tier = 0
    if account.tier == 3:
        account.halted = True
        for slot in slots:
            if slot.position and not slot.goal:
                slot.goal = "drawdown"


def sample(account: Account, symbols: list[Symbol], now: int) -> None:
    cell = now // int(account.limits["sample_minutes"])
    if cell == account.sample:
        return
    account.sample = cell
    for s in symbols:
        known = s.sampled is not None and s.bid is not None
        s.returns.append(float(s.bid / s.sampled) - 1.0 if known else 0.0)
        s.returns[:] = s.returns[-250:]
        s.n_samples += known
        if s.bid is not None:
            s.sampled = s.bid


def covariance(account: Account, one: Symbol, other: Symbol) -> float:
    count = min(one.n_samples, other.n_samples)
    if count < account.limits["samples_min"]:
        return NAN
    value = math.fsum(a * b for a, b in zip(one.returns, other.returns, strict=True))
    kept = 1.0 if one is other else 1.0 - float(account.limits["correlation_shrink_frac"])
    return kept * value / min(count, 250)


def correlation(account: Account, one: Symbol, other: Symbol) -> float:
    product = covariance(account, one, one) * covariance(account, other, other)
    return covariance(account, one, other) / math.sqrt(product) if product > 0.0 else NAN


def take_signals(slot: Slot, minute: int | None) -> None:
    due = minute is not None
    slot.due = slot.due or due
    for m in slot.members:
        if due:
            raw, confidence, stop, target = m.script[minute]
            m.changed = raw in (1, -1) and raw != m.raw
            m.raw = raw
            if raw != 2:
                m.direction, m.confidence, m.stop, m.target = raw, confidence, stop, target
            if m.changed:
                m.shadow.spent = False
        step_shadow(slot.symbol, m, due)


def step_shadow(s: Symbol, m: Member, due: bool) -> None:
    """Trade a member as a book of one of one unit, without limits."""
    own = m.shadow
    if own.direction and due and m.direction != own.direction:
        own.goal = True
    if own.direction and own.goal and s.fresh:
        end_shadow(m, s.bid if own.direction > 0 else s.ask)
    if own.direction or own.spent or not m.direction or not due or not s.fresh:
        return
    side = m.direction
    own.direction, own.goal, own.swap = side, False, Decimal(0)
    own.price = s.ask if side > 0 else s.bid
    own.stop = None if m.stop is None else s.price(own.price - side * m.stop)
    own.target = None if m.target is None else s.price(own.price + side * m.target)
    own.unit = own.price / 100 if m.stop is None else m.stop
    rate = 1 / Fraction(s.bid) if s.inverse else 1
    own.cost = 2 * Fraction(s.commission) / (Fraction(s.contract) * rate)


def end_shadow(m: Member, price: Decimal) -> None:
    own = m.shadow
    gain = Fraction((price - own.price) * own.direction + own.swap) - own.cost
    own.results.append(gain / Fraction(own.unit))
    own.direction, own.goal = 0, False


def match_shadows(slot: Slot, bar: Bar) -> None:
    for m in slot.members:
        own = m.shadow
        if own.direction:
            hit = level_hit(slot.symbol, own.direction, own.stop, own.target, bar)
            if hit is not None:
                end_shadow(m, hit[1])
                own.spent = True


def combine(slot: Slot) -> None:
    before = slot.wish
    voting = [m for m in slot.members if m.enabled]
    speaking = voting or slot.members  # with nobody to vote all speak for the exit alone
    if slot.vote:
        votes = [m.direction for m in speaking]
        slot.net = Decimal(sum(votes))
        side = (slot.net > 0) - (slot.net < 0)
        least = {"majority": len(voting) // 2 + 1, "unanimous": len(voting)}.get(
            slot.quorum, slot.quorum
        )
        slot.wish = side if side and votes.count(side) >= least else 0
    else:
        total = sum(m.share for m in speaking)
        slot.net = sum(m.share * m.confidence * m.direction for m in speaking) / total
        side = (slot.net > 0) - (slot.net < 0)
        slot.wish = side if abs(slot.net) >= slot.enter else 0
    rearm_wish = slot.wish
    if not voting:
        slot.wish = 0
    if slot.wish != before:
        slot.refused = set()
    if slot.spent:
        if len(slot.members) == 1:
            rearmed = slot.members[0].changed
        else:
            rearmed = rearm_wish in (0, -slot.spent)
        if rearmed:
            slot.spent = 0


def exit_if_due(account: Account, symbols: list[Symbol], slot: Slot, now: int) -> None:
    if slot.due:
        combine(slot)
        if slot.position and not slot.goal:
            carried = slot.net * slot.position["direction"]
            if carried <= 0 or (not slot.vote and carried < slot.exit):
                slot.goal = "signal"
    if slot.position and slot.goal and slot.symbol.fresh:
        count_message(account, symbols, slot.symbol, now)
        close(account, slot, closing_price(slot), slot.goal, now)


def enter_if_due(
    account: Account, symbols: list[Symbol], slots: list[Slot], slot: Slot, now: int
) -> None:
    due, slot.due = slot.due, False
    if not due or not slot.wish or slot.spent or slot.position:
        return
    row: dict[str, tuple] = {}
    refusal = decide(account, symbols, slots, slot, now, row)
    if refusal:
        if refusal not in slot.refused:
            slot.refused.add(refusal)
            account.refused[refusal] = account.refused.get(refusal, 0) + 1
        if refusal in ("DECLARED_LOTS", "DECLARED_ORDERS", "REPEATED"):
            for other in slots:
                other.barred = other.barred or other.name == slot.name
        return
    account.checked.append((now, slot.name, row))
    slot.refused = set()


def first_refusal(row: dict[str, tuple], rules: dict[str, tuple]) -> str:
    """Record the rules; return the first whose value is not at most its limit."""
    row.update(rules)
    return next((name for name, (value, most) in rules.items() if not value <= most), "")


def decide(
    account: Account,
    symbols: list[Symbol],
    slots: list[Slot],
    slot: Slot,
    now: int,
    row: dict[str, tuple],
) -> str:
    """Return the rule that refuses, or open the slot's position and return ""."""
    s, side = slot.symbol, slot.wish
    if refusal := first_refusal(row, state_rules(account, slot, now)):
        return refusal
    agreeing = [m for m in slot.members if m.enabled and m.direction == side]
    weights = [Decimal(1) if slot.vote else m.share * m.confidence for m in agreeing]
    total = sum(weights)
    stop_distance = mean([(m.stop, w) for m, w in zip(agreeing, weights, strict=True)])
    target_distance = mean([(m.target, w) for m, w in zip(agreeing, weights, strict=True)])
    price, closing = (s.ask, s.bid) if side > 0 else (s.bid, s.ask)
    stop = None if stop_distance is None else s.price(price - side * decimal(stop_distance))
    target = None if target_distance is None else s.price(price + side * decimal(target_distance))
    away = [(closing - stop) * side] if stop is not None else []
    away += [(target - closing) * side] if target is not None else []
    method = slot.sizing["method"]
    if method in ("fixed_fraction", "kelly") and stop is None:
        return "NO_STOP"
    least = s.stops_level * s.point
    row["STOP_TOO_CLOSE"] = (min(away, default=math.inf), least)
    if away and min(away) <= least:
        return "STOP_TOO_CLOSE"
    shares = [Fraction(w) / Fraction(total) for w in weights]
    lots = wanted(account, slot, stop_distance, agreeing, shares)
    if lots is None:
        return "NO_RECORD"
    lots *= Fraction(min(slot.allocation, Decimal(3)))
    if account.tier == 1:
        lots /= 2
    lots = Decimal(math.floor(min(lots, Fraction(100)) * 100)) * CENT
    row["VOLUME_BELOW_MIN"] = (lots, CENT)
    if lots < CENT:
        return "VOLUME_BELOW_MIN"
    if refusal := first_refusal(row, order_rules(account, symbols, slots, slot, lots, now)):
        return refusal
    add_exposure(account, s, side, lots)
    count_order(account, symbols, slot, now)
    fee = -cents(lots * s.commission)
    slot.position = {
        "direction": side,
        "lots": lots,
        "price": price,
        "minute": now,
        "stop": stop,
        "target": target,
        "fee": fee,
        "swap": Decimal(0),
        "shares": list(zip(agreeing, shares, strict=True)),
    }
    account.balance += fee
    return ""


def wanted(
    account: Account,
    slot: Slot,
    stop_distance: Fraction | None,
    agreeing: list[Member],
    shares: list[Fraction],
) -> Fraction | None:
    """Return the lots that the method asks for; None where it has no record."""
    s, sizing = slot.symbol, slot.sizing
    method = sizing["method"]
    if method == "fixed_lots":
        return Fraction(sizing["lots"])
    a_lot = Fraction(s.contract) * (1 / Fraction(s.bid) if s.inverse else 1)
    if method == "volatility_target":
        variance = covariance(account, s, s)
        if not variance > 0.0:
            return None
        a_day = math.sqrt(variance * 1440 / float(account.limits["sample_minutes"]))
        moves = a_day * float(s.bid) * float(a_lot)
        return Fraction(float(account.equity * sizing["volatility_frac"]) / moves)
    risk = Fraction(sizing["risk_frac"])
    if method == "kelly":
        risk = kelly(sizing, agreeing, shares)
    return Fraction(account.equity) * risk / (stop_distance * a_lot)


def kelly(sizing: dict, agreeing: list[Member], shares: list[Fraction]) -> Fraction:
    """Return what the agreeing members' records say to risk; all weighted by their shares."""
    records = [(m.shadow.results, w) for m, w in zip(agreeing, shares, strict=True)]
    records = [(r, w) for r, w in records if r]
    n = sum((w * len(r) for r, w in records), Fraction(0))
    most = Fraction(sizing["kelly_max_frac"])
    if n < sizing["kelly_min_trades"]:
        return min(Fraction(sizing["risk_frac"]), most)
    mean_r = sum(w * sum(r) / len(r) for r, w in records)
    square = sum(w * sum(x * x for x in r) / len(r) for r, w in records)
    variance = square - mean_r * mean_r
    if mean_r <= 0 or variance <= 0:
        return Fraction(0)
    shrunk = mean_r * n / (n + sizing["kelly_shrink_trades"])
    return min(Fraction(sizing["kelly_frac"]) * shrunk / variance, most)


def state_rules(account: Account, slot: Slot, now: int) -> dict[str, tuple]:
    """Return (value, limit) of what forbids any entry of the slot now, in order."""
    s, limits, equity = slot.symbol, account.limits, account.equity
    width = s.ask - s.bid
    away, collar = NAN, NAN
    if s.last_close is not None:
        away = abs(s.bid - s.last_close)
        spreads = limits["collar_spreads"] * max(width, s.usual_spread)
        collar = min(spreads, limits["collar_frac"] * s.last_close)
    wall = wall_clock(now)
    minute, (start, stop) = wall.hour * 60 + wall.minute, s.hours
    inside = start == stop or (
        start <= minute < stop if start < stop else not stop <= minute < start
    )
    closed = not inside or wall.date().isoformat() in account.closed_days
    return {
        "HALTED": (int(account.halted), 0),
        "REDUCING": (int(account.halted), 0),
        "DRAWDOWN_TIER": (account.tier, 1),
        "UNKNOWN_EQUITY": (int(equity <= 0), 0),
        "ACCOUNT_DRAWDOWN": (account.drawdown, limits["account_drawdown_max_frac"]),
        "DAILY_LOSS": (1 - equity / account.day_start, limits["daily_loss_max_frac"]),
        "UNSETTLED": (0, 0),
        "SYMBOL_KILLED": (0, 0),
        "RESTRICTED": (int(s.restricted), 0),
        "CLOSED_SESSION": (int(closed), 0),
        "BARRED": (int(slot.barred), 0),
        "STALE_PRICE": (int(not s.fresh), 0),
        "NO_CONVERSION": (int(s.conversion is None), 0),
        "SPREAD": (width / s.usual_spread, limits["spread_max_factor"]),
        "COLLAR": (away, collar),
    }


def order_rules(
    account: Account,
    symbols: list[Symbol],
    slots: list[Slot],
    slot: Slot,
    lots: Decimal,
    now: int,
) -> dict[str, tuple]:
    """Return (value, limit) of what forbids an order of these lots, in order."""
    s, side, limits, equity = slot.symbol, slot.wish, account.limits, account.equity
    worth = notional(s, lots)
    book = [other for other in slots if other.name == slot.name]
    held = sum(notional(o.symbol, o.position["lots"]) for o in book if o.position)
    direction, count, since = slot.same
    if direction != side or now - since >= limits["repeated_minutes"]:
        count = 0
    gross = account.gross + worth
    net = sum(abs(o.net) for o in symbols if o is not s) + abs(s.net + side * worth)
    share = (s.gross + worth) / gross
    small = gross / equity <= limits["diversify_above_frac"]
    same = float(max(side * s.net + worth, Decimal(0)))
    for other in symbols:
        if other is s or not other.net:
            continue
        rho = correlation(account, s, other)
        if math.isnan(rho):
            same += float(abs(other.net))
        elif abs(rho) > limits["correlation_threshold_frac"]:
            same += max(side * float(other.net) * math.copysign(1.0, rho), 0.0)
    most, own_most = limits["orders_per_minute_max"], limits["symbol_orders_per_minute_max"]
    left, own_left = tokens(account, symbols, s, now)
    return {
        "ORDER_LOTS": (lots, s.own_order_lots or limits["order_max_lots"]),
        "ORDER_VALUE": (worth / equity, limits["order_max_value_frac"]),
        "DECLARED_LOTS": (lots, slot.max_lots or math.inf),
        "DECLARED_ORDERS": (
            sum(o.orders_today for o in book) + 1,
            slot.max_orders or limits["book_orders_per_day_max"],
        ),
        "REPEATED": (count + 1, limits["repeated_max"]),
        "THROTTLE": (Fraction(most) - left + 1, most),
        "SYMBOL_THROTTLE": (Fraction(own_most) - own_left + 1, own_most),
        "BOOK_EXPOSURE": ((held + worth) / equity, limits["book_exposure_max_frac"]),
        "SYMBOL_EXPOSURE": ((s.gross + worth) / equity, limits["symbol_exposure_max_frac"]),
        "GROSS_EXPOSURE": (gross / equity, limits["gross_exposure_max_frac"]),
        "NET_EXPOSURE": (net / equity, limits["net_exposure_max_frac"]),
        "MARGIN": (gross / limits["leverage"] / equity, limits["margin_max_frac"]),
        "CORRELATION": (same / float(equity), limits["correlated_exposure_max_frac"]),
        "DIVERSIFICATION": (share, 1 if small else limits["largest_share_max_frac"]),
        "VALUE_AT_RISK": (value_at_risk(account, symbols, s, side * worth), limits["var_max_frac"]),
    }


def value_at_risk(account: Account, symbols: list[Symbol], s: Symbol, order: Decimal) -> float:
    after = [float(o.net + (order if o is s else 0)) for o in symbols]
    known, unknown = [], 0.0
    for o, worth in zip(symbols, after, strict=True):
        if math.isnan(covariance(account, o, o)):
            unknown += abs(worth) * 0.005
        elif worth:
            known.append((o, worth))
    variance = sum(a * b * covariance(account, o, p) for o, a in known for p, b in known)
    samples = 1440 / float(account.limits["sample_minutes"])
    deviation = math.sqrt(max(variance, 0.0) * samples) + unknown
    return 2.3263478740408408 * deviation / float(account.equity)


def tokens(
    account: Account, symbols: list[Symbol], s: Symbol, now: int
) -> tuple[Fraction, Fraction]:
    """Return what is left in the account's and the symbol's bucket; they fill within a minute."""
    most = Fraction(account.limits["orders_per_minute_max"])
    own_most = Fraction(account.limits["symbol_orders_per_minute_max"])
    own, since = account.symbol_tokens.get(index_of(symbols, s), (own_most, 0))
    return (
        min(account.tokens + most * (now - account.tokens_minute), most),
        min(own + own_most * (now - since), own_most),
    )


def count_message(account: Account, symbols: list[Symbol], s: Symbol, now: int) -> None:
    """Take a token of both buckets, which are never emptier than empty."""
    left, own_left = tokens(account, symbols, s, now)
    account.tokens, account.tokens_minute = max(left - 1, Fraction(0)), now
    account.symbol_tokens[index_of(symbols, s)] = max(own_left - 1, Fraction(0)), now


def count_order(account: Account, symbols: list[Symbol], slot: Slot, now: int) -> None:
    count_message(account, symbols, slot.symbol, now)
    direction, count, since = slot.same
    if direction != slot.wish or now - since >= account.limits["repeated_minutes"]:
        count, since = 0, now
    slot.same = slot.wish, count + 1, since
    slot.orders_today += 1


def mean(values: list[tuple[Decimal | None, Decimal]]) -> Fraction | None:
    known = [(v, w) for v, w in values if v is not None]
    if not known or not sum(w for _, w in known):
        return None
    return sum(Fraction(v) * Fraction(w) for v, w in known) / Fraction(sum(w for _, w in known))


def decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def level_hit(
    s: Symbol, side: int, stop: Decimal | None, target: Decimal | None, bar: Bar
) -> tuple[str, Decimal] | None:
    """Return which level the bar touched, and the price it fills at."""
    shift = Decimal(0) if side > 0 else bar.spread
    opened, high, low = (s.price(v + shift) for v in (bar.open, bar.high, bar.low))
    worst, best = (low, high) if side > 0 else (high, low)
    if stop is not None and (opened - stop) * side <= 0:
        return "stop", opened
    if target is not None and (opened - target) * side >= 0:
        return "target", opened
    if stop is not None and (worst - stop) * side <= 0:
        return "stop", stop
    if target is not None and (best - target) * side >= 0:
        return "target", target
    return None


def match(account: Account, slot: Slot, bar: Bar, now: int) -> None:
    p = slot.position
    hit = level_hit(slot.symbol, p["direction"], p["stop"], p["target"], bar)
    if hit is not None:
        close(account, slot, hit[1], hit[0], now)


def follow(slot: Slot, bar: Bar) -> None:
    p = slot.position
    if p:
        seen = bar.high if p["direction"] > 0 else slot.symbol.price(bar.low + bar.spread)
        better = max if p["direction"] > 0 else min
        p["best"] = better(p.get("best", seen), seen)


def move_stop(account: Account, symbols: list[Symbol], slot: Slot, now: int) -> None:
    """Trail behind the best price, or go to the entry: toward profit alone."""
    p, s, how = slot.position, slot.symbol, slot.stops
    if not p or not how or slot.goal or not s.fresh or p["minute"] == now or "best" not in p:
        return
    side, best = p["direction"], p["best"]
    gain = (best - p["price"]) * side / s.point
    wanted = []
    if how["trail_points"] and gain >= how["trail_from_points"]:
        wanted.append(best - side * how["trail_points"] * s.point)
    if how["break_even_points"] and gain >= how["break_even_points"]:
        wanted.append(p["price"] + side * how["break_even_plus_points"] * s.point)
    if not wanted:
        return
    stop = max(wanted) if side > 0 else min(wanted)
    near = s.bid if side > 0 else s.ask
    if p["stop"] is not None and (stop - p["stop"]) * side < max(how["step_points"], 1) * s.point:
        return
    if (near - stop) * side < max(s.stops_level, 1) * s.point:
        return
    if p["target"] is not None and (p["target"] - near) * side < max(s.stops_level, 1) * s.point:
        return
    count_message(account, symbols, s, now)
    p["stop"] = stop


def close(account: Account, slot: Slot, price: Decimal, reason: str, now: int) -> None:
    p = slot.position
    gain, swap = cents(profit(slot, price)), cents(p["swap"])
    fee = -cents(p["lots"] * slot.symbol.commission)
    account.balance += gain + fee + swap
    for amount in (gain, p["fee"] + fee, swap):
        attribute(p["shares"], amount)
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


def attribute(shares: list[tuple[Member, Fraction]], amount: Decimal) -> None:
    """Give each member its share in whole cents; those left to the largest remainders."""
    whole = int(abs(amount) * 100)
    exact = [whole * share for _, share in shares]
    parts = [math.floor(e) for e in exact]
    order = sorted(range(len(shares)), key=lambda i: (parts[i] - exact[i], i))
    for i in order[: whole - sum(parts)]:
        parts[i] += 1
    for (member, _), part in zip(shares, parts, strict=True):
        member.realised += Decimal(part).scaleb(-2).copy_sign(amount) if part else 0
