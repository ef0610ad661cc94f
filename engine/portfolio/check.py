"""What a portfolio file may not say: every complaint is one line naming key, value and remedy."""

import math
import re
from datetime import date
from typing import Final

import msgspec

from engine.decision.allocation.hierarchical import skfolio_fault
from engine.model.errors import ConfigError
from engine.model.near import meant
from engine.model.portfolio import (
    RECORD_DAYS,
    RISK_LIMITS,
    AllocationSpec,
    BookSpec,
    Portfolio,
    SizingSpec,
    StopsSpec,
    StrategySpec,
    SwitchSpec,
)
from engine.model.server_clock import ServerClock
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.model.times import FIRST_DATE, LAST_DATE, Timeframe
from engine.portfolio.membership import entry_minutes, memberships, symbol_spec

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,62}")
_CURRENCY = re.compile(r"[A-Z]{3}")
# Brokers also quote in coins and cents: USDT, USC.
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}")
# Symbols name files; "EUR/USD" at the broker is terminal.symbol_names = "EURUSD=EUR/USD".
_SYMBOL = re.compile(r"[^\s/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,63}")
_SHARE_MOST = 1e6
# 0.29 / 0.01 is 28.999…96 in binary.
_STEP_EPS = 1e-9


def portfolio_faults(p: Portfolio) -> list[str]:
    """Return what is wrong with a portfolio that was read, in the order of its tables."""
    return [
        *_account_complaints(p),
        *_risk_complaints(p),
        *_strategy_complaints(p),
        *_book_complaints(p),
        *_symbol_complaints(p),
        *_allocation_complaints(p),
    ]


# Cents of more than this, and steps of more lots, are no whole numbers of a float64 any more.
_MOST_CCY: Final = 1e13
_MOST_LOTS: Final = 1e15
_MOST_LEVERAGE: Final = 100_000
_MOST_STOP_OUT_PERCENT: Final = 1000.0
_MOST_RELEASE_DAYS: Final = 10_000
# The most that any limit may be, and the least of these that are parts of a whole. What is beyond
# is a slip of the pen: 5 for 5 %, a percentage for a fraction, a zero too many.
_MOST: Final = 1e9
_MOST_OF: Final = {
    "account_drawdown_max_frac": 1.0,
    "daily_loss_max_frac": 1.0,
    "margin_max_frac": 1.0,
    "correlation_threshold_frac": 1.0,
    "largest_share_max_frac": 1.0,
    "collar_frac": 1.0,
    "correlation_shrink_frac": 1.0,
    "order_max_lots": _MOST_LOTS,
}


def _account_complaints(p: Portfolio) -> list[str]:
    out = []
    if not 0.0 < p.account.balance_ccy <= _MOST_CCY:
        out.append(
            f"account.balance_ccy is {p.account.balance_ccy}; it must be above 0 and at most "
            f"{_MOST_CCY:g}"
        )
    if not 1 <= p.account.leverage <= _MOST_LEVERAGE:
        out.append(
            f"account.leverage is {_short(p.account.leverage)}; it must be at least 1 and at most "
            f"{_MOST_LEVERAGE:,}"
        )
    if not 0.0 <= p.account.stop_out_level_percent <= _MOST_STOP_OUT_PERCENT:
        out.append(
            f"account.stop_out_level_percent is {p.account.stop_out_level_percent}; it must be 0 "
            f"or more, at most {_MOST_STOP_OUT_PERCENT:g}: 50 is half of the margin"
        )
    if not _CURRENCY.fullmatch(p.account.currency):
        out.append(f"account.currency is {p.account.currency!r}; use three capital letters")
    try:
        ServerClock(p.server_clock)
    except ConfigError as e:
        out.append(f"server_clock: {e}")
    return out


