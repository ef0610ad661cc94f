"""The compiled backtest loop: the decision core over a stretch of batches.

Prices are bid. A batch T is every minute at which a bar opens or closes. Orders decided at T fill
at T's quote (the open of the bar that opens at T); stops and targets are matched inside that bar.
The order of events is docs/SEMANTICS.md §1.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.decision.account import mark, roll_day, set_quote, update_conversions
from engine.decision.batch import begin_batch, choose_entries, decide_exits
from engine.decision.entries import apply_open, opening_commission_ccy
from engine.decision.exits import apply_close, closing_amounts, exit_price
from engine.decision.matching import NO_HIT, STOP_HIT, match_bar
from engine.decision.money import round_price
from engine.decision.signals import repeat_signal, take_signal
from engine.decision.state import Core, Records
from engine.model.compiled import core_kernel
from engine.model.reasons import ExitReason

_STOP: Final = int(ExitReason.STOP)
_TARGET: Final = int(ExitReason.TARGET)
_END: Final = int(ExitReason.END)

SIGNAL = np.dtype(
    [
        ("confidence", "f8"),
        ("stop_distance", "f8"),
        ("target_distance", "f8"),
        ("raw", "i1"),
        ("warming", "i1"),
        # The member's preceding row says the same in every field.
        ("repeats", "i1"),
    ],
    align=True,
)


class SignalFeed(NamedTuple):
    """A stretch's signals, read in the order of memory.

    A *series* is a symbol in a timeframe, with the members that read it. `rows` ((n,) SIGNAL)
    holds series after series, in each its bars in order, and for each bar its members' signals.
    `close_ns` holds each series' closings; `next`, `stop` and `row` ((n_series,)) are the next
    one, their end and the next one's first row; `next` and `row` advance. `members` ((n_members,))
    are member indices, those of series q at `first_member[q]` to `first_member[q + 1]`.
    """

    rows: Records
    close_ns: npt.NDArray[np.int64]
    next: npt.NDArray[np.int64]
    stop: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    members: npt.NDArray[np.int64]
    first_member: npt.NDArray[np.int64]


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


@core_kernel
def close_slot(
    core: Core, slot: int, price: float, reason: int, time_ns: int, trades: Records, n: int
) -> int:
    """Close a slot at `price`, write its trade at `trades[n]` and return n + 1."""
    position = core.positions[slot]
    profit, commission, swap = closing_amounts(core, slot, price)
    trade = trades[n]
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
    apply_close(core, slot, reason, profit, commission, swap)
    return n + 1


@core_kernel
def set_bar_quote(core: Core, symbol: int, bid: float, spread: float, fresh: int) -> None:
    """Quote a symbol from a bar's price: ask is bid + spread on the symbol's digits."""
    ask = round_price(bid + spread, core.symbols[symbol]["digits"])
    set_quote(core, symbol, bid, ask, fresh)


@core_kernel
def match_open_slots(
    core: Core,
    batch_ns: int,
    opened: npt.NDArray[np.int64],
    bars: Records,
    trades: Records,
    n: int,
) -> int:
    """Match every open slot's stop and target inside the bars that opened at the batch."""
    for slot in range(len(core.slots)):
        position = core.positions[slot]
        if position["direction"] == 0:
            continue
        s = core.slots[slot]["symbol"]
        if opened[s] < 0:
            continue
        bar = bars[opened[s]]
        hit, price = match_bar(
            position["direction"],
            position["stop"],
            position["target"],
            bar["open"],
            bar["high"],
            bar["low"],
            bar["spread"],
            core.symbols[s]["digits"],
        )
        if hit != NO_HIT:
            reason = _STOP if hit == STOP_HIT else _TARGET
            n = close_slot(core, slot, price, reason, batch_ns, trades, n)
    return n


@core_kernel
def take_due_signals(core: Core, feed: SignalFeed, now_ns: int) -> None:
    """Take the signals of every bar that is closed by now."""
    for q in range(len(feed.next)):
        while feed.next[q] < feed.stop[q] and feed.close_ns[feed.next[q]] <= now_ns:
            row = feed.row[q]
            for j in range(feed.first_member[q], feed.first_member[q + 1]):
                signal = feed.rows[row]
                row += 1
                if signal["repeats"]:
                    repeat_signal(core, feed.members[j])
                    continue
                take_signal(
                    core,
                    feed.members[j],
                    signal["raw"],
                    signal["confidence"],
                    signal["stop_distance"],
                    signal["target_distance"],
                    signal["warming"],
                )
            feed.row[q] = row
            feed.next[q] += 1


