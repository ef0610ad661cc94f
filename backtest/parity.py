"""Live against a backtest of the same hours: which trades were alike, and why others were not.

The backtest goes on from live's own state, so nothing but what happened since can make a gap:
prices, delays, refusals of the broker, hours without an engine, an operator's hand. Both are
compared in the batches of (from, to]; a minute is the smallest difference. Of what parted a slot
the first gap is explained; what comes after it there follows from it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from backtest.gaps import (
    INSIDE,
    LATE_MINUTES,
    Reasons,
    RefusalAt,
    minute_of,
)
from backtest.report import trades_table
from backtest.simulate import Result, decide_at, simulate
from engine.decision.money import CURRENCY_DIGITS, round_ccy
from engine.decision.saved import load_core
from engine.decision.state import Core, write_limits
from engine.decision.switches import settle_all
from engine.model.bars import Bars
from engine.model.errors import DataError
from engine.model.live_day import LiveDay, LiveTrade, ParityStart
from engine.model.parity import Gap, ParityScore
from engine.model.times import NS_PER_MINUTE
from engine.portfolio.compile import CompiledPortfolio, compile_portfolio
from engine.portfolio.explain import refused_by


class Pair(NamedTuple):
    """A trade of a slot as live made it and as the backtest did; None where one made none."""

    live: LiveTrade | None
    tested: LiveTrade | None


def go_on(start: ParityStart, bars: Mapping[str, Bars], to_ns: int) -> Result:
    """Run the backtest that goes on from live's state, up to the batch at `to_ns`.

    Raises:
        DataError: there are no bars of these hours.
        UserError: a strategy cannot be made, or breaks its contract.
    """
    compiled, core = _begun(start)
    if not any(len(b) and b["time_ns"][-1] >= start.from_ns for b in bars.values()):
        raise DataError("the terminal has no bars of these hours")
    return simulate(compiled, bars, start.from_ns, _end_ns(to_ns), live=core)


def refusal_at(
    start: ParityStart, bars: Mapping[str, Bars], to_ns: int, slot: str, at_ns: int
) -> str:
    """Return the rule that refused a slot's entry in the backtest's batch at `at_ns`, "" if none.

    The backtest runs again up to there: ask for few.
    """
    compiled, live = _begun(start)
    minute_ns = minute_of(at_ns) * NS_PER_MINUTE
    core = decide_at(compiled, bars, start.from_ns, _end_ns(to_ns), minute_ns, live=live)
    return "" if core is None else refused_by(core, compiled.names.slots.index(slot))


def _begun(start: ParityStart) -> tuple[CompiledPortfolio, Core]:
    """Return the portfolio and the core as live left it."""
    compiled = compile_portfolio(start.portfolio).with_symbols(start.symbols)
    core = compiled.core()
    load_core(core, compiled.names, start.core)
    write_limits(core, start.limits)
    settle_all(core)  # the broker has answered since
    return compiled, core


def _end_ns(to_ns: int) -> int:
    # The bar that opens at the last batch has that batch's quote.
    return to_ns + NS_PER_MINUTE


def scores(
    result: Result, day: LiveDay, bars: Mapping[str, Bars], refusal: RefusalAt
) -> list[ParityScore]:
    """Return every strategy's score, in the portfolio's order."""
    from_ns, to_ns = result.from_ns, result.to_ns - NS_PER_MINUTE
    made = list(tested_trades(result))
    held = [trade for trade in made if _is_old(trade, from_ns)]
    live = [t for trade in _of_hours(day.trades, held, from_ns) if (t := _within(trade, to_ns))]
    tested = [t for trade in made if (t := _within(trade, to_ns))]
    members = result.compiled.members_by_slot
    reasons = Reasons(day, bars, from_ns, members=members, refusal=refusal)
    judged: list[tuple[Pair, Gap | None]] = []
    for slot in result.compiled.slots:
        own = [
            sorted((t for t in trades if _is_of(t, slot.name)), key=lambda t: t.entry_ns)
            for trades in (live, tested)
        ]
        judged += _judged(list(pairs(*own)), reasons, (from_ns, to_ns))
    by_strategy = {
        strategy.name: [(pair, gap) for pair, gap in judged if _took_part(pair, strategy.name)]
        for strategy in result.compiled.strategies
    }
    return [_score(name, own, from_ns, to_ns) for name, own in by_strategy.items()]


def tested_trades(result: Result) -> Iterator[LiveTrade]:
    """Yield the backtest's trades as live's are; what only its end closed is open."""
    table = trades_table(result)
    slots = result.compiled.slots
    names = [strategy.name for strategy in result.compiled.strategies]
    for i, trade in enumerate(result.trades):
        members = slots[int(trade["slot"])].members
        shares = dict(zip((names[m] for m in members), result.shares[i].tolist(), strict=False))
        ended = table["exit_reason"][i] != "end"
        yield LiveTrade(
            book=str(table["book"][i]),
            symbol=str(table["symbol"][i]),
            direction=str(table["direction"][i]),
            lots=float(trade["lots"]),
            entry_ns=int(trade["entry_ns"]),
            exit_ns=int(trade["exit_ns"]) if ended else 0,
            reason=str(table["exit_reason"][i]) if ended else "",
            profit_ccy=float(table["profit_ccy"][i]),
            shares={name: share for name, share in shares.items() if share > 0.0},
        )


def _key(trade: LiveTrade) -> tuple[str, str, int]:
    """Return what a position keeps whoever holds it; the database has microseconds."""
    return trade.symbol, trade.direction, trade.entry_ns // 1000


def _is_old(trade: LiveTrade, from_ns: int) -> bool:
    """Tell whether a trade was entered by the batch that the hours begin after, or before it."""
    return minute_of(trade.entry_ns) <= minute_of(from_ns)


def _of_hours(
    trades: Sequence[LiveTrade], held: Sequence[LiveTrade], from_ns: int
) -> Iterator[LiveTrade]:
    """Yield live's trades that were open after the batch at `from_ns`.

    What was `held` in the state that the hours begin with alone tells what was closed just before
    and what just after. A position that was handed over is of the book that held it then.
    """
    there = {(_key(trade), trade.book) for trade in held}
    handed = dict(there - {(_key(trade), trade.book) for trade in trades})
    for trade in trades:
        if not _is_old(trade, from_ns) or (_key(trade), trade.book) in there:
            yield trade
        elif (book := handed.get(_key(trade))) is not None:
            yield msgspec.structs.replace(trade, book=book)
        elif not trade.exit_ns or minute_of(trade.exit_ns) > minute_of(from_ns):
            yield trade  # it was adopted later, or its order was not settled yet


def _within(trade: LiveTrade, to_ns: int) -> LiveTrade | None:
    """Return the trade as it stood at the last batch; None where it was entered later.

    A stop is of the bar in which it was hit: of the batch that opened that bar, after it.
    """
    last = minute_of(to_ns)
    if minute_of(trade.entry_ns) > last:
        return None
    if trade.exit_ns and minute_of(trade.exit_ns) > last - (trade.reason in INSIDE):
        return msgspec.structs.replace(trade, exit_ns=0, reason="")
    return trade


def _is_of(trade: LiveTrade, slot: str) -> bool:
    return f"{trade.book}/{trade.symbol}" == slot


def pairs(live: Sequence[LiveTrade], tested: Sequence[LiveTrade]) -> Iterator[Pair]:
    """Yield one slot's trades side by side, in order of entry; both are sorted by it."""
    i = j = 0
    while i < len(live) and j < len(tested):
        one, other = live[i], tested[j]
        apart = _apart(one, other)
        # Where one side missed a trade, its next one must not take the place.
        tested_nearer = any(_apart(one, later) < apart for later in tested[j + 1 : j + 2])
        live_nearer = any(_apart(later, other) < apart for later in live[i + 1 : i + 2])
        near = apart <= LATE_MINUTES
        if near and not tested_nearer and not live_nearer:
            yield Pair(one, other)
            i, j = i + 1, j + 1
        elif live_nearer if near else one.entry_ns < other.entry_ns:
            yield Pair(one, None)
            i += 1
        else:
            yield Pair(None, other)
            j += 1
    yield from (Pair(one, None) for one in live[i:])
    yield from (Pair(None, other) for other in tested[j:])


