"""The compiled backtest loop: the decision core over a stretch of batches.

Prices are bid. A batch T is every minute at which a bar opens or closes. Orders decided at T fill
at T's quote (the open of the bar that opens at T); stops and targets are matched inside that bar.
The order of events is docs/SEMANTICS.md §1. Work is done where something may have changed: a
signal, a bar that may touch a level, a slot that wants in or out.
"""

from typing import Final

import numpy as np

from backtest.signals import VARIES, SignalFeed
from backtest.stretches import Market
from engine.decision.account import close_bar, mark, open_bar, roll_day, update_conversions
from engine.decision.allocation.shadow import bound_levels, match_shadows, pursue_shadows
from engine.decision.batch import (
    choose_entries,
    decide_exits,
    end_batch,
    judge_batch,
    range_is_plausible,
    touches_level,
    value_batch,
)
from engine.decision.entries import (
    apply_open,
    count_entry,
    count_message,
    opening_commission_ccy,
)
from engine.decision.exits import apply_close, closing_amounts, exit_price
from engine.decision.matching import NO_HIT, STOP_HIT, match_bar
from engine.decision.moving_stops import choose_stops, follow_bar, move_stop
from engine.decision.plausible import is_bar, is_price, note_doubt
from engine.decision.signals import take_confidence, take_output
from engine.decision.state import N_REFUSALS, Core, Floats, Integers, Records
from engine.decision.stop_out import may_be_stopped_out, stopped_out_slot
from engine.kernels.arrays import Arrays
from engine.kernels.compiled import core_kernel
from engine.model.reasons import ExitReason
from engine.model.signals import SHORT
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE

_STOP: Final = int(ExitReason.STOP)
_TARGET: Final = int(ExitReason.TARGET)
_END: Final = int(ExitReason.END)
_STOP_OUT: Final = int(ExitReason.STOP_OUT)

TRADE = np.dtype(
    [
        ("slot", "i8"),
        ("direction", "i8"),
        ("lots", "f8"),
        ("entry_ns", "i8"),
        ("entry_price", "f8"),
        ("exit_ns", "i8"),
        ("exit_price", "f8"),
        ("reason", "i8"),
        # Both sides' commission; profit is the closing deal's, before commission and swap.
        ("commission_ccy", "f8"),
        ("swap_ccy", "f8"),
        ("profit_ccy", "f8"),
    ]
)

EQUITY = np.dtype(
    [("time_ns", "i8"), ("balance_ccy", "f8"), ("equity_ccy", "f8"), ("drawdown_frac", "f8")]
)


class LoopOutput(Arrays):
    """What the loop writes.

    `trades` (≥ 2 n_slots,) TRADE from 0; `shares` (len(trades), most members of a slot) entry
    shares; `equity` (n_batches,) EQUITY; `refused` (N_REFUSALS,) counts, added to; `checks`
    (n, N_REFUSALS, 2) the rules of entries whose time and slot `checked` (n, 2) names, from 0, as
    far as there is room; `chosen` (n_slots,), `stops` (n_slots,) and `opened` (n_symbols,) are
    scratch.
    """

    trades: Records
    shares: Floats
    equity: Records
    refused: Integers
    checks: Floats
    checked: Integers
    chosen: Integers
    stops: Floats
    opened: Integers


@core_kernel
def close_slot(
    core: Core, slot: int, price: float, reason: int, time_ns: int, out: LoopOutput, n: int
) -> None:
    """Close a slot at `price` and write its trade and shares at `n`."""
    position = core.positions[slot]
    profit, commission, swap = closing_amounts(core, slot, price)
    trade = out.trades[n]
    trade["slot"] = slot
    trade["direction"] = position["direction"]
    trade["lots"] = position["lots"]
    trade["entry_ns"] = position["entry_ns"]
    trade["entry_price"] = position["entry_price"]
    trade["exit_ns"] = time_ns
    trade["exit_price"] = price
    trade["reason"] = reason
    trade["commission_ccy"] = position["commission_ccy"] + commission
    trade["swap_ccy"] = swap
    trade["profit_ccy"] = profit
    config = core.slots[slot]
    out.shares[n, :] = 0.0
    for j in range(config["n_members"]):
        out.shares[n, j] = core.outputs[config["first_member"] + j]["entry_share"]
    apply_close(core, slot, reason, profit, commission, swap)


