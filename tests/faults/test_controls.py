"""Kill of a part, the account's state, limits at run time, others on the account."""

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.decision import switches
from engine.execution.journal import Outbox
from engine.model.errors import PmproError, Refused, UserError
from engine.model.reasons import ExitReason, Refusal, TradingState
from engine.model.records import AuditRow
from engine.model.views.commands import COMMANDS
from engine.model.views.snapshot import Command
from engine.portfolio.compile import compile_portfolio
from engine.portfolio.file import parse_portfolio
from engine.runtime.inbox import Inbox
from engine.trading.restart import doubt_unless_balanced
from engine.views.parts import book_views, risk_view, strategy_views, symbol_views
from engine.views.snapshot import trading_state
from tests.faults.bench import BID, LOTS, POINT, SIZING, Bench, level_bars, portfolio
from tests.faults.commanding import ACTOR, commands_of, order
from tests.faults.scripted import HANG

Make = Callable[..., Bench]
BOOK = f'[[book]]\nname = "both"\nmembers = {{ a = 1, b = 1 }}\nenter = 0.3\n{SIZING}'


def audited(bench: Bench, event_type: str) -> list[dict[str, Any]]:
    """Return the details of all audit rows of a type."""
    outbox = Outbox(bench.journal.path)
    rows = [entry.record for entry in outbox.entries(0, 100_000)]
    outbox.close()
    return [r.details for r in rows if isinstance(r, AuditRow) and r.event_type == event_type]


def state_of(bench: Bench) -> tuple[str, str]:
    trader = bench.trader
    flattening = trader.flattening is not None
    return trading_state(trader.core, flattening=flattening, reason=trader.reason)


# ---- close


def test_named_positions_are_closed_and_their_books_wait_for_a_new_signal(
    make_bench: Make,
) -> None:
    """Only what was named closes, as an operator's close; its slot is spent until it re-arms."""
    bench = make_bench({"a": "LLLLLLFL", "b": "LLLLLLLL"})
    bench.step(2)
    closed = []
    bench.trader.positions.on_closed = closed.append
    first, second = sorted(int(p.identifier) for p in bench.held)
    said = order(bench, "close", f"{first}, 77").text
    assert said == f"closing position {first}; 77 is not open"
    assert [int(p.identifier) for p in bench.held] == [second]
    assert [trade.reason for trade in closed] == [ExitReason.OPERATOR]
    assert audited(bench, "COMMAND")[-1]["result"] == said
    bench.step(4)
    assert len(bench.held) == 1
    assert "SPENT" in {view.state for view in strategy_views(bench.trader)}
    bench.step(2)
    assert len(bench.held) == 2
    bench.check_books()


def test_what_is_not_ours_is_not_closed(make_bench: Make) -> None:
    """An EXTERNAL position, a ticket nobody holds and no ticket at all are refused."""
    bench = make_bench({"a": "FFFF"})
    bench.step(1)
    ticket = bench.by_hand(1, 0.1)
    bench.look()
    for target, why, error in (
        (str(ticket), "is EXTERNAL", Refused),
        (f"0 {ticket}", "0 is not open; .* is EXTERNAL", Refused),
        ("0", "is not open", UserError),
        ("9" * 5000, "not open", UserError),
        ("", "which position", UserError),
    ):
        with pytest.raises(error, match=why):
            order(bench, "close", target)
    assert len(bench.trader.positions.external) == 1


# ---- kill


def test_a_kill_means_a_strategy_then_a_book_then_a_symbol(make_bench: Make) -> None:
    """A name stands for the smallest thing that has it; what has none is refused."""
    bench = make_bench({"EURUSD": "LLLLLL", "b": "LLLLLL"})
    bench.step(2)
    order(bench, "kill", "EURUSD")
    assert [p.magic >> 32 for p in bench.held] == [2]
    assert not bench.trader.core.quotes["killed"].any()
    with pytest.raises(UserError, match=r"no strategy, book or symbol is named 'x'$"):
        order(bench, "kill", "x")
    for wrong in ("eurusd", "EURUSDD"):
        with pytest.raises(UserError, match=f"named '{wrong}', did you mean 'EURUSD'"):
            order(bench, "kill", wrong)


