"""The account's ledger and risk state: quotes, conversion, day roll, marking, drawdown tiers."""

import math
from collections.abc import Iterable
from typing import Final

from engine.decision.allocation.shadow import roll_shadows
from engine.decision.money import profit_ccy, round_ccy, round_price, swap_night_ccy, swap_nights
from engine.decision.plausible import HISTORY_BARS, take_close, take_price
from engine.decision.release import begin_stopped_day, leave_stopped_days
from engine.decision.state import Core, Integers, Records
from engine.kernels.compiled import core_kernel
from engine.model.reasons import ExitReason, TradingState
from engine.model.times import NS_PER_DAY

TIER_RELEASE_FRAC: Final = 0.75
# 1 − 92 000 / 100 000 is 0.07999…96 in binary: a threshold that is just reached must count.
DRAWDOWN_EPS: Final = 1e-12
_DRAWDOWN: Final = int(ExitReason.DRAWDOWN)
_HALTED: Final = int(TradingState.HALTED)


@core_kernel
def set_quote(core: Core, symbol: int, bid: float, ask: float, fresh: int) -> None:
    """Give a symbol a quote, unasked; `fresh` 0 is a last close, good for marking only."""
    quote = core.quotes[symbol]
    quote["bid"] = bid
    quote["ask"] = ask
    quote["fresh"] = fresh


@core_kernel
def usual_spread(core: Core, symbol: int) -> float:
    """Return the contract's spread, at least a point, as a price."""
    spec = core.symbols[symbol]
    return float(max(spec["spread_points"], 1.0) * spec["point"])


@core_kernel
def take_quote(core: Core, symbol: int, bid: float, ask: float, fresh: int, time_ns: int) -> bool:
    """Take a tick as the symbol's quote if it is believed; tell whether it is.

    Otherwise the last believed one stays, good for marking only.
    """
    spread = usual_spread(core, symbol)
    believed = take_price(core.quotes, symbol, bid, ask, time_ns, time_ns, spread)
    core.quotes[symbol]["fresh"] = fresh if believed else 0
    return believed


@core_kernel
def bar_ask(core: Core, symbol: int, bid: float, spread: float) -> float:
    """Return the ask of a bar's price: bid + spread on the symbol's digits."""
    return round_price(bid + spread, core.symbols[symbol]["digits"])


@core_kernel
def open_bar(core: Core, symbol: int, open_ns: int, open_bid: float, spread: float) -> bool:
    """Take the open of the bar that opens now as T's quote; tell whether it is believed."""
    ask = bar_ask(core, symbol, open_bid, spread)
    return take_quote(core, symbol, open_bid, ask, 1, open_ns)


@core_kernel
def close_bar(core: Core, symbol: int, open_ns: int, close_bid: float, spread: float) -> bool:
    """Take the close of the bar that opened at `open_ns` as the last good price, if believed."""
    ask = bar_ask(core, symbol, close_bid, spread)
    usual = usual_spread(core, symbol)
    core.quotes[symbol]["fresh"] = 0
    core.quotes[symbol]["traded"] = 1
    return take_close(core.quotes, symbol, close_bid, ask, open_ns, usual)


@core_kernel
def take_past(core: Core, symbol: int, bars: Records) -> None:
    """Find out a symbol's price before the first batch from its last bars, (n,) BAR_DTYPE."""
    for i in range(max(len(bars) - HISTORY_BARS, 0), len(bars)):
        bar = bars[i]
        open_bar(core, symbol, bar["time_ns"], bar["open"], bar["spread"])
        close_bar(core, symbol, bar["time_ns"], bar["close"], bar["spread"])


@core_kernel
def update_conversions(core: Core) -> None:
    """Set each symbol's account currency per unit of profit; NaN while its pair has no bid."""
    for s in range(len(core.symbols)):
        source = core.symbols[s]["conversion_symbol"]
        if source < 0:
            core.quotes[s]["conversion"] = 1.0
        elif core.symbols[s]["conversion_inverse"]:
            core.quotes[s]["conversion"] = 1.0 / core.quotes[source]["bid"]
        else:
            core.quotes[s]["conversion"] = core.quotes[source]["bid"]


@core_kernel
def roll_day(core: Core, server_ns: int, opens: bool) -> int:
    """Move the server's wall clock to a batch; return how many of the market's days ended, 0 or 1.

    Swaps are charged when the calendar day changes, at the last closes, and stay unrounded until
    their deal. The market's day changes at the first batch of a calendar day at which a bar
    `opens`: then the day of shadow records, limits and counts ends, and a drawdown may be released.
    Called before T's quotes are set.
    """
    account = core.account[0]
    account["server_ns"] = server_ns
    today = server_ns // NS_PER_DAY
    if today > account["swap_day"]:
        if account["swap_day"] >= 0:
            update_conversions(core)
            charge_swaps(core, account["swap_day"], today)
        account["swap_day"] = today
    first = account["server_day"] < 0
    if first and not opens:
        today = (server_ns - 1) // NS_PER_DAY  # that of the bar that closes
    if today <= account["server_day"] or not (opens or first):
        return 0
    account["server_day"] = today
    account["closed_day"] = 0
    for day in core.closed_days:
        if day == today:
            account["closed_day"] = 1
    if knows_equity(core):
        account["day_start_equity_ccy"] = account["equity_ccy"]
    if not first:
        account["n_rolls"] += 1
        for i in range(len(core.slots)):
            core.positions[i]["orders_today"] = 0
        roll_shadows(core)
        begin_stopped_day(core)
    for s in range(len(core.symbols)):
        core.quotes[s]["traded"] = 0
    return 0 if first else 1


