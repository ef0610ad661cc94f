"""The parity score: 1 where live did what its backtest does; each gap has its reason."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from backtest.gaps import minute_of
from backtest.parity import go_on, pairs, refusal_at, scores
from backtest.parity import tested_trades as made_in
from backtest.run import PreparedRun
from backtest.simulate import Result
from engine.decision.saved import dump_core
from engine.decision.state import read_limits
from engine.execution.ledger import OpenTrade
from engine.model.bars import Bars
from engine.model.errors import DataError
from engine.model.live_day import (
    LiveCommand,
    LiveDay,
    LiveOrder,
    LiveTrade,
    ParityStart,
    RefusedRun,
)
from engine.model.parity import Gap, ParityScore
from engine.model.times import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE
from engine.portfolio.compile import compile_portfolio
from engine.portfolio.file import parse_portfolio
from pmpro_tui.cli.backtest.replay import batches_ns
from pmpro_tui.jobs.parity import told
from tests.parity.live import Live
from tests.parity.test_parity import START_NS, WEEK, generated

BEFORE = 90  # batches
BOUGHT = LiveTrade(
    book="b",
    symbol="s",
    direction="BUY",
    lots=1.0,
    entry_ns=0,
    exit_ns=0,
    reason="",
    profit_ccy=0.0,
    shares={},
)


class Hours(NamedTuple):
    """Live's hours, the backtest of the same, and what a comparison is made of."""

    start: ParityStart
    to_ns: int
    bars: dict[str, Bars]
    day: LiveDay
    result: Result

    def scores(self, **changes: Any) -> dict[str, ParityScore]:
        """Score with something of live's day changed."""
        day = msgspec.structs.replace(self.day, **changes)
        refusal = partial(refusal_at, self.start, self.bars, self.to_ns)
        return {s.strategy: s for s in scores(self.result, day, self.bars, refusal)}


def live_trade(opened: OpenTrade, **closed: Any) -> LiveTrade:
    """Return a trade as the database tells it."""
    return LiveTrade(
        book=opened.book,
        symbol=opened.symbol,
        direction="BUY" if opened.direction > 0 else "SELL",
        lots=opened.lots,
        entry_ns=opened.entry_ns,
        shares={name: share for name, share in opened.shares.items() if share > 0.0},
        **({"exit_ns": 0, "reason": "", "profit_ccy": 0.0} | closed),
    )


@pytest.fixture(scope="module")
def hours() -> Hours:
    """Six hours of live, from its batch number `BEFORE` on."""
    compiled = compile_portfolio(parse_portfolio(WEEK.read_text(encoding="utf-8"), "week.toml"))
    from_ns, to_ns = START_NS + 12 * NS_PER_HOUR, START_NS + 18 * NS_PER_HOUR
    bars = generated(compiled, START_NS - 40 * NS_PER_DAY, to_ns)
    batches = batches_ns(PreparedRun(compiled, bars, Path(), from_ns, to_ns))
    with tempfile.TemporaryDirectory(prefix="pmpro-parity-") as work:
        live = Live(compiled, bars, batches, Path(work), from_ns=from_ns)
        try:
            live.run(BEFORE)
            trader = live.trader
            start = ParityStart(
                server_day=0,
                from_ns=int(batches[BEFORE - 1]),
                portfolio=compiled.portfolio,
                files={},
                needed={},
                symbols=list(compiled.symbols),
                core=dump_core(trader.core, trader.names),
                limits=read_limits(trader.core),
            )
            live.run(len(batches) - 1)  # its bar has closed when the next batch comes
            closed = [
                live_trade(
                    t.opened,
                    exit_ns=t.exit_ns,
                    reason=t.reason.name.lower(),
                    profit_ccy=t.profit_ccy,
                )
                for t in live.trades
            ]
            still = [live_trade(opened) for opened in trader.positions.ledger.open.values()]
        finally:
            live.close()
    end_ns = int(batches[-2])
    known = {name: b[b["time_ns"] <= end_ns] for name, b in bars.items()}
    seen = {
        name: [tuple(bar[["time_ns", "high", "low", "close"]]) for bar in b[-400:]]
        for name, b in known.items()
    }
    day = LiveDay(trades=(*closed, *still), bars=seen)
    return Hours(start, end_ns, known, day, go_on(start, known, end_ns))