def _risk_complaints(p: Portfolio) -> list[str]:
    risk = p.risk
    out = [
        f"risk.{name} is {value}; it must be above 0 and at most {most:g}"
        for name in RISK_LIMITS
        for most in (_MOST_OF.get(name, _MOST),)
        if not 0.0 < (value := getattr(risk, name)) <= most
    ]
    tiers = (
        risk.drawdown_reduce_frac,
        risk.drawdown_stop_entries_frac,
        risk.drawdown_flatten_frac,
    )
    if not tiers[0] < tiers[1] < tiers[2] < 1.0:
        out.append(
            "risk: drawdown_reduce_frac < drawdown_stop_entries_frac < drawdown_flatten_frac < 1 "
            f"does not hold: {tiers[0]}, {tiers[1]}, {tiers[2]}"
        )
    release = risk.drawdown_release
    if not isinstance(release, str) and not 1 <= release <= _MOST_RELEASE_DAYS:
        out.append(
            f'risk.drawdown_release is {_short(release)}; write "operator", or a whole number of '
            f"server days, 1 to {_MOST_RELEASE_DAYS:,}"
        )
    if not 1 <= risk.sample_minutes <= 1440 or 1440 % risk.sample_minutes:
        out.append(f"risk.sample_minutes is {risk.sample_minutes:g}; it must divide a day of 1440")
    out += [
        f"risk.closed_days: {text!r} is no day; write YYYY-MM-DD"
        for text in risk.closed_days
        if not _is_day(text)
    ]
    known = {s.symbol for s in p.strategy} | {o for s in p.strategy for o in s.others}
    for key in ("restricted", "close_only"):
        out += [
            f"risk.{key}: {name!r} is no symbol of this file{meant(name, {*known, *p.symbols})}"
            for name in getattr(risk, key)
            if name not in known and name not in p.symbols
        ]
    return out


def _is_day(text: str) -> bool:
    try:
        return FIRST_DATE <= date.fromisoformat(text).isoformat() == text <= LAST_DATE
    except ValueError:
        return False


# The most that each number of a sizing may be; all must be above 0.
_SIZING_MOST = {
    "risk_frac": 0.1,
    "lots": 1e6,
    "volatility_frac": 0.1,
    "kelly_frac": 1.0,
    "kelly_max_frac": 0.1,
    "kelly_min_trades": 1e6,
    "kelly_shrink_trades": 1e6,
}


def _sizing_complaints(where: str, sizing: SizingSpec | None) -> list[str]:
    if sizing is None:
        return []
    return [
        f"{where}.sizing.{name} is {_short(value)}; allowed: above 0, at most {most:g}"
        for name, most in _SIZING_MOST.items()
        if not 0.0 < (value := getattr(sizing, name)) <= most
    ]


def _stops_complaints(where: str, stops: StopsSpec | None) -> list[str]:
    if stops is None:
        return []
    out = [
        f"{where}.stops.{name} is {value}; allowed: 0 to 1e7"
        for name in StopsSpec.__struct_fields__
        if not 0.0 <= (value := getattr(stops, name)) <= 1e7
    ]
    if not (stops.trail_points or stops.break_even_points):
        out.append(f"{where}.stops moves nothing: set trail_points or break_even_points")
    if stops.break_even_points and stops.break_even_plus_points >= stops.break_even_points:
        out.append(f"{where}.stops: break_even_plus_points must be below break_even_points")
    return out


def _declared_complaints(where: str, declares: StrategySpec | BookSpec) -> list[str]:
    """Complain of what a strategy or a book declares of itself."""
    return [
        f"{where}: {key} is {_short(declared)}; 0 declares nothing, "
        f"else above 0 and at most {most:g}"
        for key, declared, most in (
            ("max_orders_per_day", declares.max_orders_per_day, _MOST),
            ("max_lots", declares.max_lots, _MOST_LOTS),
        )
        if not 0 <= declared <= most
    ]


def _strategy_complaints(p: Portfolio) -> list[str]:
    out: list[str] = []
    if not p.strategy:
        out.append("no [[strategy]]: a portfolio needs at least one")
    seen: set[str] = set()
    for s in p.strategy:
        where = f"strategy {s.name!r}"
        if not _NAME.fullmatch(s.name):
            out.append(f"{where}: a name is 1 to 63 letters, digits, and _ . + -")
        if s.name in seen:
            out.append(f"{where} is there twice; names must be unique")
        seen.add(s.name)
        if s.timeframe not in Timeframe.__members__:
            allowed = ", ".join(Timeframe.__members__)
            hint = meant(s.timeframe, Timeframe.__members__) or ";"
            out.append(f"{where}: timeframe {s.timeframe!r} is unknown{hint} allowed: {allowed}")
        symbols = {*DEFAULT_SYMBOLS, *p.symbols}
        for name, place in ((s.symbol, ""), *((other, " in others") for other in s.others)):
            if name not in symbols:
                what = f"symbol {name!r}{place} is unknown{meant(name, symbols) or ';'}"
                out.append(f"{where}: {what} describe it in [symbols]")
        out += _declared_complaints(where, s)
        out += _sizing_complaints(where, s.sizing)
        out += _stops_complaints(where, s.stops)
    return out