@core_kernel
def take_due_signals(core: Core, feed: SignalFeed, now_ns: int) -> None:
    """Take the signals of every bar that is closed by now."""
    for q in range(len(feed.next)):
        i = feed.next[q]
        while i < feed.stop[q] and feed.close_ns[i] <= now_ns:
            core.work[feed.symbol[q]]["closed"] |= 1 << feed.timeframe[q]
            take_closing(core, feed, i, feed.first_weighted[q])
            i += 1
        feed.next[q] = i
    pursue_shadows(core)


@core_kernel
def take_closing(core: Core, feed: SignalFeed, i: int, first_weighted: int) -> None:
    """Take the signals of closing `i`, but for what would change nothing."""
    block = feed.blocks[feed.block[i]]
    n_rows = block["n_rows"]
    first = block["raw"] + i * n_rows
    begins = i == 0 or feed.block[i] != feed.block[i - 1]
    cells = feed.raw[first : first + n_rows]
    before = cells if begins else feed.raw[first - n_rows : first]
    first = block["weights"] + i * block["n_weights"]
    weights = feed.values[first : first + block["n_weights"]]
    n = 0
    for j in range(n_rows):  # without a branch: nobody can foresee which ones turn
        feed.taken[n] = j
        n += begins | (cells[j] != before[j]) | (cells[j] >= VARIES + SHORT)
    for j in feed.taken[:n]:
        row = feed.rows[block["first_row"] + j]
        take_output(
            core,
            row["member"],
            cells[j] - VARIES if cells[j] >= VARIES + SHORT else cells[j],
            1.0 if row["weight"] < 0 else weights[row["weight"]],
            feed.values[row["stop"] + i * row["stop_step"]],
            feed.values[row["target"] + i * row["target_step"]],
            row["warming"],
        )
    weighted = feed.weighted[first_weighted : first_weighted + len(weights)]
    for k in range(len(weights)):
        take_confidence(core, weighted[k], weights[k])


@core_kernel
def match_bars(core: Core, now_ns: int, bars: Records, out: LoopOutput, n: int) -> int:
    """Match stops and targets inside the bars that opened at the batch: slots, in their order,
    then shadows. A bar whose range is not believed meets none. Return the number of trades.
    """
    touched = False
    for s in range(len(core.symbols)):
        i = out.opened[s]
        if i >= 0:
            bar = bars[i]
            touches = touches_level(core, s, bar["high"], bar["low"], bar["spread"])
            if touches and range_is_plausible(core, s, bar["high"], bar["low"], bar["spread"]):
                touched = True
            else:
                out.opened[s] = -1 - i
    if touched:
        for slot in range(len(core.slots)):
            position = core.positions[slot]
            i = out.opened[core.slots[slot]["symbol"]]
            if position["direction"] == 0 or i < 0:
                continue
            bar = bars[i]
            hit, price = match_bar(
                position["direction"],
                position["stop"],
                position["target"],
                bar["open"],
                bar["high"],
                bar["low"],
                bar["spread"],
                core.symbols[core.slots[slot]["symbol"]]["digits"],
            )
            if hit != NO_HIT:
                close_slot(core, slot, price, _STOP if hit == STOP_HIT else _TARGET, now_ns, out, n)
                n += 1
    return n


