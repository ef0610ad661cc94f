"""Strategies come and go while others trade: the others never notice, nothing is left unowned."""

import re
import threading
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.control.messages import Actor
from engine.decision.account import mark_exposure
from engine.execution.journal import Outbox
from engine.execution.ledger import ClosedTrade
from engine.model.errors import ConfigError, PmproError, Refused, TryAgain, UserError
from engine.model.portfolio import Portfolio
from engine.model.reasons import Refusal
from engine.model.records import AuditRow
from engine.model.times import NS_PER_MINUTE
from engine.model.views.snapshot import Command
from engine.portfolio.edit import shared, taken_out, with_added, with_share, without
from engine.portfolio.file import parse_portfolio
from engine.portfolio.running import read_running, write_removed, write_running
from engine.portfolio.text import portfolio_text
from engine.runtime.commands import Commands
from engine.runtime.inbox import Inbox
from engine.trading.changes import ChangeMeans, Changes
from engine.views.details import CoreCopy, take_picture
from engine.views.parts import strategy_views
from tests.faults.bench import (
    HISTORY,
    LOTS,
    POINT,
    START_MINUTE,
    Bench,
    level_bars,
    portfolio,
)
from tests.faults.scripted import code_of

ACTOR = Actor(uid=0, user="root", role="admin")
LONG_SHORT = "LLLLSSSSFFLLLLLLSSFFLLLLSSS"
SHORT_LONG = "SSSSSSLLLLLFFFSSSSSSLLLLFFS"


class Changing(Bench):
    """A bench whose portfolio is changed by commands, as the engine's is."""

    def start(self) -> list[str]:
        """Start; what was kept of changes is remembered as the state directory would."""
        complaints = super().start()
        hosts = self.trader._hosts
        self.kept: list[Portfolio] = []
        self.trades: list[ClosedTrade] = []
        self.trader.positions.on_closed = self.trades.append
        self.changes = Changes(
            hosts,
            self.journal,
            self.events,
            ChangeMeans(
                lambda compiled: compiled,
                self.gateway.watch,
                self.kept.append,
                lambda tables, target: write_removed(tables, target, self.work),
            ),
        )
        self.inbox = Inbox()
        self.commands = Commands(
            self.inbox,
            trader=lambda: self.trader,
            hosts=lambda: hosts,
            set_speed=lambda speed: None,
            stop=lambda reason: None,
            changes=lambda: self.changes,
        )
        return complaints

    def order(self, name: Any, target: str = "", text: str = "", value: float = 0.0) -> str:
        """Give a command from a client's thread while this one is the engine's."""
        answers: list[str | Exception] = []

        def ask() -> None:
            command = Command(id="1", name=name, target=target, text=text, value=value)
            try:
                answers.append(self.commands.execute(command, ACTOR).text)
            except PmproError as error:
                answers.append(error)

        client = threading.Thread(target=ask)
        client.start()
        while client.is_alive():
            for job in self.inbox.take(0.01).jobs:
                job()
        self.changes.finish(self.trader)
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]

    def add(self, name: str, plan: str, **tables: Any) -> str:
        """Add a scripted strategy with lots of its own."""
        params = {"plan": code_of(plan), "start_minute": START_MINUTE}
        spec = {"name": name, "kind": "scripted", "symbol": "EURUSD", "params": params}
        if "book" not in tables:
            spec["sizing"] = {"method": "fixed_lots", "lots": LOTS}
        return self.order("add", text=msgspec.json.encode({"strategy": [spec], **tables}).decode())

    def remove(self, name: str, how: str = "") -> str:
        """Remove a strategy or book."""
        return self.order("remove", name, how)

    def step(self, minutes: int = 1) -> None:
        """Run so many batches, as the engine's loop does."""
        for _ in range(minutes):
            super().step()
            self.changes.finish(self.trader)

    def names(self) -> list[str]:
        """The strategies there are."""
        return [strategy.name for strategy in self.trader.compiled.strategies]

    def seen_of(self, names: tuple[str, ...]) -> list[Any]:
        """All state of strategies and their slots, but for numbers of orders."""
        seen: list[Any] = []
        for name in names:
            seen.append(self.trader.core.outputs[self.member(name)].tobytes())
            slot = self.slot(name).copy()
            slot["ticket"] = slot["intent"] = 0
            seen.append(slot.tobytes())
        return seen


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Changing]]:
    """Return a maker of benches."""
    made: list[Changing] = []

    def make_one(plans: dict[str, str], **options: str) -> Changing:
        work = tmp_path / str(len(made))
        work.mkdir()
        made.append(Changing(work, portfolio(plans, **options)))
        return made[-1]

    yield make_one
    for bench in made:
        bench.close()