@core_kernel
def charge_swaps(core: Core, last_day: int, today: int) -> None:
    """Charge open positions, slots' and shadows', the nights between two days of the calendar."""
    for i in range(len(core.slots)):
        position = core.positions[i]
        if position["direction"] != 0:
            s = core.slots[i]["symbol"]
            spec = core.symbols[s]
            nights = swap_nights(last_day, today, spec["swap_triple_weekday"])
            position["swap_ccy"] += nights * swap_night_ccy(
                position["direction"],
                position["lots"],
                spec["swap_long_points"],
                spec["swap_short_points"],
                spec["digits"],
                spec["contract_size"],
                core.quotes[s]["conversion"],
            )
    for m in range(len(core.members)):
        output = core.outputs[m]
        if output["shadow_direction"] != 0:
            spec = core.symbols[core.members[m]["symbol"]]
            nights = swap_nights(last_day, today, spec["swap_triple_weekday"])
            long = output["shadow_direction"] > 0
            points = spec["swap_long_points"] if long else spec["swap_short_points"]
            output["shadow_swap"] += nights * points * spec["point"]


@core_kernel
def open_profit_ccy(core: Core, slot: int) -> float:
    """Return a slot's open profit at the side it would close on, unrounded, without swap."""
    position = core.positions[slot]
    s = core.slots[slot]["symbol"]
    quote = core.quotes[s]
    price = quote["bid"] if position["direction"] > 0 else quote["ask"]
    return profit_ccy(
        position["direction"],
        position["lots"],
        position["entry_price"],
        price,
        core.symbols[s]["digits"],
        core.symbols[s]["contract_size"],
        quote["conversion"],
    )


@core_kernel
def notional_ccy(core: Core, symbol: int, lots: float) -> float:
    """Return what `lots` are worth in account currency at the last bid."""
    quote = core.quotes[symbol]
    return float(lots * core.symbols[symbol]["contract_size"] * quote["bid"] * quote["conversion"])


@core_kernel
def mark(core: Core) -> float:
    """Set equity from the quotes, slots summed in order; NaN while one of them has no price.

    Return what our positions are worth, long and short added.
    """
    open_ccy = 0.0
    gross_ccy = 0.0
    for i in range(len(core.slots)):
        position = core.positions[i]
        if position["direction"] != 0:
            open_ccy += open_profit_ccy(core, i) + position["swap_ccy"]
            gross_ccy += notional_ccy(core, core.slots[i]["symbol"], position["lots"])
    core.account[0]["equity_ccy"] = core.account[0]["balance_ccy"] + open_ccy
    return gross_ccy


@core_kernel
def knows_equity(core: Core) -> bool:
    """Tell whether equity is a number."""
    return bool(-math.inf < core.account[0]["equity_ccy"] < math.inf)


@core_kernel
def mark_exposure(core: Core) -> None:
    """Set every symbol's gross and net notional and the account's sums, `work`'s last row.

    Slots are summed in order, then what others hold. The account's net is Σ |net of a symbol|.
    """
    n = len(core.symbols)
    for s in range(n):
        core.work[s]["gross_ccy"] = core.work[s]["net_ccy"] = 0.0
    for i in range(len(core.slots)):
        position = core.positions[i]
        if position["direction"] != 0:
            add_exposure(core, core.slots[i]["symbol"], position["direction"] * position["lots"])
    for s in range(n):
        if core.quotes[s]["external_lots"] != 0.0:
            add_exposure(core, s, core.quotes[s]["external_lots"])
    sum_exposure(core)


@core_kernel
def sum_exposure(core: Core) -> None:
    """Set the account's sums of the symbols' exposures."""
    n = len(core.symbols)
    total = core.work[n]
    total["gross_ccy"] = total["net_ccy"] = 0.0
    for s in range(n):
        total["gross_ccy"] += core.work[s]["gross_ccy"]
        total["net_ccy"] += abs(core.work[s]["net_ccy"])


@core_kernel
def add_exposure(core: Core, symbol: int, signed_lots: float) -> None:
    """Add signed lots to a symbol's exposure."""
    worth_ccy = notional_ccy(core, symbol, signed_lots)
    core.work[symbol]["gross_ccy"] += abs(worth_ccy)
    core.work[symbol]["net_ccy"] += worth_ccy