@core_kernel
def close_bars(core: Core, bars: Records, out: LoopOutput) -> None:
    """Close the bars that opened at the batch: shadows' levels, then last prices."""
    for s in range(len(core.symbols)):
        i = out.opened[s]
        if i == NOT_OPENED:
            continue
        bar = bars[i if i >= 0 else -1 - i]
        open_ns = bar["time_ns"]
        if not is_bar(bar["open"], bar["high"], bar["low"], bar["close"]):
            note_doubt(core.quotes, s, open_ns, open_ns + NS_PER_MINUTE - 1)
            core.quotes[s]["fresh"] = 0
            continue  # as if it were not there
        if i >= 0:
            match_shadows(core, s, bar["open"], bar["high"], bar["low"], bar["spread"])
            bound_levels(core, s)
        if i >= 0 or range_is_plausible(core, s, bar["high"], bar["low"], bar["spread"]):
            follow_bar(core, s, bar["high"], bar["low"], bar["spread"])
        else:
            note_doubt(core.quotes, s, open_ns, open_ns + NS_PER_MINUTE - 1)
        close_bar(core, s, open_ns, bar["close"], bar["spread"])


# No bar of a symbol opened; bars that meet no level are −1 − their index.
NOT_OPENED: Final = -(2**62)


@core_kernel
def open_bars(core: Core, now_ns: int, market: Market, out: LoopOutput) -> None:
    """Take T's quote of every symbol with a bar that opens at T."""
    for s in range(len(core.symbols)):
        i = market.bar_next[s]
        if i < market.bar_stop[s] and market.bars[i]["time_ns"] == now_ns:
            out.opened[s] = i
            market.bar_next[s] = i + 1
            open_bar(core, s, now_ns, market.bars[i]["open"], market.bars[i]["spread"])
        else:
            out.opened[s] = NOT_OPENED


@core_kernel
def opens_at(market: Market, now_ns: int) -> bool:
    """Tell whether a bar opens now, at a price."""
    for s in range(len(market.bar_next)):
        i = market.bar_next[s]
        if i < market.bar_stop[s] and market.bars[i]["time_ns"] == now_ns:
            open_bid, spread = market.bars[i]["open"], market.bars[i]["spread"]
            if is_price(open_bid, open_bid + spread):
                return True
    return False


@core_kernel
def roll(core: Core, market: Market, k: int) -> int:
    """Move the server's day to batch `k`; return how many of the market's days ended."""
    return roll_day(core, market.server_ns[k], opens_at(market, market.batch_ns[k]))


@core_kernel
def sort_trades(out: LoopOutput, first: int, stop: int) -> None:
    """Put some trades of one moment into the order of slots, as live books them."""
    for i in range(first + 1, stop):
        j = i
        while j > first and out.trades[j - 1]["slot"] > out.trades[j]["slot"]:
            copy_trade(out, j, stop)
            copy_trade(out, j - 1, j)
            copy_trade(out, stop, j - 1)
            j -= 1


@core_kernel
def copy_trade(out: LoopOutput, source: int, target: int) -> None:
    """Copy a trade and its shares to another row."""
    out.trades[target] = out.trades[source]
    for k in range(out.shares.shape[1]):
        out.shares[target, k] = out.shares[source, k]


@core_kernel
def value_account(core: Core, now_ns: int, out: LoopOutput, n: int) -> int:
    """Mark, have the broker stop out what it must, move the risk state; return the trades."""
    gross_ccy = value_batch(core, now_ns)
    if may_be_stopped_out(core, gross_ccy):
        first = n
        slot = stopped_out_slot(core)
        while slot >= 0:
            close_slot(core, slot, exit_price(core, slot), _STOP_OUT, now_ns, out, n)
            n += 1
            slot = stopped_out_slot(core)
        sort_trades(out, first, n)
        mark(core)
    judge_batch(core, now_ns)
    return n