@core_kernel
def run_batches(  # noqa: D417 (arrays are described in groups)
    core: Core,
    batch_ns: npt.NDArray[np.int64],
    server_day: npt.NDArray[np.int64],
    start: int,
    bars: Records,
    bar_next: npt.NDArray[np.int64],
    bar_stop: npt.NDArray[np.int64],
    feed: SignalFeed,
    trades: Records,
    shares: npt.NDArray[np.float64],
    equity: Records,
    refused: npt.NDArray[np.int64],
    chosen: npt.NDArray[np.int64],
    opened: npt.NDArray[np.int64],
) -> tuple[int, int]:
    """Run batches from `start` until the stretch ends or `trades` might overflow.

    Args:
        core: read and written.
        batch_ns, server_day: (n,) the stretch's batches and the server day of each.
        start: first batch to run.
        bars: (n_bars,) BAR_DTYPE, symbol after symbol, `spread` filled in.
        bar_next, bar_stop: (n_symbols,) each symbol's next bar and end; `bar_next` advances.
        feed: the stretch's signals.
        trades: (≥ 2 n_slots,) TRADE, written from 0.
        shares: (len(trades), max members of a slot) entry shares of each trade's members.
        equity: (n,) EQUITY, written at each batch's index after marking.
        refused: (N_REFUSALS,) counts, added to.
        chosen, opened: (n_slots,), (n_symbols,) scratch.

    Returns:
        The batch to go on with (n when done) and the number of trades written.
    """
    n_slots = len(core.slots)
    n_symbols = len(core.symbols)
    n_trades = 0
    for k in range(start, len(batch_ns)):
        if n_trades + 2 * n_slots > len(trades):
            return k, n_trades
        now_ns = batch_ns[k]
        update_conversions(core)
        roll_day(core, server_day[k])
        for s in range(n_symbols):
            i = bar_next[s]
            if i < bar_stop[s] and bars[i]["time_ns"] == now_ns:
                opened[s] = i
                bar_next[s] = i + 1
                set_bar_quote(core, s, bars[i]["open"], bars[i]["spread"], 1)
            else:
                opened[s] = -1
        begin_batch(core, now_ns)
        row = equity[k]
        row["time_ns"] = now_ns
        row["balance_ccy"] = core.account[0]["balance_ccy"]
        row["equity_ccy"] = core.account[0]["equity_ccy"]
        row["drawdown_frac"] = core.account[0]["drawdown_frac"]
        take_due_signals(core, feed, now_ns)
        before = n_trades
        n_exits = decide_exits(core, chosen)
        for j in range(n_exits):
            slot = chosen[j]
            reason = core.positions[slot]["close_reason"]
            n_trades = close_slot(
                core, slot, exit_price(core, slot), reason, now_ns, trades, n_trades
            )
        copy_shares(core, trades, shares, before, n_trades)
        if n_exits:
            mark(core)  # without an exit nothing has moved since the batch began
        for j in range(choose_entries(core, chosen, refused)):
            slot = chosen[j]
            position = core.positions[slot]
            lots = position["pending_lots"]
            apply_open(
                core,
                slot,
                position["pending_price"],
                lots,
                now_ns,
                opening_commission_ccy(core, slot, lots),
            )
        before = n_trades
        n_trades = match_open_slots(core, now_ns, opened, bars, trades, n_trades)
        copy_shares(core, trades, shares, before, n_trades)
        for s in range(n_symbols):
            if opened[s] >= 0:
                bar = bars[opened[s]]
                set_bar_quote(core, s, bar["close"], bar["spread"], 0)
    return len(batch_ns), n_trades


@core_kernel
def copy_shares(
    core: Core, trades: Records, shares: npt.NDArray[np.float64], start: int, stop: int
) -> None:
    """Copy the entry shares of the slots that trades[start:stop] closed."""
    for t in range(start, stop):
        config = core.slots[trades[t]["slot"]]
        shares[t, :] = 0.0
        for j in range(config["n_members"]):
            shares[t, j] = core.outputs[config["first_member"] + j]["entry_share"]


@core_kernel
def close_all(core: Core, time_ns: int, trades: Records, shares: npt.NDArray[np.float64]) -> int:
    """Close what is open at the end of the test at the last closes; return the trades written."""
    update_conversions(core)
    n = 0
    for slot in range(len(core.slots)):
        if core.positions[slot]["direction"] != 0:
            decided = core.positions[slot]["close_reason"]
            reason = decided if decided != 0 else _END
            n = close_slot(core, slot, exit_price(core, slot), reason, time_ns, trades, n)
    copy_shares(core, trades, shares, 0, n)
    return n