def _book_complaints(p: Portfolio) -> list[str]:
    out: list[str] = []
    strategies = {s.name: s for s in p.strategy}
    owner: dict[str, str] = {}
    for b in p.book:
        where = f"book {b.name!r}"
        if not _NAME.fullmatch(b.name):
            out.append(f"{where}: a name is 1 to 63 letters, digits, and _ . + -")
        if b.name in strategies or sum(o.name == b.name for o in p.book) > 1:
            out.append(f"{where}: the name is already a strategy's or another book's")
        if not b.members:
            out.append(f"{where} has no members")
        for name, share in b.members.items():
            if name not in strategies:
                hint = meant(name, strategies)
                out.append(f"{where}: member {name!r} is no [[strategy]] of this file{hint}")
            elif name in owner:
                out.append(f"{where}: member {name!r} is already in book {owner[name]!r}")
            elif strategies[name].sizing is not None:
                out.append(f"{where}: member {name!r} has its own sizing; the book sizes")
            elif strategies[name].stops is not None:
                out.append(f"{where}: member {name!r} has its own stops; the book moves them")
            owner[name] = b.name
            if not 0.0 < share <= _SHARE_MOST:
                out.append(
                    f"{where}: the share of {name!r} is {share}; it must be above 0 "
                    f"and at most {_SHARE_MOST:g}"
                )
        if not 0.0 <= b.exit <= b.enter <= 1.0:
            out.append(f"{where}: 0 <= exit <= enter <= 1 does not hold: {b.exit}, {b.enter}")
        if isinstance(b.quorum, int) and not 1 <= b.quorum <= max(1, len(b.members)):
            out.append(f"{where}: quorum is {_short(b.quorum)}; allowed: 1 to {len(b.members)}")
        out += _declared_complaints(where, b)
        out += _sizing_complaints(where, b.sizing)
        out += _stops_complaints(where, b.stops)
    names = {b.name for b in p.book} | {s.name for s in p.strategy if s.name not in owner}
    for name, share in p.allocation.shares.items():
        if name not in names:
            hint = meant(name, names) or ";"
            out.append(
                f"allocation.shares: {name!r} is no book{hint} books: {', '.join(sorted(names))}"
            )
        elif not 0.0 <= share <= _SHARE_MOST:
            out.append(f"allocation.shares: {name!r} is {share}; allowed: 0 to {_SHARE_MOST:g}")
    return out + _netting_complaints(p)


def _netting_complaints(p: Portfolio) -> list[str]:
    if p.account.margin_mode == "hedging":
        return []
    out = []
    owners: dict[str, str] = {}
    for book, _, symbol in ((b.name, m, s) for b, m, s in memberships(p)):
        if owners.setdefault(symbol, book) != book:
            out.append(
                f"netting account: symbol {symbol} belongs to books {owners[symbol]!r} and "
                f"{book!r}; merge them into one book"
            )
    return out


_MOST_VOLUME_LOTS: Final = 1e9
# The least and the most of each number of a symbol's contract.
_CONTRACT: dict[str, tuple[float, float]] = {
    "digits": (0, 10),
    "contract_size": (1e-9, 1e9),
    "volume_min_lots": (1e-8, _MOST_VOLUME_LOTS),
    "volume_max_lots": (1e-8, _MOST_VOLUME_LOTS),
    "volume_step_lots": (1e-8, _MOST_VOLUME_LOTS),
    "spread_points": (0, 1e7),
    "commission_per_lot_ccy": (0, 1e7),
    "swap_long_points": (-1e7, 1e7),
    "swap_short_points": (-1e7, 1e7),
    "swap_triple_weekday": (0, 6),
    "stops_level_points": (0, 1e7),
    "order_max_lots": (1e-8, _MOST_LOTS),
}
_WEEKDAYS = "0 (Monday) to 6 (Sunday)"