def test_a_killed_book_closes_as_killed_and_comes_back_with_enable(make_bench: Make) -> None:
    """All its members are out at once; `enable` gives every one of them its vote back."""
    bench = make_bench({"a": "LLLLLLFL", "b": "LLLLLLFL"}, extra=BOOK)
    closed = []
    bench.step(2)
    bench.trader.positions.on_closed = closed.append
    order(bench, "kill", "both")
    assert bench.held == []
    assert [trade.reason for trade in closed] == [ExitReason.KILL]
    bench.step(2)
    assert bench.held == []
    assert {view.state for view in strategy_views(bench.trader)} == {"KILLED"}
    order(bench, "enable", "both")
    bench.step(4)
    assert len(bench.held) == 1
    bench.check_books()


@pytest.mark.parametrize("target", ["both", "EURUSD"])
def test_an_order_under_way_is_closed_when_its_book_or_symbol_was_killed(
    make_bench: Make, target: str
) -> None:
    """What the kill could not see yet is closed once it is filled, and nothing follows."""
    bench = make_bench({"a": "LLLL", "b": "LLLL"}, extra=BOOK)
    send = bench.gateway.send
    core = bench.trader.core

    def kill_meanwhile(request: Any) -> Any:
        done = send(request)
        if target == "both":
            for member in (0, 1):
                switches.kill(core, member)
        else:
            switches.kill_symbol(core, 0)
        return done

    bench.gateway.send = kill_meanwhile  # type: ignore[method-assign]
    bench.step(3)
    assert bench.held == []
    assert len(bench.deals) == 2
    bench.check_books()


def test_a_killed_symbol_withdraws_an_entry_that_was_decided(make_bench: Make) -> None:
    """The last question before sending sees it."""
    bench = make_bench({"a": "LLLL"})
    begin = bench.trader._router._begin
    core = bench.trader.core
    bench.trader._router._begin = lambda intents: (
        switches.kill_symbol(core, 0),
        begin(intents),
    )[1]
    bench.step(2)
    assert bench.deals == []


def test_a_killed_symbol_stays_so_over_a_crash_until_it_is_enabled(make_bench: Make) -> None:
    """Every position in it is closed, no book enters, and the console says why."""
    bench = make_bench({"a": "LLLLLLLLLL", "b": "SSSSSSFSSS"})
    bench.step(2)
    order(bench, "kill", "EURUSD")
    assert bench.held == []
    assert bench.crash() == []
    bench.step(6)
    assert bench.held == []
    view = strategy_views(bench.trader)[0]
    assert (view.state, view.detail) == ("KILLED", "symbol EURUSD is killed: enable EURUSD")
    order(bench, "enable", "EURUSD")
    bench.step(2)
    assert [p.magic >> 32 for p in bench.held] == [2]  # its own signal changed since


def test_enable_brings_a_barred_book_and_a_benched_member_back(make_bench: Make) -> None:
    """A named person lifts what a rule did; the console says what was done."""
    bench = make_bench({"a": "LLLL", "b": "LLLL"})
    core = bench.trader.core
    core.positions[0]["barred"] = int(Refusal.REPEATED)
    switches.bench(core, 1)
    details = [view.detail for view in strategy_views(bench.trader)]
    assert "barred by REPEATED" in details[0]
    assert "benched" in details[1]
    order(bench, "enable", "a")
    order(bench, "enable", "b")
    assert not core.positions["barred"].any()
    assert not core.outputs["benched"].any()
    assert [view.detail for view in strategy_views(bench.trader)] == ["", ""]


