"""The rules before an entry: each a small pure function that returns its value and its limit.

A rule refuses unless value <= limit, so that a NaN refuses. `Refusal` is the table of the rules:
number, group, and the order in which they are asked; the first that refuses names itself.
`check_state` and `check_order`, at the end, ask a group. Exposures, margin and VaR count the order
as filled, and every entry accepted before it in the batch.
"""

import math
from typing import Final

from engine.decision.account import notional_ccy, usual_spread
from engine.decision.covariance import correlation, samples_per_day
from engine.decision.state import Core
from engine.kernels.compiled import core_kernel
from engine.model.reasons import Refusal, TradingState
from engine.model.times import NS_PER_MINUTE
from engine.model.views.decisions import ORDER_RULES, STATE_RULES

_HALTED: Final = int(TradingState.HALTED)
_ACTIVE: Final = int(TradingState.ACTIVE)
_MINUTES_PER_DAY: Final = 1440
# One-day value at risk at 99 %: the normal quantile; RiskMetrics Technical Document, §1.
_QUANTILE_99: Final = 2.3263478740408408
# What a symbol with too short a record is assumed to move in a day, in step with all others.
UNKNOWN_VOLATILITY_FRAC: Final = 0.005


# ---- may this slot enter at all


@core_kernel
def halted(core: Core) -> tuple[float, float]:
    """Entries were halted by an operator, by a doubt of the engine's, or at tier 3."""
    account = core.account[0]
    return 1.0 if account["trading"] == _HALTED or account["tier"] >= 3 else 0.0, 0.0


@core_kernel
def reducing(core: Core) -> tuple[float, float]:
    """Only what shrinks exposure: an entry never does."""
    return 0.0 if core.account[0]["trading"] == _ACTIVE else 1.0, 0.0


@core_kernel
def drawdown_tier(core: Core) -> tuple[float, float]:
    """Return the drawdown tier: from 2 on no entries."""
    return float(core.account[0]["tier"]), 1.0


@core_kernel
def account_drawdown(core: Core) -> tuple[float, float]:
    """Return the drawdown of the whole account, others' results included."""
    return core.account[0]["account_drawdown_frac"], core.limits[0]["account_drawdown_max_frac"]


@core_kernel
def daily_loss(core: Core) -> tuple[float, float]:
    """Return the part of equity lost since the server's day began."""
    account = core.account[0]
    lost_frac = 1.0 - account["equity_ccy"] / account["day_start_equity_ccy"]
    return lost_frac, core.limits[0]["daily_loss_max_frac"]


@core_kernel
def unknown_equity(core: Core) -> tuple[float, float]:
    """Equity is no number above 0."""
    return 0.0 if 0.0 < core.account[0]["equity_ccy"] < math.inf else 1.0, 0.0


@core_kernel
def unsettled(core: Core, slot: int) -> tuple[float, float]:
    """An order of this slot has an unknown outcome."""
    return float(core.positions[slot]["unsettled"]), 0.0


@core_kernel
def symbol_killed(core: Core, slot: int) -> tuple[float, float]:
    """An operator killed the symbol."""
    return float(core.quotes[core.slots[slot]["symbol"]]["killed"]), 0.0


@core_kernel
def restricted(core: Core, slot: int) -> tuple[float, float]:
    """The symbol is on the restricted or the close-only list."""
    return float(core.symbols[core.slots[slot]["symbol"]]["restricted"]), 0.0


@core_kernel
def closed_session(core: Core, slot: int) -> tuple[float, float]:
    """A closed day, or outside the symbol's entry hours, on the server's clock."""
    spec = core.symbols[core.slots[slot]["symbol"]]
    if core.account[0]["closed_day"]:
        return 1.0, 0.0
    first, last = spec["entry_from_minute"], spec["entry_to_minute"]
    if first == last:
        return 0.0, 0.0
    minute = core.account[0]["server_ns"] // NS_PER_MINUTE % _MINUTES_PER_DAY
    inside = first <= minute < last if first < last else minute >= first or minute < last
    return 0.0 if inside else 1.0, 0.0


@core_kernel
def barred(core: Core, slot: int) -> tuple[float, float]:
    """The book did the same too often, or more than it declared, and nobody enabled it again."""
    return float(core.positions[slot]["barred"]), 0.0


@core_kernel
def stale_price(core: Core, slot: int) -> tuple[float, float]:
    """The quote is not the batch's own."""
    return 0.0 if core.quotes[core.slots[slot]["symbol"]]["fresh"] else 1.0, 0.0