def _symbol_complaints(p: Portfolio) -> list[str]:
    read = {name for s in p.strategy for name in (s.symbol, *s.others)}
    out = [
        f"symbol {name!r}: a name is 1 to 63 characters without blanks, / and \\; "
        "what the broker calls it belongs into terminal.symbol_names"
        for name in sorted({*p.symbols, *read})
        if not _SYMBOL.fullmatch(name)
    ]
    for name, override in p.symbols.items():
        values = {k: v for k, v in msgspec.structs.asdict(override).items() if v is not None}
        for key, (low, high) in _CONTRACT.items():
            if key in values and not low <= values[key] <= high:
                allowed = _WEEKDAYS if key == "swap_triple_weekday" else f"{low:g} to {high:g}"
                out.append(f"symbols.{name}.{key} is {_short(values[key])}; allowed: {allowed}")
        out += [
            f"symbols.{name}.{key} is {values[key]!r}; write a currency such as 'USD'"
            for key in ("base", "profit_currency")
            if key in values and not _UNIT.fullmatch(values[key])
        ]
        if "entry_hours" in values:
            out += _hours_complaints(name, values["entry_hours"])
        if name not in DEFAULT_SYMBOLS:
            needed = ("digits", "contract_size", "base", "profit_currency")
            missing = [k for k in needed if k not in values]
            if missing:
                out.append(f"symbols.{name} is not built in and lacks {', '.join(missing)}")
    return out or _volume_complaints(p)


def _volume_complaints(p: Portfolio) -> list[str]:
    """Return the symbols of which no volume can be traded."""
    out = []
    for name in p.symbols:
        spec = symbol_spec(p, name)
        least, most, step = spec.volume_min_lots, spec.volume_max_lots, spec.volume_step_lots
        if least > most:
            out.append(
                f"symbols.{name}.volume_min_lots is {least}; "
                f"it must be at most volume_max_lots, {most}"
            )
        elif math.floor(most / step + _STEP_EPS) * step < least * (1.0 - _STEP_EPS):
            out.append(
                f"symbols.{name}.volume_step_lots is {step}; no multiple of it lies between "
                f"volume_min_lots, {least}, and volume_max_lots, {most}"
            )
    return out


def _short(number: float) -> str:
    """Return a number in at most some twenty characters: integers may have any length."""
    text = str(number)
    return text if len(text) <= 24 else f"{text[:6]}… ({len(text)} digits)"


def _hours_complaints(symbol: str, hours: str) -> list[str]:
    try:
        entry_minutes(hours)
    except ConfigError as e:
        return [f"symbols.{symbol}.{e}"]
    return []


def _allocation_complaints(p: Portfolio) -> list[str]:
    a = p.allocation
    ranges: dict[str, tuple[float, float]] = {
        "half_life_days": (1.0, 10_000),
        "shrink_days": (0.0, 10_000),
        "min_days": (2, RECORD_DAYS),
        "floor_ratio": (0.0, 1.0),
        "cap_ratio": (1.0, 10_000),
        "turnover_max_frac": (0.001, 1.0),
    }
    out = _range_complaints("allocation", a, ranges)
    if a.shares and not sum(a.shares.values()) > 0.0:
        out.append("allocation.shares are all 0; give at least one book a share, or name none")
    if a.method == "manual" and a.level == "members":
        out.append(
            "allocation.level is 'members', but method is 'manual': members' manual shares stand "
            "in their [[book]]; drop level or choose another method"
        )
    if a.method == "hrp" and (fault := skfolio_fault()):
        out.append(f"allocation.method: {fault}")
    return out + (_switch_complaints(a.switch) if a.switch is not None else [])


def _switch_complaints(switch: SwitchSpec) -> list[str]:
    where = "allocation.switch"
    ranges: dict[str, tuple[float, float]] = {
        "disable_score": (-100, 100),
        "enable_score": (-100, 100),
        "disable_drawdown_r": (0.001, 10_000),
        "enable_drawdown_r": (0.0, 10_000),
        "cool_down_days": (1, 10_000),
        "min_days": (2, RECORD_DAYS),
    }
    out = _range_complaints(where, switch, ranges)
    if switch.enable_score < switch.disable_score:
        out.append(
            f"{where}.enable_score is {switch.enable_score}; it must be at least disable_score, "
            f"{switch.disable_score}, or who comes back goes at once"
        )
    if switch.enable_drawdown_r > switch.disable_drawdown_r:
        out.append(
            f"{where}.enable_drawdown_r is {switch.enable_drawdown_r}; it must be at most "
            f"disable_drawdown_r, {switch.disable_drawdown_r}"
        )
    return out


def _range_complaints(
    where: str, settings: AllocationSpec | SwitchSpec, ranges: dict[str, tuple[float, float]]
) -> list[str]:
    values = msgspec.structs.asdict(settings)
    return [
        f"{where}.{key} is {_short(values[key])}; allowed: {low:,g} to {high:,g}"
        for key, (low, high) in ranges.items()
        if not low <= values[key] <= high
    ]
