"""Every answer a broker can give, at every step of an order: the table of SEMANTICS.md §8."""

from collections.abc import Callable

import msgspec
import pytest

from engine.execution.reconcile import Reconciler
from engine.execution.router import Router
from engine.execution.steps import next_step
from engine.model.orders import Intent, IntentState, Outcome, magic_of
from engine.terminal.retcodes import LAST_ERRORS, RETCODES, Action, Verdict
from tests.faults.bench import BID, LOTS, POINT, Bench

Make = Callable[..., Bench]
ASK = BID + 8 * POINT
BOOK = 7
# An answer that sends nothing again, and one without a code: what became of the order.
ENDS = {Action.REFUSED: IntentState.REJECTED, Action.LATER: IntentState.REJECTED}


class Counter:
    """A counter at which single intents are handed in; it lets everything out again as it is."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.router = Router(bench.gateway, lambda intents: True, 1000, pause=lambda s: None)
        self.waited_s: list[float] = []
        self.refusals: list[str] = []

    def allowed(self, intent: Intent) -> bool:
        return True

    def again(self, intent: Intent) -> Intent | str:
        return intent

    def refused(self, intent: Intent, verdict: Verdict) -> None:
        self.refusals.append(verdict.name)

    def wait(self, seconds: float) -> None:
        self.waited_s.append(seconds)
        self.bench.wait_connected()

    def intent(self, position: int = 0) -> Intent:
        number = self.router.new_id()
        return Intent(
            id=number,
            magic=magic_of(BOOK, number),
            book="b",
            slot=0,
            symbol="EURUSD",
            action="CLOSE" if position else "OPEN",
            direction=1,
            lots=LOTS,
            price=BID if position else ASK,
            stop=0.0,
            target=0.0,
            position=position,
            reason=1,
            created_ns=self.bench.market_ns,
            batch_ns=self.bench.market_ns,
        )

    def send(self, intent: Intent) -> tuple[Outcome, int]:
        """Return what became of an intent, and how often it was sent."""
        before = self._n_sent()
        self.router.barred = ""
        [(_, outcome)] = self.router.execute([intent], policy=self)
        return outcome, self._n_sent() - before

    def deals(self, intent: Intent) -> int:
        self.bench.wait_connected()
        return sum(d.magic == intent.magic for d in self.bench.deals)

    def _n_sent(self) -> int:
        stats = self.bench.gateway.stats()
        return stats["Send"].n_calls if "Send" in stats else 0


@pytest.mark.parametrize("action", ["OPEN", "CLOSE"])
def test_every_code_ends_as_the_table_says(make_bench: Make, action: str) -> None:
    """State and number of sendings are the table's, nothing is executed, and unknown is unknown."""
    bench = make_bench({"a": "F"})
    counter = Counter(bench)
    position = bench.by_hand(1, LOTS) if action == "CLOSE" else 0
    for code, verdict in {**RETCODES, 10999: None}.items():
        bench.fault(call="order_send", kind="retcode", retcode=code, count=9)
        intent = counter.intent(position)
        outcome, n_sent = counter.send(intent)
        bench.gateway.control({"op": "clear_faults"})

        if code == 10030:  # the host knows that no mode is left
            assert (outcome.state, n_sent) == (IntentState.NOT_SENT, 3)
            continue
        step = Action.UNKNOWN if verdict is None else next_step(verdict, 1, closing=bool(position))
        assert outcome.state == ENDS.get(step, IntentState.UNKNOWN), code
        again = verdict is not None and step is Action.LATER
        assert n_sent == (verdict.n_sends if again else 1), code
        assert outcome.retcode == code
        assert counter.deals(intent) == 0
    assert len(bench.held) == bool(position)