def trades_of(bench: Changing, names: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Return the finished trades of books, but for numbers of orders."""
    return [
        (
            *(t.opened.book, t.opened.direction, t.opened.lots, t.opened.entry_ns),
            *(t.opened.entry_price, t.exit_ns, t.exit_price, t.reason, t.profit_ccy),
            t.opened.shares,
        )
        for t in bench.trades
        if t.opened.book in names
    ]


def test_others_never_notice_what_comes_and_goes(make: Callable[..., Changing]) -> None:
    """Outputs, positions and trades of the others are bit for bit those of a run without.

    Strategies are added to solo books before and after theirs, trade, and leave in every way.
    """
    plans = {"a": LONG_SHORT, "b": SHORT_LONG}
    alone, changed = make(plans), make(plans)
    for minute in range(26):
        if minute == 3:
            assert changed.add("c", SHORT_LONG) == "added c"
        if minute == 5:
            changed.add("d", LONG_SHORT)
        if minute == 9:
            changed.remove("c", "flatten")
        if minute == 15:
            changed.remove("d", "flatten")
        alone.step()
        changed.step()
        assert changed.seen_of(("a", "b")) == alone.seen_of(("a", "b")), minute
        changed.check_books()
    assert changed.names() == ["a", "b"]
    assert trades_of(changed, ("a", "b")) == trades_of(alone, ("a", "b")) != []
    assert trades_of(changed, ("c",))
    assert trades_of(changed, ("d",))
    changed.check_balance()


def test_what_was_added_trades_like_one_that_was_there(make: Callable[..., Changing]) -> None:
    """From its first bar on, an added strategy does what it would do from a start."""
    there, added = make({"a": LONG_SHORT, "c": SHORT_LONG}), make({"a": LONG_SHORT})
    added.add("c", SHORT_LONG)
    for _ in range(20):
        there.step()
        added.step()
        assert added.seen_of(("a", "c")) == there.seen_of(("a", "c"))
    assert trades_of(added, ("c",)) == trades_of(there, ("c",)) != []


def test_a_change_outlives_a_crash(make: Callable[..., Changing]) -> None:
    """After a restart on the kept portfolio everything is where it was."""
    bench = make({"a": LONG_SHORT})
    bench.add("c", "LLLLLLLLLLL")
    bench.step(2)
    bench.compiled = bench.trader.compiled
    assert bench.kept[-1] == bench.compiled.portfolio
    before = bench.seen_of(("a", "c"))
    assert bench.crash() == []
    assert bench.seen_of(("a", "c")) == before
    bench.step(3)
    bench.check_books()


def test_a_removal_says_what_becomes_of_the_position(make: Callable[..., Changing]) -> None:
    """What holds something leaves only as told, and is left as it was where it may not."""
    bench = make({"a": "LLLLLLLLLLLLLL", "b": "FFFFFFFFFFFF"})
    bench.step(2)
    before = bench.seen_of(("a", "b"))
    with pytest.raises(Refused, match="a/EURUSD: holds a position; use --flatten, --keep or --to"):
        bench.remove("a")
    with pytest.raises(Refused, match="no other member in EURUSD is left"):
        bench.remove("a", "keep")
    with pytest.raises(UserError, match="no book 'x' in EURUSD"):
        bench.remove("a", "to x")
    with pytest.raises(ConfigError, match="no strategy or book is named 'x'"):
        bench.remove("x")
    assert bench.seen_of(("a", "b")) == before

    assert bench.remove("a", "flatten").startswith("closing 1 position(s) of a")
    assert bench.held == []
    assert bench.names() == ["b"]
    with pytest.raises(ConfigError, match="at least one"):
        bench.remove("b", "flatten")
    assert not bench.trader.core.outputs[bench.member("b")]["killed"]


def test_a_position_goes_over_to_another_book(make: Callable[..., Changing]) -> None:
    """Handed over, it is the other book's: its signal closes it, its members did not open it."""
    bench = make({"a": "LLLLLLLLLL", "b": "FFFFFFLLFFF"})
    bench.step(2)
    (held,) = bench.held
    opened = bench.slot("a").copy()
    bench.remove("a", "to b")
    assert bench.names() == ["b"]
    assert bench.slot("b")["ticket"] == held.identifier
    assert bench.slot("b")["entry_price"] == opened["entry_price"]
    bench.check_books()
    bench.compiled = bench.trader.compiled
    assert bench.crash() == []
    bench.step(3)
    assert bench.held == []  # b says FLAT: it does not carry it
    bench.check_balance()
    bench.step(4)
    bench.check_books()


def test_a_book_keeps_the_position_of_a_member_that_leaves(make: Callable[..., Changing]) -> None:
    """The others of a book go on with what it holds; who joins votes from its first bar on."""
    book = '[[book]]\nname = "x"\nmembers = { a = 0.5, b = 0.5 }\nenter = 0.4\n'
    book += f'sizing = {{ method = "fixed_lots", lots = {LOTS} }}\n'
    bench = make({"a": "LLLLLLLLLL", "b": "LLLLLLLFFF"}, extra=book)
    bench.step(2)
    (held,) = bench.held
    with pytest.raises(Refused, match="--keep"):
        bench.remove("a")
    bench.remove("a", "keep")
    bench.step(2)
    assert [p.identifier for p in bench.held] == [held.identifier]

    bench.add("c", "SSSSSSSSSS", book=[{"name": "x", "members": {"c": 1.0}}])
    assert bench.names() == ["b", "c"]
    bench.step(1)
    assert held.identifier not in [p.identifier for p in bench.held]  # 0.33 long, 0.67 short
    bench.check_books()
    bench.add("z", "FF")
    bench.remove("x", "flatten")
    bench.step()
    assert bench.names() == ["z"]
    assert bench.held == []


def test_what_is_being_looked_for_stops_a_change_of_its_book(make: Callable[..., Changing]) -> None:
    """While an order's outcome is unknown its book stays; a removal by closing waits for it."""
    bench = make({"a": "FLLLLLLLLL", "b": "FFFFFFFF"})
    bench.step()
    bench.fault(call="order_send", kind="error", code=-10005, when="after")
    bench.step()
    assert bench.slot("a")["unsettled"]
    with pytest.raises(TryAgain, match="is being looked for"):
        bench.remove("a")
    bench.remove("a", "flatten")
    assert bench.names() == ["a", "b"]
    bench.look_for_s(60)
    bench.step()
    assert bench.names() == ["b"]
    assert bench.held == []


def test_a_change_that_was_overtaken_is_refused(make: Callable[..., Changing]) -> None:
    """Of two changes that were prepared on the same portfolio, the second is not carried out."""
    bench = make({"a": LONG_SHORT})
    spec = {"name": "c", "kind": "scripted", "symbol": "EURUSD"}
    text = msgspec.json.encode({"strategy": [spec]}).decode()
    stale = bench.changes.prepare_addition(bench.trader, text)
    bench.add("d", LONG_SHORT)
    with pytest.raises(TryAgain, match="changed at the same time"):
        bench.changes.succeed(bench.trader, stale)
    assert bench.names() == ["a", "d"]


def test_a_strategys_number_is_its_own_for_ever(make: Callable[..., Changing]) -> None:
    """The console follows a row by its id: nobody inherits one."""
    bench = make({"a": LONG_SHORT, "b": SHORT_LONG})
    bench.remove("a")
    bench.add("c", LONG_SHORT)
    assert {view.name: view.id for view in strategy_views(bench.trader)} == {"b": 1, "c": 2}


def test_every_change_is_audited(make: Callable[..., Changing]) -> None:
    """Before and after stand in the trail, with who asked for it."""
    bench = make({"a": LONG_SHORT})
    bench.add("c", LONG_SHORT)
    rows = [entry.record for entry in Outbox(bench.journal.path).entries(0, 1000)]
    audits = [row.details for row in rows if isinstance(row, AuditRow)]
    assert audits[0]["before"] == {"strategies": ["a"], "books": {}, "shares": {}}
    assert audits[0]["after"]["strategies"] == ["a", "c"]
    assert audits[1]["command"] == "add"


BOOK_OF_THREE = (
    '[[book]]\nname = "x"\nmembers = { a = 1.0, b = 2.0, c = 1.0 }\nenter = 0.35\nexit = 0.1\n'
    'sizing = { method = "fixed_lots", lots = 1.0 }\n'
)


def test_a_share_counts_at_the_next_decision_and_after_a_restart(
    make: Callable[..., Changing],
) -> None:
    """One against two of equal words: alone above the threshold it turns the book, for good."""
    bench = make({"a": "L" * 20, "b": "S" * 20, "c": "F" * 20}, extra=BOOK_OF_THREE)
    bench.step(3)
    assert bench.slot("x")["direction"] == 0  # 1 long and 2 short of 4: a net of -0.25
    assert bench.order("allocate", "a", value=0.7) == "a has 70.0% of book x; it had 25.0%"
    bench.step(2)
    assert bench.slot("x")["direction"] == 1
    shares = bench.trader.core.outputs["share"][[bench.member(n) for n in "abc"]]
    assert (shares / shares.sum()).tolist() == pytest.approx([0.7, 0.2, 0.1])
    assert bench.kept[-1] == bench.trader.compiled.portfolio
    audits = [e.record for e in Outbox(bench.journal.path).entries(0, 1000)]
    changes = [r.details for r in audits if isinstance(r, AuditRow) and "after" in r.details]
    assert changes[-1]["before"]["books"] == {"x": {"a": 1.0, "b": 2.0, "c": 1.0}}
    assert changes[-1]["after"]["books"]["x"]["a"] == pytest.approx(0.7 * 4.0)


def test_a_changed_portfolio_forgets_no_decision_of_what_goes_on(
    make: Callable[..., Changing],
) -> None:
    """After `allocate`, an addition and a removal each slot's last decision is as it was: which
    rule refused, every value and limit, and when.
    """
    bench = make({"a": "FLLLLLLL", "b": "LLLLLLLL", "c": "FFFFFFFF"})
    bench.step()
    bench.order("halt")
    bench.step(2)

    pictures: list[CoreCopy | None] = [None]

    def decisions() -> dict[str, tuple[int, bytes, int]]:
        trader = bench.trader
        mark_exposure(trader.core)
        pictures.append(take_picture(trader, pictures[-1]))
        return {
            name: (int(bench.slot(name.partition("/")[0])["refusal"]), *known)
            for name, known in pictures[-1].decided.items()
        }

    before = decisions()
    assert {name: rule for name, (rule, *_) in before.items()} == {
        "a/EURUSD": Refusal.HALTED,
        "b/EURUSD": Refusal.ACCEPTED,
    }
    bench.order("allocate", "a", value=0.5)
    assert decisions() == before
    bench.add("d", "F" * 8)
    assert decisions() == before
    bench.remove("c")
    assert decisions() == before
    assert "c/EURUSD" not in bench.trader.names.slots


def test_a_share_waits_for_an_order_s_outcome(make: Callable[..., Changing]) -> None:
    """Whose word opened a position is fixed at its entry: no other share while that is unknown."""
    bench = make({"a": "FLLLLLLLLL", "b": "FLLLLLLLLL", "c": "FLLLLLLLLL"}, extra=BOOK_OF_THREE)
    bench.step()
    bench.fault(call="order_send", kind="error", code=-10005, when="after")
    bench.step()
    assert bench.slot("x")["unsettled"]
    with pytest.raises(TryAgain, match="is being looked for"):
        bench.order("allocate", "a", value=0.7)
    bench.look_for_s(60)
    bench.step()
    assert bench.order("allocate", "a", value=0.7).startswith("a has 70.0%")


def test_what_the_rules_refuse_is_known_afterwards(make: Callable[..., Changing]) -> None:
    """Each slot's refusals stand with their rule and the batches; what was let in does not."""
    bench = make({"a": "FLLLLL", "b": "LLLLLL"})
    bench.step()
    assert bench.trader.refusals.since(0) == ()
    bench.order("halt")
    first_ns = int(bench.trader.core.account[0]["batch_ns"]) + NS_PER_MINUTE
    bench.step(3)
    (run,) = bench.trader.refusals.since(0)
    assert (run.slot, run.rule) == ("a/EURUSD", "HALTED")
    assert (run.from_ns, run.to_ns) == (first_ns, first_ns + 2 * NS_PER_MINUTE)


def test_a_book_s_share_scales_its_next_entry_alone(make: Callable[..., Changing]) -> None:
    """What is open keeps its size; the next entry counts the new share, at most three times."""
    bench = make({"a": "LLLFFLLL", "b": "FFFFFFFF", "c": "F" * 8, "d": "F" * 8})
    bench.step(2)
    held = bench.slot("a").copy()
    assert held["direction"] == 1
    assert bench.order("allocate", "a", value=0.5) == "a has 50.0% of the account; it had 25.0%"
    assert bench.slot("a")["lots"] == held["lots"]
    bench.step(5)
    assert bench.slot("a")["entry_ns"] > held["entry_ns"]
    assert bench.slot("a")["lots"] == pytest.approx(2.0 * held["lots"])
    told = bench.order("allocate", "a", value=0.9)
    assert told.endswith("sizes count it as 75.0%, 3 times the equal share")


def test_a_changed_portfolio_knows_what_others_had_in_a_position(tmp_path: Path) -> None:
    """A shared position's entry price is a mean, also when the others have left: no doubt of it."""
    bars = level_bars()
    for field in ("open", "high", "low", "close"):
        bars[field][HISTORY + 3 :] += 20 * POINT
    text = portfolio(
        {"a": "L" * 20, "b": "L" * 20, "c": "F" * 20}, extra=BOOK_OF_THREE, margin_mode="netting"
    )
    bench = Changing(tmp_path, text, bars)
    try:
        bench.step(4)
        bench.by_hand(1, 1.0)
        bench.look()
        bench.by_hand(-1, 1.0)
        bench.look()
        [held] = bench.held
        assert held.entry_price != bench.slot("x")["entry_price"]
        bench.order("allocate", "a", value=0.5)
        bench.look_for_s(30)
        assert not bench.trader.core.account[0]["trading"]
    finally:
        bench.close()


BOOKS = parse_portfolio(
    "".join(f'[[strategy]]\nname = "{n}"\nkind = "macd"\nsymbol = "EURUSD"\n' for n in "abcde")
    + '[[book]]\nname = "x"\nmembers = { a = 0.5, b = 2.0, c = 1.5 }\n'
    + '[[book]]\nname = "y"\nmembers = { d = 0.3 }\n'
    + "[allocation]\nshares = { x = 3.0 }\n",
    "test",
)


@given(target=st.sampled_from("abcdexy"), share=st.floats(0.0, 1.0), then=st.floats(0.0, 1.0))
def test_others_keep_their_proportions(target: str, share: float, then: float) -> None:
    """The share is what was asked for, all are 1 together, twice set is as set once."""
    before = shared(BOOKS, target)
    if before.book and not 0.0 < min(share, then) <= max(share, then) < 1.0:
        with pytest.raises(ConfigError):
            with_share(with_share(BOOKS, target, share), target, then)
        return
    changed = with_share(with_share(BOOKS, target, share), target, then)
    after = shared(changed, target)
    assert after.unit == before.unit == {"d": "y"}.get(target, target)
    assert after.share_frac[after.unit] == pytest.approx(then, abs=1e-12)
    assert sum(after.share_frac.values()) == pytest.approx(1.0)
    others = [n for n in before.share_frac if n != before.unit]
    if share < 1.0:
        rest = sum(before.share_frac[n] for n in others)
        for name in others:
            part = before.share_frac[name] / rest
            assert after.share_frac[name] == pytest.approx(part * (1.0 - then), abs=1e-9)


@pytest.mark.parametrize(
    ("text", "target", "share", "complaint"),
    [
        ("", "nobody", 0.5, "no strategy or book is named 'nobody'"),
        ("", "x", float("nan"), "a fraction from 0 to 1"),
        ("", "x", 1.01, "a fraction from 0 to 1"),
        ("", "a", 0.0, "disable it"),
        ('method = "score"', "x", 0.5, "decides the shares once a day"),
    ],
)
def test_an_impossible_share_is_one_line(
    text: str, target: str, share: float, complaint: str
) -> None:
    """No such name, no fraction, a member at nothing, shares that a method decides."""
    now = parse_portfolio(
        portfolio_text(BOOKS).replace("[allocation]", f"[allocation]\n{text}"), ""
    )
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        with_share(now, target, share)


def test_the_only_book_has_it_all() -> None:
    """There is nobody to give the rest to, or to take it from."""
    with pytest.raises(ConfigError, match="the whole account"):
        with_share(without(without(BOOKS, "x"), "y"), "e", 0.5)


TABLES: list[tuple[dict[str, Any], str]] = [
    ({}, "no [[strategy]]"),
    ({"risk": {}}, "[risk] cannot be added"),
    ({"strategy": [{"name": "a", "kind": "macd", "symbol": "EURUSD"}]}, "there twice"),
    ({"strategy": [{"name": "n", "kind": "macd", "symbol": "XX"}]}, "symbol 'XX' is unknown"),
    (
        {
            "strategy": [{"name": "n", "kind": "macd", "symbol": "EURUSD"}],
            "book": [{"name": "x", "members": {"n": 1.0}, "enter": 0.9}],
        },
        "its enter stays",
    ),
]


@pytest.mark.parametrize(("tables", "complaint"), TABLES)
def test_impossible_additions_are_one_line(tables: dict[str, Any], complaint: str) -> None:
    """What cannot be added says why, and what it would have changed."""
    now = parse_portfolio(
        '[[strategy]]\nname = "a"\nkind = "macd"\nsymbol = "EURUSD"\n'
        '[[book]]\nname = "x"\nmembers = { a = 1.0 }\n',
        "test",
    )
    with pytest.raises(ConfigError) as caught:
        with_added(now, tables)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_running_portfolio_is_found_again(tmp_path: Path) -> None:
    """Changes come back at the next start, unless the operator's file was edited since."""
    file, state = tmp_path / "p.toml", tmp_path / "state"
    state.mkdir()
    file.write_text('[[strategy]]\nname = "a"\nkind = "macd"\nsymbol = "EURUSD"\n')
    first, remark = read_running(file, state)
    assert remark == ""
    spec = {"name": "c d", "kind": "macd", "symbol": "EURUSD", "params": {"fast": 3}}
    changed = with_added(first, {"strategy": [spec | {"name": "c"}]})
    write_running(changed, file, state)
    assert read_running(file, state)[0] == changed
    file.write_text(file.read_text() + 'timeframe = "M5"\n')
    edited, remark = read_running(file, state)
    assert [s.name for s in edited.strategy] == ["a"]
    assert "was edited" in remark


def test_text_of_a_portfolio_is_that_portfolio() -> None:
    """Written and read again it is equal; added and removed again it is as before."""
    text = """
server_clock = "UTC"
[account]
margin_mode = "hedging"
balance_ccy = 12345.5
[symbols."X.Y"]
digits = 2
contract_size = 10.0
base = "EUR"
profit_currency = "USD"
[risk]
var_max_frac = 0.25
restricted = ["EURUSD"]
[[strategy]]
name = "a"
kind = "macd"
symbol = "X.Y"
params = { word = "q\\"uote", flag = true, whole = 3, tiny = 1e-300 }
sizing = { method = "fixed_lots", lots = 0.3 }
[[strategy]]
name = "b"
kind = "macd"
symbol = "EURUSD"
enabled = false
[[book]]
name = "x"
members = { b = 0.1 }
[allocation]
shares = { x = 0.75, a = 0.25 }
"""
    one = parse_portfolio(text, "test")
    assert parse_portfolio(portfolio_text(one), "again") == one
    more = with_added(one, {"strategy": [{"name": "c", "kind": "macd", "symbol": "EURUSD"}]})
    assert without(more, "c") == one
    assert np.isfinite(one.account.balance_ccy)
    # What was taken out brings it back, in another place: a book with its settings and share too.
    for target in ("a", "x", "b"):
        back = with_added(without(more, target), taken_out(more, target))
        assert {s.name: s for s in back.strategy} == {s.name: s for s in more.strategy}
        assert {b.name: b for b in back.book} == {b.name: b for b in more.book}
        assert back.allocation.shares == more.allocation.shares
    with pytest.raises(ConfigError, match="no strategy or book is named 'B', did you mean 'b'"):
        taken_out(more, "B")


def test_a_removal_says_how_to_undo_it(make: Callable[..., Changing]) -> None:
    """The file that it names is taken by `add`: strategies, book, members and shares are back."""
    bench = make(dict.fromkeys("abcd", "FFFFFFFF"), extra=BOOK_OF_THREE)
    before = bench.trader.compiled.portfolio
    for target, gone in (("x", "a, b, c"), ("b", "b"), ("d", "d")):
        said = bench.remove(target)
        path = bench.work / "removed" / f"{target}.toml"
        assert said == (
            f"removed {gone}; `pmpro strategy add {path}` brings it back, with a new shadow record"
        )
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        bench.order("add", text=msgspec.json.encode(tables).decode())
        after = bench.trader.compiled.portfolio
        assert {s.name: s for s in after.strategy} == {s.name: s for s in before.strategy}
        assert [(b.name, set(b.members.items())) for b in after.book] == [
            (b.name, set(b.members.items())) for b in before.book
        ]
    bench.work.joinpath("removed", "x.toml").unlink()
    bench.work.joinpath("removed", "x.toml").mkdir()
    assert "its tables could not be kept: " in bench.remove("x")


@pytest.mark.parametrize("target", ["a", "x"])
def test_a_share_leaves_the_measure_as_it_is(target: str) -> None:
    """What is added afterwards has the weight that it would have had before."""
    spec = {"name": "f", "kind": "macd", "symbol": "EURUSD"}
    tables: dict[str, Any] = {"strategy": [spec], "allocation": {"shares": {"f": 1.0}}}
    if target == "a":
        tables = {"strategy": [spec], "book": [{"name": "x", "members": {"f": 1.0}}]}
    named = with_share(BOOKS, "x", 0.3)  # all books have a number from here on
    same = with_share(named, target, shared(named, target).share_frac[target])
    for portfolio_now in (named, same):
        shares = shared(with_added(portfolio_now, tables), "f").share_frac
        assert shares["f"] == pytest.approx(1.0 / 5.0 if target == "a" else 1.0 / 10.0)