def _apart(one: LiveTrade, other: LiveTrade) -> float:
    """Return how many minutes two entries are apart, infinity for opposite sides."""
    if one.direction != other.direction:
        return math.inf
    return abs(minute_of(one.entry_ns) - minute_of(other.entry_ns))


def _judged(
    slot_pairs: Sequence[Pair], reasons: Reasons, hours: tuple[int, int]
) -> Iterator[tuple[Pair, Gap | None]]:
    """Yield each pair of a slot that says something, with how the two are not alike."""
    earlier: Gap | None = None
    for pair in slot_pairs:
        if all(t is not None and _is_old(t, hours[0]) and not t.exit_ns for t in pair):
            continue  # held by both all the time: nothing was decided
        gap = _gap(pair, reasons, earlier, hours)
        yield pair, gap
        earlier = earlier or gap


def _gap(pair: Pair, reasons: Reasons, earlier: Gap | None, hours: tuple[int, int]) -> Gap | None:
    live, tested = pair
    if live is None or tested is None:
        trade = live or tested
        assert trade is not None
        where = "the backtest" if live is None else "live"
        what = f"{trade.direction} {trade.lots:.2f} only in {where}"
        if live is not None and _is_old(live, hours[0]):  # a book took it over in these hours
            return reasons.gap(live.exit_ns or hours[1], live, what, earlier)
        return reasons.gap(trade.entry_ns, trade, what, earlier, late=1 if live is None else -1)
    late = minute_of(live.entry_ns) - minute_of(tested.entry_ns)
    if late:
        what = f"{live.direction} entered {abs(late)} min {'later' if late > 0 else 'earlier'}"
        at_ns = min(live.entry_ns, tested.entry_ns)
        return reasons.gap(at_ns, live, what, earlier, late=late)
    if minute_of(live.exit_ns) == minute_of(tested.exit_ns) and live.reason == tested.reason:
        return None
    what = f"closed by {live.reason or 'nothing'}, in the backtest by {tested.reason or 'nothing'}"
    if live.reason == tested.reason:
        apart = minute_of(live.exit_ns) - minute_of(tested.exit_ns)
        sooner = "later" if apart > 0 else "earlier"
        what = f"closed by {live.reason} {abs(apart)} min {sooner}"
    at_ns = min(t for t in (live.exit_ns, tested.exit_ns) if t)
    both = live.exit_ns and tested.exit_ns
    return reasons.gap(
        at_ns,
        live,
        what,
        earlier,
        late=int(at_ns == tested.exit_ns),
        exits=(live.reason, tested.reason),
        apart=abs(minute_of(live.exit_ns) - minute_of(tested.exit_ns)) if both else math.inf,
    )


def _took_part(pair: Pair, strategy: str) -> bool:
    return any(t is not None and strategy in t.shares for t in pair)


def _score(
    name: str, judged: Sequence[tuple[Pair, Gap | None]], from_ns: int, to_ns: int
) -> ParityScore:
    made = [
        sum(
            t.profit_ccy * t.shares.get(name, 0.0)
            for pair, _ in judged
            if (t := pair[side]) is not None and t.exit_ns
        )
        for side in (0, 1)
    ]
    gaps = tuple(gap for _, gap in judged if gap is not None)
    return ParityScore(
        strategy=name,
        from_ns=from_ns,
        to_ns=to_ns,
        n_trades=len(judged),
        n_alike=len(judged) - len(gaps),
        live_ccy=float(round_ccy(made[0], CURRENCY_DIGITS)),
        tested_ccy=float(round_ccy(made[1], CURRENCY_DIGITS)),
        gaps=tuple(sorted(gaps, key=lambda gap: gap.time_ns)),
    )