@pytest.mark.parametrize("action", ["OPEN", "CLOSE"])
def test_what_is_sent_again_makes_one_order(make_bench: Make, action: str) -> None:
    """After each answer that allows it, the next sending is the only one that is executed."""
    bench = make_bench({"a": "F"})
    counter = Counter(bench)
    again = [c for c, v in RETCODES.items() if next_step(v, 1, closing=False) is Action.LATER]
    for code in again:
        position = bench.by_hand(1, LOTS) if action == "CLOSE" else 0
        bench.fault(call="order_send", kind="retcode", retcode=code)
        intent = counter.intent(position)
        outcome, n_sent = counter.send(intent)

        assert (outcome.state, n_sent, counter.deals(intent)) == (IntentState.DONE, 2, 1), code
        if not position:
            bench.by_hand(-1, LOTS, position=outcome.position)
    assert bench.held == []


@pytest.mark.parametrize("action", ["OPEN", "CLOSE"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_every_error_without_an_answer(make_bench: Make, action: str, when: str) -> None:
    """Not sent where that is certain; else unknown, and the deals tell what happened."""
    bench = make_bench({"a": "F"})
    counter = Counter(bench)
    reconciler = Reconciler(bench.gateway, monotonic_s=lambda: 0.0)
    certain = {-2, -8, -10004}
    for error in [*LAST_ERRORS, -1, -10003, -99]:
        if when == "after" and error in certain:
            continue  # these say that nothing was executed, and are true
        position = bench.by_hand(1, LOTS) if action == "CLOSE" else 0
        bench.fault(call="order_send", kind="error", code=error, when=when)
        intent = counter.intent(position)
        outcome, n_sent = counter.send(intent)
        bench.wait_connected()

        if error == -10004:  # sent once more as soon as the terminal is back
            assert (outcome.state, n_sent) == (IntentState.DONE, 2)
        elif error in certain:
            assert (outcome.state, n_sent) == (IntentState.NOT_SENT, 1), error
        else:
            assert (outcome.state, n_sent) == (IntentState.UNKNOWN, 1), error
            settled = [o.state for o in reconciler.settle([intent])]
            assert settled == ([IntentState.DONE] if when == "after" else []), error
        for held in bench.held:
            bench.by_hand(-held.direction, held.lots, position=held.ticket)


def test_a_phase_goes_on_beside_what_is_sent_again(make_bench: Make) -> None:
    """Requoted ones wait for the others, prices off for their time, and too many end the round."""
    bench = make_bench({"a": "F"})
    counter = Counter(bench)
    intents = [counter.intent() for _ in range(3)]
    for code in (10004, 10021, 10024):
        bench.fault(call="order_send", kind="retcode", retcode=code)

    outcomes = [o for _, o in counter.router.execute(intents, policy=counter)]

    assert [o.state for o in outcomes] == [IntentState.DONE] * 3
    deals = sorted(bench.deals, key=lambda d: d.ticket)
    assert [d.magic for d in deals] == [i.magic for i in intents]
    assert counter.waited_s[0] == 0.5
    assert counter.waited_s[1:] == [0.05] * 3
    assert counter.refusals == []


def test_a_filling_that_was_refused_is_passed_over_from_then_on(make_bench: Make) -> None:
    """The next order of the symbol goes out with the mode that was taken."""
    bench = make_bench({"a": "F"})
    counter = Counter(bench)
    bench.fault(call="order_send", kind="retcode", retcode=10030)
    assert counter.send(counter.intent())[1] == 2
    bench.gateway.control({"op": "trace", "on": True})

    outcome, n_sent = counter.send(counter.intent())

    assert (outcome.state, n_sent) == (IntentState.DONE, 1)
    assert counter.router._filling == {"EURUSD": 1}


def test_a_part_of_an_order_s_deals_is_not_the_order(make_bench: Make) -> None:
    """What fills in two deals is booked when both are there."""
    bench = make_bench({"a": "F"})
    counter = Counter(bench)
    intent = counter.intent()
    half = msgspec.structs.replace(intent, lots=LOTS / 2)
    bench.by_hand(1, half.lots, magic=half.magic)
    reconciler = Reconciler(bench.gateway, monotonic_s=lambda: 0.0)
    longer = msgspec.structs.replace(intent, lots=LOTS)

    assert [o.lots for o in reconciler.settle([half])] == [LOTS / 2]
    # The order's own history says that it is filled: nothing more will come.
    assert [o.lots for o in reconciler.settle([longer])] == [LOTS / 2]
    bench.by_hand(1, half.lots, magic=half.magic)
    assert [o.lots for o in reconciler.settle([longer])] == [LOTS]


def test_a_requote_enters_at_the_new_price_with_the_stop_s_distance(make_bench: Make) -> None:
    """The retry is the same intent, at a price that every state rule was asked about again."""
    bench = make_bench({"a": "L"})
    bench.fault(call="order_send", kind="retcode", retcode=10004)

    bench.step()

    assert len(bench.held) == 1
    assert bench.journal.last_intent_id() == 1
    bench.check_books()
    bench.check_balance()


@pytest.mark.parametrize("code", [10004, 10024])
def test_a_kill_while_an_entry_waits_withdraws_it(make_bench: Make, code: int) -> None:
    """The broker asks for patience; what was killed meanwhile is not sent again."""
    from engine.decision import switches

    bench = make_bench({"a": "LLLL"})
    bench.fault(call="order_send", kind="retcode", retcode=code)
    again = bench.trader._policy.again
    member = bench.member("a")
    bench.trader._policy.again = lambda intent: (  # type: ignore[method-assign]
        switches.kill(bench.trader.core, member),
        again(intent),
    )[1]

    bench.step()

    assert bench.held == []
    assert bench.deals == []
    assert bench.said("withdrawn before sending")


def test_a_requote_beyond_the_collar_is_dropped(make_bench: Make) -> None:
    """The rules of the decision are asked at the new price; what they refuse is not sent."""
    bench = make_bench({"a": "LLLL"})
    bench.fault(call="order_send", kind="retcode", retcode=10004)
    take = bench.trader.take_quotes

    def jumped(update, *, fresh_from_ns):  # type: ignore[no-untyped-def]
        take(update, fresh_from_ns=fresh_from_ns)
        if not update.batch_ns:
            bench.trader.core.quotes["close"] = BID * 0.9

    bench.trader.take_quotes = jumped  # type: ignore[method-assign]
    bench.step()

    assert bench.deals == []
    assert bench.said("then COLLAR")


@pytest.mark.parametrize(
    ("code", "minutes", "name"), [(10018, 5, "MARKET_CLOSED"), (10017, 15, "TRADE_DISABLED")]
)
def test_a_closed_symbol_takes_no_entries_for_a_while(
    make_bench: Make, code: int, minutes: int, name: str
) -> None:
    """It is said and shown, asks the broker nothing, and ends by itself."""
    bench = make_bench({"a": "L", "b": "L"})
    bench.fault(call="order_send", kind="retcode", retcode=code)

    bench.step(minutes)
    assert bench.deals == []
    assert bench.said(f"{name}", "warning")
    assert bench.journal.last_intent_id() == 2
    assert name in bench.trader.pauses.reason("EURUSD", 1)

    bench.step(1)
    assert len(bench.held) == 2
    assert bench.said("entries are tried again")
    bench.check_books()


@pytest.mark.parametrize(("code", "taken"), [(10042, 1), (10043, -1)])
def test_a_symbol_of_one_side_takes_that_side(make_bench: Make, code: int, taken: int) -> None:
    """LONG_ONLY pauses shorts, SHORT_ONLY longs; an operator's resume ends it."""
    refused, other = ("S", "L") if taken > 0 else ("L", "S")
    bench = make_bench({"a": refused, "b": f"F{other}"})
    bench.fault(call="order_send", kind="retcode", retcode=code)

    bench.step(3)
    assert [p.direction for p in bench.held] == [taken]

    bench.trader.pauses.end()
    bench.step()
    assert sorted(p.direction for p in bench.held) == [-1, 1]
    bench.check_books()


def test_a_pause_never_holds_a_close(make_bench: Make) -> None:
    """A closed market refuses a close; it is renewed until it is done."""
    bench = make_bench({"a": "LLF"})
    bench.step(2)
    bench.fault(call="order_send", kind="retcode", retcode=10018, count=2)

    bench.step(3)

    assert bench.held == []
    bench.check_balance()


def test_an_account_that_may_not_trade_halts_all_entries(make_bench: Make) -> None:
    """TRADE_DISABLED for the whole account is no matter of one symbol."""
    bench = make_bench({"a": "LLLL"})
    bench.gateway.control({"op": "set_switches", "investor": True})
    bench.fault(call="order_send", kind="retcode", retcode=10017)

    bench.step(2)

    assert bench.said("may not trade", "critical") or bench.said("TRADE_DISABLED", "critical")
    assert bench.trader.core.account[0]["trading"]


def test_the_oldest_position_is_closed_first_where_the_account_asks(make_bench: Make) -> None:
    """After FIFO_CLOSE the positions to close go out by age, whatever their books' order."""
    bench = make_bench({"a": "FLLLF", "b": "LLLLF"})
    bench.step(4)
    bench.fault(call="order_send", kind="retcode", retcode=10045)

    bench.step()
    assert [p.magic >> 32 for p in bench.held] == [1]
    bench.trader._policy.oldest_first = True
    bench.step(2)
    assert bench.held == []
    bench.check_balance()


@pytest.mark.parametrize("call", ["order_send", "history_deals_get"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_every_fault_at_every_step_of_an_order(make_bench: Make, call: str, when: str) -> None:
    """Entry and exit under each kind of fault: nothing twice, nothing lost, all of it booked."""
    kinds = [
        {"kind": "delay", "delay_s": 0.2},
        {"kind": "error", "code": -10005},
        {"kind": "error", "code": -10004},
        {"kind": "restart"},
        {"kind": "exit"},
    ]
    if call == "order_send":
        kinds += [{"kind": "retcode", "retcode": 10012}, {"kind": "lag", "delay_s": 0.3}]
        kinds += [{"kind": "delay"}, {"kind": "placed", "delay_s": 0.3}]
        kinds += [{"kind": "partial", "fill_frac": 0.5}, {"kind": "late", "delay_s": 0.3}]
    else:
        kinds += [{"kind": "duplicate"}, {"kind": "empty"}]
    bench = make_bench({"a": "LF" * 14})
    for fault in kinds:
        for action in ("OPEN", "CLOSE"):
            bench.fault(call=call, when=when, **fault)
            bench.step()
            bench.gateway.control({"op": "clear_faults"})
            bench.look_for_s(40)
            bench.check_books()
            bench.check_balance()
            assert not bench.slot("a")["unsettled"], (fault, action)
        bench.look_for_s(40)
        assert bench.trader.core.account[0]["trading"] == 0, fault
    entries = [d for d in bench.deals if d.entry == 0]
    assert len({d.magic for d in entries}) == len(entries)


def test_what_was_filled_in_part_is_held_and_its_rest_is_closed(make_bench: Make) -> None:
    """An entry holds what it got, a close goes on until nothing is left; all of it is booked."""
    bench = make_bench({"a": "LLF"})
    bench.fault(call="order_send", kind="partial", fill_frac=0.4)
    bench.step()
    assert [p.lots for p in bench.held] == [pytest.approx(0.2)]
    bench.check_books()
    bench.step()
    bench.fault(call="order_send", kind="partial", fill_frac=0.5)

    bench.step(2)

    assert bench.held == []
    assert [d.lots for d in bench.deals] == [pytest.approx(lots) for lots in (0.2, 0.1, 0.1)]
    bench.check_books()
    bench.check_balance()


def test_a_late_order_that_is_closed_in_part_is_closed_in_the_end(make_bench: Make) -> None:
    """Nobody forgets the rest of what was executed after it had been declared not executed."""
    bench = make_bench({"a": "LF"})
    bench.fault(call="order_send", kind="error", code=-10005, when="before")
    bench.step()
    late = bench.journal.unsettled()[0]
    bench.look_for_s(40)
    bench.by_hand(1, late.lots, magic=late.magic)
    bench.fault(call="order_send", kind="partial", fill_frac=0.4)

    bench.look()
    bench.look()

    assert bench.held == []
    assert len(bench.deals) == 3
    bench.check_balance()
    found = bench.journal.intent(late.id)
    assert found is not None
    assert found[1] is not None
    assert found[1].state == IntentState.DONE
    assert bench.crash() == []