@core_kernel
def no_conversion(core: Core, slot: int) -> tuple[float, float]:
    """The profit currency has no price in the account's."""
    conversion = core.quotes[core.slots[slot]["symbol"]]["conversion"]
    return 0.0 if conversion > 0.0 else 1.0, 0.0


@core_kernel
def spread(core: Core, slot: int) -> tuple[float, float]:
    """Return the spread in usual spreads."""
    s = core.slots[slot]["symbol"]
    quote = core.quotes[s]
    factor = (quote["ask"] - quote["bid"]) / usual_spread(core, s)
    return factor, core.limits[0]["spread_max_factor"]


@core_kernel
def collar(core: Core, slot: int) -> tuple[float, float]:
    """Return how far the quote is from the last close, and how far it may be, as prices."""
    s = core.slots[slot]["symbol"]
    quote = core.quotes[s]
    limits = core.limits[0]
    width = max(quote["ask"] - quote["bid"], usual_spread(core, s))
    furthest = min(limits["collar_spreads"] * width, limits["collar_frac"] * quote["close"])
    return abs(quote["bid"] - quote["close"]), furthest


# ---- may it send this order


@core_kernel
def order_lots(core: Core, slot: int, lots: float) -> tuple[float, float]:
    """Return the order's lots and their ceiling, whatever sized them."""
    own = core.symbols[core.slots[slot]["symbol"]]["order_max_lots"]
    return lots, own if own > 0.0 else core.limits[0]["order_max_lots"]


@core_kernel
def order_value(core: Core, slot: int, lots: float) -> tuple[float, float]:
    """Return the order's notional over equity."""
    worth = notional_ccy(core, core.slots[slot]["symbol"], lots)
    return over_equity(core, worth), core.limits[0]["order_max_value_frac"]


@core_kernel
def declared_lots(core: Core, slot: int, lots: float) -> tuple[float, float]:
    """Return the order's lots and the most the book declared; exceeding bars the book."""
    declared = core.slots[slot]["max_lots"]
    return lots, declared if declared > 0.0 else math.inf


@core_kernel
def declared_orders(core: Core, slot: int) -> tuple[float, float]:
    """Return the book's entries of the day with this one, and the most declared; bars the book.

    An order on its way, or of unknown outcome, counts as one.
    """
    config = core.slots[slot]
    declared = config["max_orders_per_day"]
    most = declared if declared > 0.0 else core.limits[0]["book_orders_per_day_max"]
    count = 1.0
    for i in range(len(core.slots)):
        if core.slots[i]["book"] == config["book"]:
            position = core.positions[i]
            count += position["orders_today"] + (position["pending_direction"] != 0)
    return count, most


@core_kernel
def repeated(core: Core, slot: int, direction: int) -> tuple[float, float]:
    """Return how often the slot entered this way within the window, with this; bars the book.

    What was not executed is no entry.
    """
    return float(repeats(core, slot, direction) + 1), core.limits[0]["repeated_max"]


@core_kernel
def repeats(core: Core, slot: int, direction: int) -> int:
    """Return the entries this way since the window began; 0 where it is over."""
    position = core.positions[slot]
    window_ns = core.limits[0]["repeated_minutes"] * NS_PER_MINUTE
    since_ns = core.account[0]["batch_ns"] - position["repeated_since_ns"]
    if position["repeated_direction"] != direction or since_ns >= window_ns:
        return 0
    return int(position["repeated"])


@core_kernel
def tokens_left(tokens: float, tokens_ns: int, now_ns: int, per_minute: float) -> float:
    """Return a token bucket's content: it holds a minute's messages and fills within a minute."""
    filled = tokens + per_minute * max(now_ns - tokens_ns, 0) / NS_PER_MINUTE
    return min(filled, per_minute)


@core_kernel
def throttle(core: Core) -> tuple[float, float]:
    """Return the account's messages of a minute that are used up with this one."""
    account = core.account[0]
    most = core.limits[0]["orders_per_minute_max"]
    left = tokens_left(account["tokens"], account["tokens_ns"], account["batch_ns"], most)
    return most - left + 1.0, most


@core_kernel
def symbol_throttle(core: Core, slot: int) -> tuple[float, float]:
    """Return the symbol's messages of a minute that are used up with this one."""
    quote = core.quotes[core.slots[slot]["symbol"]]
    most = core.limits[0]["symbol_orders_per_minute_max"]
    left = tokens_left(quote["tokens"], quote["tokens_ns"], core.account[0]["batch_ns"], most)
    return most - left + 1.0, most