@core_kernel
def update_tier(core: Core, now_ns: int) -> None:
    """Move the high-water marks and the drawdown tier; at tier 3 every position gets the goal
    to close.

    A tier releases at 0.75 × its threshold, tier 3 only by an operator. The account's drawdown
    counts what others made on it too. While equity is unknown marks and tier stay as they are.
    """
    account = core.account[0]
    limits = core.limits[0]
    equity = account["equity_ccy"]
    if not knows_equity(core):
        if account["tier"] == 3:
            flatten_tier(core, 3, now_ns)
        return
    account["high_water_ccy"] = max(account["high_water_ccy"], equity)
    account["lifetime_high_ccy"] = max(account["lifetime_high_ccy"], equity)
    whole = equity + account["external_ccy"]
    if whole > account["account_high_ccy"]:  # what others made may be unknown: NaN refuses entries
        account["account_high_ccy"] = whole
    account["account_drawdown_frac"] = 1.0 - whole / account["account_high_ccy"]
    drawdown = 1.0 - equity / account["high_water_ccy"]
    account["drawdown_frac"] = drawdown
    reached = drawdown + DRAWDOWN_EPS
    held = account["tier"]
    tier = 0
    if held >= 3 or reached >= limits["drawdown_flatten_frac"]:
        tier = 3
    elif reached >= limits["drawdown_stop_entries_frac"] or (
        held == 2 and reached >= TIER_RELEASE_FRAC * limits["drawdown_stop_entries_frac"]
    ):
        tier = 2
    elif reached >= limits["drawdown_reduce_frac"] or (
        held >= 1 and reached >= TIER_RELEASE_FRAC * limits["drawdown_reduce_frac"]
    ):
        tier = 1
    account["tier"] = tier
    leave_stopped_days(core)
    if tier == 3:
        flatten_tier(core, held, now_ns)


@core_kernel
def flatten_tier(core: Core, held: int, now_ns: int) -> None:
    """Stand in tier 3, halted: every open position gets the goal to close."""
    account = core.account[0]
    account["tier"] = 3
    account["trading"] = _HALTED
    if held < 3:
        account["halted_ns"] = now_ns
    for i in range(len(core.slots)):
        position = core.positions[i]
        if position["direction"] != 0 and position["close_reason"] == 0:
            position["close_reason"] = _DRAWDOWN


@core_kernel
def guard(core: Core, now_ns: int) -> None:
    """Mark between batches and only tighten: refuse entries at tier 2, flatten at tier 3.

    The high-water mark stays: it moves at batches alone, as in a backtest.
    """
    account = core.account[0]
    limits = core.limits[0]
    update_conversions(core)
    mark(core)
    if not knows_equity(core):
        return
    drawdown = 1.0 - account["equity_ccy"] / account["high_water_ccy"]
    account["drawdown_frac"] = max(drawdown, 0.0)
    reached = drawdown + DRAWDOWN_EPS
    held = account["tier"]
    if reached >= limits["drawdown_flatten_frac"]:
        flatten_tier(core, held, now_ns)
    elif reached >= limits["drawdown_stop_entries_frac"] and held < 2:
        account["tier"] = 2


# ---- called by Python only


def book_cash(core: Core, *amounts_ccy: float) -> None:
    """Add a deal's amounts to the balance, one after the other, and round it."""
    account = core.account[0]
    balance_ccy = float(account["balance_ccy"])
    for amount_ccy in amounts_ccy:
        balance_ccy += amount_ccy
    account["balance_ccy"] = round_ccy(balance_ccy, core.limits[0]["currency_digits"])


def move_cash(core: Core, cash_ccy: float) -> None:
    """Take a deposit or withdrawal; every mark of the equity keeps its proportion to it."""
    account = core.account[0]
    equity_ccy = float(account["equity_ccy"])
    whole_ccy = equity_ccy + float(account["external_ccy"])
    book_cash(core, cash_ccy)
    account["equity_ccy"] = equity_ccy + cash_ccy
    for before_ccy, marks in (
        (equity_ccy, ("high_water_ccy", "lifetime_high_ccy", "day_start_equity_ccy")),
        (whole_ccy, ("account_high_ccy",)),
    ):
        if before_ccy > 0.0 and before_ccy + cash_ccy > 0.0:
            for mark in marks:
                account[mark] *= (before_ccy + cash_ccy) / before_ccy


def take_external_lots(core: Core, found: Iterable[tuple[int, float]]) -> None:
    """Set the lots that others hold: (symbol, signed lots) of each position, added up in order."""
    core.quotes["external_lots"] = 0.0
    for symbol, lots in found:
        core.quotes["external_lots"][symbol] += lots


def take_external_ccy(core: Core, amount_ccy: float) -> None:
    """Set what others have made or lost on this account; negative is lost."""
    core.account[0]["external_ccy"] = amount_ccy


def open_ccy_with(core: Core, doubtful: Integers) -> float:
    """Return the open profit with these symbols, (n,), at the prices that are in doubt.

    The core's prices stay; it is marked anew at them.
    """
    kept = core.quotes.copy()
    for side in ("bid", "ask"):
        core.quotes[side][doubtful] = kept[f"suspect_{side}"][doubtful]
    update_conversions(core)
    mark(core)
    account = core.account[0]
    open_ccy = float(account["equity_ccy"] - account["balance_ccy"])
    core.quotes[:] = kept
    mark(core)
    return open_ccy