def closed_within(hours: Hours, choose: Callable[[LiveTrade], bool] = lambda t: True) -> LiveTrade:
    """Return a trade that live made and closed in the hours, the first of its book and symbol."""
    first: dict[tuple[str, str], LiveTrade] = {}
    for trade in sorted(hours.day.trades, key=lambda t: t.entry_ns):
        if trade.entry_ns > hours.start.from_ns:
            first.setdefault((trade.book, trade.symbol), trade)
    return next(t for t in first.values() if t.exit_ns and choose(t))


def with_other(hours: Hours, trade: LiveTrade, *others: LiveTrade) -> tuple[LiveTrade, ...]:
    return (*(t for t in hours.day.trades if t is not trade), *others)


def first_gap(scored: dict[str, ParityScore], trade: LiveTrade) -> Gap:
    return scored[next(iter(trade.shares))].gaps[0]


def test_live_that_did_as_its_backtest_scores_one(hours: Hours) -> None:
    """No gap anywhere, and every trade of the hours is counted, by each of its members."""
    scored = hours.scores()
    assert sum(s.n_trades for s in scored.values()) > 40
    for score in scored.values():
        assert score.gaps == ()
        assert score.n_alike == score.n_trades
        assert score.live_ccy == score.tested_ccy
    assert told(list(scored.values())).level == "info"


def test_a_trade_that_live_did_not_make_is_missed(hours: Hours) -> None:
    """It costs its members one; nobody else notices; what is not known is said to be."""
    trade = closed_within(hours)
    scored = hours.scores(trades=with_other(hours, trade))
    gap = first_gap(scored, trade)
    assert gap.time_ns == trade.entry_ns
    assert gap.what == f"{trade.direction} {trade.lots:.2f} only in the backtest"
    assert (gap.why, gap.explained) == ("not explained", False)
    for score in scored.values():
        assert len(score.gaps) == (score.strategy in trade.shares)
    outcome = told(list(scored.values()))
    assert outcome.level == "warning"
    assert next(iter(trade.shares)) in outcome.text


def test_a_missed_trade_has_the_reason_that_is_known(hours: Hours) -> None:
    """An order that was not filled, a bar that never came, somebody's hand: in this order."""
    trade = closed_within(hours)
    missed = with_other(hours, trade)
    order = LiveOrder(
        time_ns=trade.entry_ns + 1, book=trade.book, symbol=trade.symbol, text="REJECTED 10019"
    )
    command = LiveCommand(
        time_ns=trade.entry_ns - 1, text="after `kill` by alice", target=next(iter(trade.shares))
    )
    of_others = [
        msgspec.structs.replace(command, target="somebody-else"),
        msgspec.structs.replace(command, time_ns=trade.entry_ns + 1),
    ]
    absent = {
        name: [bar for bar in rows if bar[0] != trade.entry_ns - NS_PER_MINUTE]
        for name, rows in hours.day.bars.items()
    }
    for changes, why in (
        ({"orders": (order,), "bars": absent, "commands": (command,)}, "REJECTED 10019"),
        ({"bars": absent, "commands": (command,)}, "it was away"),
        ({"commands": (command, *of_others)}, "after `kill` by alice"),
    ):
        gap = first_gap(hours.scores(trades=missed, **changes), trade)
        assert why in gap.why
        assert gap.explained
    gap = first_gap(hours.scores(trades=missed, commands=tuple(of_others)), trade)
    assert not gap.explained
    off = LiveCommand(time_ns=trade.entry_ns, until_ns=trade.entry_ns, text="orders off", target="")
    passed = trade.entry_ns - NS_PER_MINUTE
    over = msgspec.structs.replace(off, time_ns=passed, until_ns=passed)
    assert first_gap(hours.scores(trades=missed, commands=(off, over)), trade).why == "orders off"
    assert not first_gap(hours.scores(trades=missed, commands=(over,)), trade).explained