@core_kernel
def over_equity(core: Core, amount_ccy: float) -> float:
    """Return an amount as a part of equity."""
    return float(amount_ccy / core.account[0]["equity_ccy"])


@core_kernel
def book_exposure(core: Core, slot: int, lots: float) -> tuple[float, float]:
    """Return the notional of the book's positions over equity."""
    book = core.slots[slot]["book"]
    worth = notional_ccy(core, core.slots[slot]["symbol"], lots)
    for i in range(len(core.slots)):
        if core.slots[i]["book"] == book:
            held = core.positions[i]["lots"]
            if core.positions[i]["pending_direction"] != 0:  # accepted a moment ago
                held += core.positions[i]["pending_lots"]
            if held > 0.0:
                worth += notional_ccy(core, core.slots[i]["symbol"], held)
    return over_equity(core, worth), core.limits[0]["book_exposure_max_frac"]


@core_kernel
def symbol_exposure(core: Core, slot: int, lots: float) -> tuple[float, float]:
    """Return the symbol's notional, long and short added, over equity."""
    s = core.slots[slot]["symbol"]
    worth = core.work[s]["gross_ccy"] + notional_ccy(core, s, lots)
    return over_equity(core, worth), core.limits[0]["symbol_exposure_max_frac"]


@core_kernel
def gross_exposure(core: Core, slot: int, lots: float) -> tuple[float, float]:
    """Return all notional, long and short added, over equity: gross leverage."""
    total = core.work[len(core.symbols)]
    worth = total["gross_ccy"] + notional_ccy(core, core.slots[slot]["symbol"], lots)
    return over_equity(core, worth), core.limits[0]["gross_exposure_max_frac"]


@core_kernel
def net_exposure(core: Core, slot: int, direction: int, lots: float) -> tuple[float, float]:
    """Return Σ |net notional of a symbol| over equity: net leverage."""
    s = core.slots[slot]["symbol"]
    net = core.work[s]["net_ccy"]
    after = net + direction * notional_ccy(core, s, lots)
    worth = core.work[len(core.symbols)]["net_ccy"] - abs(net) + abs(after)
    return over_equity(core, worth), core.limits[0]["net_exposure_max_frac"]


@core_kernel
def margin(core: Core, slot: int, lots: float) -> tuple[float, float]:
    """Return the margin used over equity, every order in flight filled."""
    gross_frac, _ = gross_exposure(core, slot, lots)
    return gross_frac / core.limits[0]["leverage"], core.limits[0]["margin_max_frac"]


@core_kernel
def same_bet(core: Core, slot: int, direction: int, lots: float) -> tuple[float, float]:
    """Return the exposure that is the same bet as the order, over equity.

    Symbols whose |correlation| is above the threshold, or unknown, count with its sign; where it
    is unknown, or they bet the other way, nothing is taken off.
    """
    s = core.slots[slot]["symbol"]
    same = max(direction * core.work[s]["net_ccy"] + notional_ccy(core, s, lots), 0.0)
    for other in range(len(core.symbols)):
        net = core.work[other]["net_ccy"]
        if other == s or net == 0.0:
            continue
        rho = correlation(core, s, other)
        if math.isnan(rho):
            same += abs(net)
        elif abs(rho) > core.limits[0]["correlation_threshold_frac"]:
            same += max(direction * net * (1.0 if rho > 0.0 else -1.0), 0.0)
    return over_equity(core, same), core.limits[0]["correlated_exposure_max_frac"]


@core_kernel
def diversification(core: Core, slot: int, lots: float) -> tuple[float, float]:
    """Return the symbol's share of all notional; its limit counts above a certain gross."""
    s = core.slots[slot]["symbol"]
    worth = notional_ccy(core, s, lots)
    gross = core.work[len(core.symbols)]["gross_ccy"] + worth
    share = (core.work[s]["gross_ccy"] + worth) / gross
    small = over_equity(core, gross) <= core.limits[0]["diversify_above_frac"]
    return share, 1.0 if small else core.limits[0]["largest_share_max_frac"]