@core_kernel
def decide(
    core: Core, market: Market, feed: SignalFeed, out: LoopOutput, k: int, n: int
) -> tuple[int, int]:
    """Take batch `k`'s quotes and signals, close what closes and decide the entries.

    Trades are written from `n` on; the slots that enter stand in `chosen`.

    Returns:
        The number of trades written and of entries chosen.
    """
    now_ns = market.batch_ns[k]
    core.account[0]["server_ns"] = market.server_ns[k]
    open_bars(core, now_ns, market, out)
    n = value_account(core, now_ns, out, n)
    account = core.account[0]
    row = out.equity[k]
    row["time_ns"] = now_ns
    row["balance_ccy"] = account["balance_ccy"]
    row["equity_ccy"] = account["equity_ccy"]
    row["drawdown_frac"] = account["drawdown_frac"]
    take_due_signals(core, feed, now_ns)
    n_exits = decide_exits(core, out.chosen)
    for j in range(n_exits):
        slot = out.chosen[j]
        reason = core.positions[slot]["close_reason"]
        count_message(core, core.slots[slot]["symbol"], now_ns)
        close_slot(core, slot, exit_price(core, slot), reason, now_ns, out, n)
        n += 1
    if n_exits:
        mark(core)  # without an exit nothing has moved since the batch began
    return n, choose_entries(core, out.chosen, out.refused)


@core_kernel
def run_batches(
    core: Core, market: Market, feed: SignalFeed, out: LoopOutput, start: int, n_checked: int
) -> tuple[int, int, int]:
    """Run batches from `start` until the stretch ends, a day rolls or `trades` might overflow.

    A day rolls where the batch's calendar day is not the core's: the caller rolls it and goes on.
    `n_checked` rows of `checks` are written already.

    Returns:
        The batch to go on with (n when done), the number of trades and of checks written.
    """
    n = 0
    for k in range(start, len(market.batch_ns)):
        now_ns = market.batch_ns[k]
        day = market.server_ns[k] // NS_PER_DAY
        account = core.account[0]
        rolls = day != account["swap_day"] or (
            day != account["server_day"] and opens_at(market, now_ns)
        )
        if rolls or n + 2 * len(core.slots) > len(out.trades):
            return k, n, n_checked
        n, n_entries = decide(core, market, feed, out, k, n)
        for j in range(n_entries):
            slot = out.chosen[j]
            position = core.positions[slot]
            lots = position["pending_lots"]
            if n_checked < len(out.checks):
                for rule in range(N_REFUSALS):
                    out.checks[n_checked, rule, 0] = core.checks[slot, rule, 0]
                    out.checks[n_checked, rule, 1] = core.checks[slot, rule, 1]
                out.checked[n_checked, 0] = now_ns
                out.checked[n_checked, 1] = slot
                n_checked += 1
            apply_open(
                core,
                slot,
                position["pending_price"],
                lots,
                now_ns,
                opening_commission_ccy(core, slot, lots),
            )
            count_entry(core, slot, position["direction"])
        for j in range(choose_stops(core, out.chosen, out.stops)):
            count_message(core, core.slots[out.chosen[j]]["symbol"], now_ns)
            move_stop(core, out.chosen[j], out.stops[j])
        n = match_bars(core, now_ns, market.bars, out, n)
        close_bars(core, market.bars, out)
        end_batch(core)
    return len(market.batch_ns), n, n_checked


@core_kernel
def finish_batch(core: Core, market: Market, out: LoopOutput) -> int:
    """Do what is left of the first batch where live has decided it: match its bars, close them.

    Returns:
        The number of trades written, from 0 on.
    """
    now_ns = market.batch_ns[0]
    open_bars(core, now_ns, market, out)
    n = match_bars(core, now_ns, market.bars, out, 0)
    close_bars(core, market.bars, out)
    end_batch(core)
    return n


@core_kernel
def close_all(core: Core, time_ns: int, out: LoopOutput) -> int:
    """Close what is open at the end of the test at the last closes; return the trades written."""
    update_conversions(core)
    n = 0
    for slot in range(len(core.slots)):
        if core.positions[slot]["direction"] != 0:
            decided = core.positions[slot]["close_reason"]
            reason = decided if decided != 0 else _END
            count_message(core, core.slots[slot]["symbol"], time_ns)
            close_slot(core, slot, exit_price(core, slot), reason, time_ns, out, n)
            n += 1
    return n