def test_a_command_to_a_member_concerns_its_fellows(hours: Hours) -> None:
    """Killed, it no longer stands against them: they trade where the backtest does not."""
    compiled = hours.result.compiled
    members = {s.name: [compiled.strategies[m].name for m in s.members] for s in compiled.slots}

    def against(trade: LiveTrade) -> list[str]:
        return [n for n in members[f"{trade.book}/{trade.symbol}"] if n not in trade.shares]

    trade = closed_within(hours, lambda t: bool(against(t)))
    kill = LiveCommand(
        time_ns=trade.entry_ns - 1, text="after `kill` by alice", target=against(trade)[0]
    )
    scored = hours.scores(trades=with_other(hours, trade), commands=(kill,))
    assert first_gap(scored, trade).why == "after `kill` by alice"


def test_bars_that_changed_since_are_a_reason(hours: Hours) -> None:
    """What live decided on may not be what the terminal tells now."""
    trade = closed_within(hours)
    changed = {
        name: [
            (at, high, low, close * (1.001 if 0 < trade.entry_ns - at <= 5 * NS_PER_MINUTE else 1))
            for at, high, low, close in rows
        ]
        for name, rows in hours.day.bars.items()
    }
    gap = first_gap(hours.scores(trades=with_other(hours, trade), bars=changed), trade)
    assert "bars changed since" in gap.why
    assert gap.explained


@pytest.mark.parametrize(("minutes", "said"), [(3, "3 min later"), (-2, "2 min earlier")])
def test_a_late_entry_is_one_gap(hours: Hours, minutes: int, said: str) -> None:
    """Within minutes it is the same trade; seconds within the minute are no gap at all."""
    trade = closed_within(hours, lambda t: t.exit_ns - t.entry_ns > 5 * NS_PER_MINUTE)
    shifted = msgspec.structs.replace(trade, entry_ns=trade.entry_ns + minutes * NS_PER_MINUTE)
    assert first_gap(hours.scores(trades=with_other(hours, trade, shifted)), trade).what == (
        f"{trade.direction} entered {said}"
    )
    slow = msgspec.structs.replace(trade, entry_ns=trade.entry_ns + 59 * 10**9)
    assert not any(s.gaps for s in hours.scores(trades=with_other(hours, trade, slow)).values())


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        ("kill", "by hand or by the broker: kill"),
        ("stop_out", "stop_out"),
        ("stop", "every tick"),
        ("drawdown", "every tick"),
    ],
)
def test_another_end_is_a_gap(hours: Hours, reason: str, why: str) -> None:
    """Who closed it is the reason; a stop that only ticks reached is one too."""
    trade = closed_within(hours, lambda t: t.reason == "signal")
    other = msgspec.structs.replace(trade, reason=reason)
    limit = LiveCommand(time_ns=trade.entry_ns - 1, text="after `limit` by bob", target="")
    gap = first_gap(hours.scores(trades=with_other(hours, trade, other), commands=(limit,)), trade)
    assert gap.what == f"closed by {reason}, in the backtest by signal"
    assert why in gap.why


def test_a_close_that_the_broker_refused_is_a_reason(hours: Hours) -> None:
    """It is renewed and comes later; an order that failed after live was out says nothing."""
    trade = closed_within(hours, lambda t: t.reason == "signal")
    order = LiveOrder(
        time_ns=trade.exit_ns, book=trade.book, symbol=trade.symbol, text="REJECTED 10018"
    )
    for minutes, explained in ((2, True), (-1, False)):
        moved = msgspec.structs.replace(trade, exit_ns=trade.exit_ns + minutes * NS_PER_MINUTE)
        scored = hours.scores(trades=with_other(hours, trade, moved), orders=(order,))
        assert first_gap(scored, trade).explained is explained