def test_kill_halt_and_flatten_with_everything_else_broken(
    make_bench: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No database, no equity, a strategy that hangs, a console that is gone: all closes.

    The commands' flags are set on the client's own thread; the client never hears the answer.
    """
    hang = tmp_path / "hang"
    monkeypatch.setenv(HANG, str(hang))
    bench = make_bench({"a": "LLLLLLL", "b": "LLLLLLL", "c": "LLLLLLL"})  # a database never ran
    bench.step(2)
    core = bench.trader.core
    core.quotes["bid"] = core.quotes["ask"] = np.nan
    core.account["equity_ccy"] = core.account["balance_ccy"] = np.nan
    core.account["high_water_ccy"] = core.account["day_start_equity_ccy"] = np.nan
    hang.touch()
    batch = bench.advance()
    deciding = threading.Thread(target=bench.trader.on_batch, args=(batch,))
    deciding.start()
    inbox = Inbox()  # nobody ever takes from it: the engine's thread is in the batch
    commands = commands_of(bench, inbox)

    def give_and_go(name: Any, target: str = "") -> None:
        command = Command(id=name, name=name, target=target)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("engine.runtime.commands.REPLY_WAIT_S", 0.0)
            assert commands.execute(command, ACTOR).ok

    give_and_go("kill", "a")
    assert _closes(bench, 2)
    give_and_go("halt")
    assert core.account[0]["trading"] == TradingState.HALTED
    give_and_go("flatten")
    assert _closes(bench, 0)
    assert deciding.is_alive()
    hang.unlink()
    deciding.join()
    bench.step(2)
    assert bench.held == []
    assert len(bench.deals) == 6
    risk_view(bench.trader)  # a picture can be made of it


def _closes(bench: Bench, n_left: int) -> bool:
    return any(len(bench.held) == n_left for _ in range(3000))


# ---- the account's state


def test_what_does_not_balance_reduces_until_an_operator_resumes(make_bench: Make) -> None:
    """REDUCING with its reason, over restarts; exits go on, entries wait for `resume`."""
    bench = make_bench({"a": "LLLF", "b": "FFFLLLLLL"})
    bench.step(2)
    assert state_of(bench) == ("ACTIVE", "")
    doubt_unless_balanced(bench.trader, ["a/EURUSD: 0.5 lots here, none at the terminal"])
    bench.trader.save()
    assert bench.said("none at the terminal", "critical")
    for _ in range(2):
        state, reason = state_of(bench)
        assert state == "REDUCING"
        assert "does not balance" in reason
        assert bench.crash() == []
    bench.step(3)
    assert bench.held == []
    order(bench, "resume")
    assert state_of(bench) == ("ACTIVE", "")
    bench.step()
    assert len(bench.held) == 1
    assert {"state": "REDUCING", "reason": reason} in audited(bench, "RISK_CHECK")


def test_a_halt_says_who_and_a_doubt_does_not_lift_it(make_bench: Make) -> None:
    """An operator's halt stands above the engine's doubt, and survives a crash with its reason."""
    bench = make_bench({"a": "LLLF"})
    order(bench, "halt")
    bench.trader.doubt("something")
    bench.trader.save()
    assert bench.crash() == []
    assert state_of(bench) == ("HALTED", "entries halted by root")


# ---- limits


def test_a_limit_is_set_audited_obeyed_and_kept(make_bench: Make) -> None:
    """In force at the next decision, with before and after in the audit, over a crash."""
    bench = make_bench({"a": "LLLLLL"})
    before = risk_view(bench.trader).limits["order_max_lots"]
    reply = order(bench, "limit", "order_max_lots", LOTS / 2)
    assert "order_max_lots is 0.25" in reply.text
    bench.step(2)
    assert bench.held == []
    assert bench.slot("a")["refusal"] == int(Refusal.ORDER_LOTS)
    numbers = {"limit": "order_max_lots", "before": before, "after": LOTS / 2}
    assert numbers in audited(bench, "RISK_CHECK")
    assert bench.crash() == []
    risk = risk_view(bench.trader)
    assert (risk.limits["order_max_lots"], risk.limits_of_file["order_max_lots"]) == (0.25, before)
    order(bench, "limit", "order_max_lots", LOTS)
    bench.step()
    assert len(bench.held) == 1


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("order_max_lots", 0.0, r"limit: risk.order_max_lots is 0.0; it must be above 0"),
        ("order_max_lots", math.inf, "above 0"),
        ("var_max_frac", math.nan, "above 0"),
        ("drawdown_reduce_frac", 0.09, "drawdown_reduce_frac < drawdown_stop_entries_frac"),
        ("order_max_lot", 1.0, "no limit is named 'order_max_lot'"),
        ("sample_minutes", 30.0, "cannot change while running"),
        ("leverage", 500.0, "no limit is named"),
    ],
)
def test_an_impossible_limit_is_refused_as_the_file_would(
    make_bench: Make, name: str, value: float, words: str
) -> None:
    """With the file's own words; nothing changes, and the refusal is audited."""
    bench = make_bench({"a": "L"})
    before = bench.trader.core.limits.copy()
    with pytest.raises(PmproError, match=words):
        order(bench, "limit", name, value)
    assert bench.trader.core.limits == before
    assert bench.trader.limits.set == {}
    assert any(d["command"] == "limit" for d in audited(bench, "COMMAND"))


def test_the_order_of_tiers_holds_among_set_limits(make_bench: Make) -> None:
    """Two limits that were set are checked together, not each against the file alone."""
    bench = make_bench({"a": "L"})
    order(bench, "limit", "drawdown_stop_entries_frac", 0.11)
    order(bench, "limit", "drawdown_reduce_frac", 0.1)
    with pytest.raises(UserError, match=r"does not hold: 0\.1, 0\.05"):
        order(bench, "limit", "drawdown_stop_entries_frac", 0.05)


def test_a_set_limit_is_dropped_where_the_file_says_something_new(make_bench: Make) -> None:
    """Who edits a limit in the file has it; other set limits stay."""
    bench = make_bench({"a": "LLLL"})
    order(bench, "limit", "order_max_lots", 0.25)
    order(bench, "limit", "var_max_frac", 0.2)
    bench.compiled = _compiled({"a": "LLLL"}, "[risk]\norder_max_lots = 40.0")
    assert bench.crash() == []
    limits = risk_view(bench.trader).limits
    assert (limits["order_max_lots"], limits["var_max_frac"]) == (40.0, 0.2)
    assert bench.said("limit order_max_lots = 0.25 is dropped", "warning")


def test_a_set_limit_that_contradicts_the_new_file_is_dropped(make_bench: Make) -> None:
    """Tiers out of order never come into force."""
    bench = make_bench({"a": "LLLL"})
    order(bench, "limit", "drawdown_reduce_frac", 0.07)
    bench.compiled = _compiled({"a": "LLLL"}, "[risk]\ndrawdown_stop_entries_frac = 0.06")
    assert bench.crash() == []
    assert risk_view(bench.trader).limits["drawdown_reduce_frac"] == 0.04
    assert bench.said("is dropped", "warning")


def _compiled(plans: dict[str, str], extra: str) -> Any:
    return compile_portfolio(parse_portfolio(portfolio(plans, extra=extra), "test"))


def test_a_limit_needs_an_admin() -> None:
    """Raising a limit adds risk."""
    assert COMMANDS["limit"].role == "admin"


# ---- others on the account


def falling(points: int) -> Any:
    """Return bars that fall by so many points at the fourth minute."""
    bars = level_bars()
    fallen = bars["time_ns"] >= bars["time_ns"][624]
    for field in ("open", "high", "low", "close"):
        bars[field][fallen] = BID - points * POINT
    return bars


def test_another_s_loss_is_the_account_s_drawdown_and_not_ours(make_bench: Make) -> None:
    """It fires no tier of ours; it counts in the account's drawdown, exposure and margin.

    Open or closed: the loss stays with who made it, and ACCOUNT_DRAWDOWN refuses entries.
    """
    bars = falling(1000)
    text = "[risk]\ndrawdown_reduce_frac = 0.001\naccount_drawdown_max_frac = 0.05"
    bench = make_bench({"a": "FFFFFFFFLLLLLL"}, bars, extra=text)
    bench.step(2)
    bench.by_hand(1, 10.0)
    bench.look()
    risk = risk_view(bench.trader)
    assert risk.gross_exposure_frac == pytest.approx(10 * 1e5 * BID / 1e5, rel=1e-3)
    assert risk.symbol_exposure_frac == risk.gross_exposure_frac
    assert risk.book_exposure_frac == 0.0  # of nobody here
    assert risk.margin_frac > 0.05
    bench.step(3)
    bench.look()
    bench.step()
    account = bench.trader.core.account[0]
    assert account["external_ccy"] == pytest.approx(-10_000.0, rel=0.02)
    assert account["account_drawdown_frac"] == pytest.approx(0.1, rel=0.02)
    assert (account["drawdown_frac"], account["tier"]) == (0.0, 0)

    bench.by_hand(-1, 10.0, position=bench.held[0].ticket)
    bench.look()
    bench.step(4)
    bench.look()
    account = bench.trader.core.account[0]
    broker = bench.gateway.account().balance_ccy
    assert account["balance_ccy"] + account["external_ccy"] == pytest.approx(broker)
    assert account["drawdown_frac"] == 0.0
    assert bench.held == []
    assert bench.slot("a")["refusal"] == int(Refusal.ACCOUNT_DRAWDOWN)
    assert not bench.trader.core.quotes["external_lots"].any()
    assert bench.crash() == []
    assert bench.trader.core.account[0]["external_ccy"] == account["external_ccy"]


def test_our_own_deals_never_look_like_others(make_bench: Make) -> None:
    """Entries, exits, stops and parts closed by hand leave what others made at nothing."""
    bench = make_bench({"a": "LLFFSSFFLLLFF"}, level_bars(at_9=BID - 600 * POINT))
    for n in range(12):
        bench.step()
        if n == 9 and bench.held:
            bench.by_hand(-1, 0.2, position=bench.held[0].ticket)
        bench.look()
        assert bench.trader.core.account[0]["external_ccy"] == 0.0
    bench.check_balance()


def test_parts_closed_by_hand_are_attributed_too(make_bench: Make) -> None:
    """Member, book and symbol add up to the account's result to the cent."""
    bench = make_bench({"a": "LLLLLF", "b": "SSSSSF"})
    bench.step(2)
    bench.by_hand(-1, 0.2, position=bench.held[0].ticket)
    bench.look()
    bench.step(5)
    assert bench.held == []
    made = round(bench.gateway.account().balance_ccy - 100_000.0, 2)
    assert made != 0.0
    trader = bench.trader
    for rows in (strategy_views(trader), book_views(trader), symbol_views(trader)):
        assert round(sum(row.realised_ccy for row in rows), 2) == made
    assert [row.n_trades for row in symbol_views(trader)] == [2]


def test_symbols_show_all_that_is_held_of_them(make_bench: Make) -> None:
    """Ours and others' net of a symbol, long positive; together they are the account's."""
    bench = make_bench({"a": "LLLLLL"})
    bench.step(2)
    ours = symbol_views(bench.trader)[0].exposure_frac
    assert ours == pytest.approx(risk_view(bench.trader).net_exposure_frac)
    assert ours > 0.0
    assert risk_view(bench.trader).book_exposure_frac == pytest.approx(ours)
    bench.by_hand(-1, 3.0 * LOTS)
    bench.look()
    bench.step(1)
    seen = symbol_views(bench.trader)[0].exposure_frac
    assert seen == pytest.approx(-2.0 * ours, rel=0.01)
    assert -seen == pytest.approx(risk_view(bench.trader).net_exposure_frac)