@core_kernel
def value_at_risk(core: Core, slot: int, direction: int, lots: float) -> tuple[float, float]:
    """Return the one-day loss at 99 % over equity: normal, from the shrunk covariance.

    A symbol with too short a record moves `UNKNOWN_VOLATILITY_FRAC` a day, in step with all.
    """
    s = core.slots[slot]["symbol"]
    order = direction * notional_ccy(core, s, lots)
    variance = 0.0
    unknown = 0.0
    for a in range(len(core.symbols)):
        worth_a = core.work[a]["net_ccy"] + (order if a == s else 0.0)
        if worth_a == 0.0:
            continue
        if math.isnan(core.covariance[a, a]):
            unknown += abs(worth_a) * UNKNOWN_VOLATILITY_FRAC
            continue
        variance += worth_a * worth_a * core.covariance[a, a]
        for b in range(a):
            worth_b = core.work[b]["net_ccy"] + (order if b == s else 0.0)
            if worth_b != 0.0 and not math.isnan(core.covariance[b, b]):
                variance += 2.0 * worth_a * worth_b * core.covariance[a, b]
    deviation = math.sqrt(max(variance, 0.0) * samples_per_day(core)) + unknown
    return over_equity(core, _QUANTILE_99 * deviation), core.limits[0]["var_max_frac"]


# ---- all of them, a line each, in the order in which they are asked

# As plain numbers, which kernels take.
_STATE_RULES: Final = tuple(map(int, STATE_RULES))
_ORDER_RULES: Final = tuple(map(int, ORDER_RULES))


@core_kernel
def check_state(core: Core, slot: int) -> int:
    """Record what the rules say that forbid any entry of this slot now; return who refuses."""
    row = core.checks[slot]
    row[Refusal.HALTED] = halted(core)
    row[Refusal.REDUCING] = reducing(core)
    row[Refusal.DRAWDOWN_TIER] = drawdown_tier(core)
    row[Refusal.UNKNOWN_EQUITY] = unknown_equity(core)
    row[Refusal.ACCOUNT_DRAWDOWN] = account_drawdown(core)
    row[Refusal.DAILY_LOSS] = daily_loss(core)
    row[Refusal.UNSETTLED] = unsettled(core, slot)
    row[Refusal.SYMBOL_KILLED] = symbol_killed(core, slot)
    row[Refusal.RESTRICTED] = restricted(core, slot)
    row[Refusal.CLOSED_SESSION] = closed_session(core, slot)
    row[Refusal.BARRED] = barred(core, slot)
    row[Refusal.STALE_PRICE] = stale_price(core, slot)
    row[Refusal.NO_CONVERSION] = no_conversion(core, slot)
    row[Refusal.SPREAD] = spread(core, slot)
    row[Refusal.COLLAR] = collar(core, slot)
    for rule in _STATE_RULES:
        if not row[rule, 0] <= row[rule, 1]:  # a NaN refuses
            return rule
    return Refusal.ACCEPTED


@core_kernel
def check_order(core: Core, slot: int, direction: int, lots: float) -> int:
    """Record what the rules say of an order of `lots`; return who refuses. Accepted ones count."""
    row = core.checks[slot]
    row[Refusal.ORDER_LOTS] = order_lots(core, slot, lots)
    row[Refusal.ORDER_VALUE] = order_value(core, slot, lots)
    row[Refusal.DECLARED_LOTS] = declared_lots(core, slot, lots)
    row[Refusal.DECLARED_ORDERS] = declared_orders(core, slot)
    row[Refusal.REPEATED] = repeated(core, slot, direction)
    row[Refusal.THROTTLE] = throttle(core)
    row[Refusal.SYMBOL_THROTTLE] = symbol_throttle(core, slot)
    row[Refusal.BOOK_EXPOSURE] = book_exposure(core, slot, lots)
    row[Refusal.SYMBOL_EXPOSURE] = symbol_exposure(core, slot, lots)
    row[Refusal.GROSS_EXPOSURE] = gross_exposure(core, slot, lots)
    row[Refusal.NET_EXPOSURE] = net_exposure(core, slot, direction, lots)
    row[Refusal.MARGIN] = margin(core, slot, lots)
    row[Refusal.CORRELATION] = same_bet(core, slot, direction, lots)
    row[Refusal.DIVERSIFICATION] = diversification(core, slot, lots)
    row[Refusal.VALUE_AT_RISK] = value_at_risk(core, slot, direction, lots)
    for rule in _ORDER_RULES:
        if not row[rule, 0] <= row[rule, 1]:
            return rule
    return Refusal.ACCEPTED