def test_a_rule_that_the_bar_alone_broke_is_named(hours: Hours) -> None:
    """Live's tick passed where the bar's spread does not: the backtest tells which rule it was."""
    trade = closed_within(hours)
    wide = hours.bars[trade.symbol].copy()
    wide["spread"][wide["time_ns"] == trade.entry_ns] *= 100.0
    bars = hours.bars | {trade.symbol: wide}
    other = hours._replace(bars=bars, result=go_on(hours.start, bars, hours.to_ns))
    gap = first_gap(other.scores(), trade)
    assert gap.why == "the backtest's bar did not pass SPREAD, live's tick did"
    assert gap.explained


def held_from(hours: Hours) -> LiveTrade:
    """Return a trade that was open when the hours began and was closed in them."""
    first = minute_of(hours.start.from_ns)
    return next(
        t for t in hours.day.trades if minute_of(t.entry_ns) <= first < minute_of(t.exit_ns)
    )


def test_what_the_hours_begin_with_is_known_from_their_state(hours: Hours) -> None:
    """What was held then is compared although it ends at once; what had ended before is not."""
    trade, from_ns = held_from(hours), hours.start.from_ns
    killed = msgspec.structs.replace(trade, reason="kill", exit_ns=from_ns + 20 * 10**9)
    gap = first_gap(hours.scores(trades=with_other(hours, trade, killed)), trade)
    assert gap.why == "closed by hand or by the broker: kill"
    before = msgspec.structs.replace(
        trade, reason="stop", entry_ns=trade.entry_ns - 10**9, exit_ns=from_ns + 10**8
    )
    scored = hours.scores(trades=(*hours.day.trades, before))
    assert scored == hours.scores()


def test_what_both_hold_all_the_time_is_not_counted(hours: Hours) -> None:
    """Nor where the fill came some seconds into the minute of the first batch."""
    trade, from_ns = held_from(hours), hours.start.from_ns
    (at,) = np.flatnonzero(
        [t.entry_ns == trade.entry_ns and t.book == trade.book for t in made_in(hours.result)]
    )
    made = hours.result.trades.copy()
    made["entry_ns"][at] = from_ns + 10**9
    made["exit_ns"][at] = hours.to_ns + NS_PER_MINUTE
    late = msgspec.structs.replace(trade, entry_ns=from_ns + 10**9, exit_ns=0, reason="")
    both = hours._replace(result=hours.result._replace(trades=made))
    member, before = next(iter(trade.shares)), hours.scores()
    score = both.scores(trades=with_other(hours, trade, late))[member]
    assert (score.n_trades, score.gaps) == (before[member].n_trades - 1, ())


def test_a_position_that_was_adopted_has_that_reason(hours: Hours) -> None:
    """It was entered long before by somebody else; the command came in these hours."""
    from_ns = hours.start.from_ns
    trade = msgspec.structs.replace(
        held_from(hours), entry_ns=from_ns - NS_PER_DAY, exit_ns=0, reason=""
    )
    command = LiveCommand(time_ns=from_ns + NS_PER_HOUR, text="after `adopt 7`", target=trade.book)
    scored = hours.scores(trades=(*hours.day.trades, trade), commands=(command,))
    gap = first_gap(scored, trade)
    assert gap.what == f"{trade.direction} {trade.lots:.2f} only in live"
    assert gap.why == "after `adopt 7`"


def test_a_position_that_was_handed_over_is_its_holder_s(hours: Hours) -> None:
    """The database names the book that entered; the state knows the one that holds it."""
    trade = held_from(hours)
    entered = msgspec.structs.replace(trade, book="a-book-that-is-gone")
    assert hours.scores(trades=with_other(hours, trade, entered)) == hours.scores()


def test_what_live_s_rules_refused_is_named(hours: Hours) -> None:
    """The bar passed where live's tick did not; a refusal of another time is no reason."""
    trade = closed_within(hours)
    run = RefusedRun(
        slot=f"{trade.book}/{trade.symbol}",
        rule="SPREAD",
        from_ns=trade.entry_ns - NS_PER_MINUTE,
        to_ns=trade.entry_ns,
    )
    over = msgspec.structs.replace(run, to_ns=run.from_ns)
    missed = with_other(hours, trade)
    gap = first_gap(hours.scores(trades=missed, refused=(run,)), trade)
    assert gap.why == "live's tick did not pass SPREAD, the backtest's bar did"
    assert not first_gap(hours.scores(trades=missed, refused=(over,)), trade).explained
    # No rule holds back an exit: the refusal of an entry at that batch is not its reason.
    closed = closed_within(hours, lambda t: t.reason == "signal")
    late = msgspec.structs.replace(closed, exit_ns=closed.exit_ns + NS_PER_MINUTE)
    beside = msgspec.structs.replace(
        run, slot=f"{closed.book}/{closed.symbol}", to_ns=closed.exit_ns + NS_PER_MINUTE
    )
    trades = with_other(hours, closed, late)
    assert not first_gap(hours.scores(trades=trades, refused=(beside,)), closed).explained


def test_ticks_are_no_reason_for_exits_hours_apart(hours: Hours) -> None:
    """A stop at a wrong level looks like this: somebody has to see it."""
    trade = closed_within(hours, lambda t: t.reason == "signal")
    far = trade.exit_ns + 61 * NS_PER_MINUTE
    other = msgspec.structs.replace(trade, reason="stop", exit_ns=far)
    assert not first_gap(hours.scores(trades=with_other(hours, trade, other)), trade).explained


def test_what_follows_a_gap_is_not_another_mystery(hours: Hours) -> None:
    """A book that was thrown off its course is explained once."""
    trade = closed_within(hours)
    killed = LiveCommand(time_ns=trade.entry_ns, text="after `halt` by bob", target="")
    later = [
        t
        for t in hours.day.trades
        if (t.book, t.symbol) != (trade.book, trade.symbol) or t.entry_ns < trade.entry_ns
    ]
    scored = hours.scores(trades=tuple(later), commands=(killed,))
    gaps = scored[next(iter(trade.shares))].gaps
    assert len(gaps) > 1
    assert gaps[0].why == "after `halt` by bob"
    assert {gap.why for gap in gaps[1:]} == {"earlier gap: after `halt` by bob"}
    assert all(gap.explained for gap in gaps)


def test_hours_without_bars_are_not_compared(hours: Hours) -> None:
    """Nothing is said of what nobody can know."""
    none = {name: b[b["time_ns"] < hours.start.from_ns] for name, b in hours.bars.items()}
    with pytest.raises(DataError, match="no bars of these hours"):
        go_on(hours.start, none, hours.to_ns)


def test_a_missed_trade_leaves_the_next_ones_as_they_are() -> None:
    """A trade every few minutes: whichever one side misses, the others are with their own."""
    every = [msgspec.structs.replace(BOUGHT, entry_ns=n * 4 * NS_PER_MINUTE) for n in range(6)]
    for missed in range(6):
        less = every[:missed] + every[missed + 1 :]
        expected = [(t if t is not every[missed] else None, t) for t in every]
        assert [tuple(pair) for pair in pairs(less, every)] == expected
        assert [tuple(pair)[::-1] for pair in pairs(every, less)] == expected


def test_pairs_keep_their_order() -> None:
    """Trades of one side are never joined; each is in exactly one pair, in order of entry."""
    rng = np.random.default_rng(3)
    for _ in range(200):
        sides = [
            [
                msgspec.structs.replace(
                    BOUGHT,
                    entry_ns=int(at) * NS_PER_MINUTE,
                    direction=str(rng.choice(["BUY", "SELL"])),
                )
                for at in np.sort(rng.choice(60, size=rng.integers(0, 8), replace=False))
            ]
            for _ in range(2)
        ]
        made = list(pairs(*sides))
        assert [p.live for p in made if p.live] == sides[0]
        assert [p.tested for p in made if p.tested] == sides[1]
        assert all(p.live.direction == p.tested.direction for p in made if p.live and p.tested)
