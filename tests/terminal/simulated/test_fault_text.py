"""Faults as text: every name strikes, at the module's surface; what is misspelt is said."""

import re

import numpy as np
import pytest

from engine.model.errors import UserError
from engine.terminal.simulated.fault_text import FAULTS, STATES, read_faults
from engine.terminal.simulated.module import constants as c
from tests.conftest import REPO
from tests.terminal.simulated.worlds import EUR, START_NS, all_deals, deal, make_terminal, minute


def terminal_with(text, **more):
    """Return a terminal whose configuration scripts faults."""
    return make_terminal(faults=text, **more)


@pytest.mark.parametrize(
    ("name", "retcode"),
    [
        ("requote", 10004),
        ("rejected", 10006),
        ("price-off", 10021),
        ("too-many-requests", 10024),
        ("market-closed", 10018),
        ("placed-rejected", 10008),
    ],
)
def test_an_answer_of_its_own_executes_nothing(name, retcode):
    """Each refusal, and a placed order that is rejected later, leaves no position and no deal."""
    terminal = terminal_with(name)
    result = terminal.order_send(deal(0))
    assert (result.retcode, result.deal) == (retcode, 0)
    assert (terminal.positions_get(), all_deals(terminal)) == ((), [])
    assert terminal.order_send(deal(0)).retcode == c.TRADE_RETCODE_DONE


@pytest.mark.parametrize(
    ("name", "code", "executed"),
    [
        ("lost-request", -10001, False),
        ("lost-reply", -10005, True),
        ("restart", -10002, False),
        ("restart-after", -10002, True),
    ],
)
def test_no_answer_may_mean_either(name, code, executed):
    """None from `order_send` leaves the order executed or not, as the fault says."""
    terminal = terminal_with(name)
    assert terminal.order_send(deal(0)) is None
    assert terminal.last_error()[0] == code
    assert terminal.initialize()
    assert terminal.positions_total() == executed


def test_a_hang_takes_its_seconds():
    """Hanging before and after the order is sent holds the call so long, and it is good then."""
    for name in ("hang", "hang-after"):
        assert terminal_with(f"{name}=0.01").order_send(deal(0)).retcode == 10009


def test_a_placed_order_that_is_rejected_is_in_the_history(tmp_path):
    """A market or working order, rejected and unfilled; later where that was asked for; kept."""
    terminal = terminal_with("placed-rejected*2, placed-rejected=60", ledger=tmp_path / "ledger")
    waits = {"action": c.TRADE_ACTION_PENDING, "symbol": EUR, "volume": 0.2, "type": 2}
    waits |= {"price": 1.09, "type_filling": c.ORDER_FILLING_RETURN}
    numbers = [terminal.order_send(r).order for r in (deal(0, magic=7), waits, deal(1))]
    always = (1, 2**31 - 1)
    shown = [(o.ticket, o.state, o.volume_current) for o in terminal.history_orders_get(*always)]
    rejected = c.ORDER_STATE_REJECTED
    assert shown == [(numbers[0], rejected, 0.1), (numbers[1], rejected, 0.2)]
    assert terminal.history_orders_get(ticket=numbers[0])[0].magic == 7
    terminal.control({"op": "end_lag"})
    assert [o.ticket for o in terminal.history_orders_get(*always)] == numbers
    assert (terminal.orders_get(), terminal.positions_get(), all_deals(terminal)) == ((), (), [])
    terminal.close()
    again = make_terminal(ledger=tmp_path / "ledger")
    assert [o.state for o in again.history_orders_get(*always)] == [rejected] * 3


def test_a_placed_order_is_filled_later():
    """The answer says placed; until it is shown neither position nor deal can be seen."""
    terminal = terminal_with("placed-late")
    result = terminal.order_send(deal(0))
    assert (result.retcode, result.deal) == (c.TRADE_RETCODE_PLACED, 0)
    assert (terminal.positions_get(), all_deals(terminal)) == ((), [])
    terminal.control({"op": "end_lag"})
    assert [d.order for d in all_deals(terminal)] == [result.order]
    assert terminal.positions_total() == 1


def test_a_deal_may_come_after_its_position():
    """Late deals: the position is there at once, its deal and order are not."""
    terminal = terminal_with("late-deals")
    result = terminal.order_send(deal(0))
    assert terminal.positions_total() == 1
    assert terminal.history_deals_get(ticket=result.order) == ()
    assert terminal.history_orders_get(ticket=result.order) == ()
    terminal.control({"op": "end_lag"})
    assert len(terminal.history_deals_get(ticket=result.order)) == 1


def test_lag_ends_by_itself():
    """A lag of no time shows everything at once."""
    terminal = terminal_with("lag=0")
    terminal.order_send(deal(0))
    assert terminal.positions_total() == 1


def test_a_deal_may_be_told_twice():
    """The newest deal comes twice with one and the same ticket, once."""
    terminal = terminal_with("duplicate-deals")
    result = terminal.order_send(deal(0))
    assert len(terminal.history_deals_get(ticket=result.order)) == 2
    assert len(terminal.history_deals_get(ticket=result.order)) == 1


def test_an_order_is_filled_in_part():
    """The part is rounded down to the step, the answer says so, a close leaves the rest."""
    terminal = terminal_with("partial=0.39*2")
    result = terminal.order_send(deal(0, 1.0))
    assert (result.retcode, result.volume) == (c.TRADE_RETCODE_DONE_PARTIAL, 0.39)
    closed = terminal.order_send(deal(1, 0.1, position=result.order))
    assert (closed.retcode, closed.volume) == (c.TRADE_RETCODE_DONE_PARTIAL, 0.03)
    assert [p.volume for p in terminal.positions_get()] == [0.36]
    assert terminal.order_send(deal(0, 0.01)).retcode == c.TRADE_RETCODE_DONE


def test_first_answers_may_be_empty():
    """No bars at first, and a tick of zeros, without an error; then what there is."""
    terminal = terminal_with("empty-history, zero-tick")
    assert terminal.copy_rates_from_pos(EUR, 1, 0, 5).shape == (0,)
    assert terminal.last_error()[0] == 1
    tick = terminal.symbol_info_tick(EUR)
    assert (tick.time, tick.bid, tick.ask) == (0, 0.0, 0.0)
    assert len(terminal.copy_rates_from_pos(EUR, 1, 0, 5)) == 1
    assert terminal.symbol_info_tick(EUR).bid == 1.1


def test_any_call_can_be_empty():
    """A terminal that has not synchronised yet shows no positions."""
    terminal = terminal_with("empty-history@positions_get, empty-history@positions_total")
    terminal.order_send(deal(0))
    assert (terminal.positions_get(), terminal.positions_total()) == ((), 0)
    assert (len(terminal.positions_get()), terminal.positions_total()) == (1, 1)


def test_a_disconnected_terminal_shows_what_it_last_knew():
    """What the broker does meanwhile is seen after the connection is back."""
    terminal = make_terminal()
    terminal.order_send(deal(0, sl=1.09))
    terminal.control({"op": "script", "text": "disconnected"})
    assert terminal.order_send(deal(0)).retcode == c.TRADE_RETCODE_CONNECTION
    (held,) = terminal.trading.visible_positions()
    terminal.broker.match(EUR, minute(0), (1.1, 1.1, 1.08), 0.0001)
    assert [p.ticket for p in terminal.positions_get()] == [held.ticket]
    assert len(all_deals(terminal)) == 1
    terminal.control({"op": "set_switches", "connected": True})
    assert terminal.positions_get() == ()
    assert len(all_deals(terminal)) == 2


def test_another_account_has_nothing_of_ours_until_we_log_in():
    """The terminal of another account shows its login, no positions, and takes no orders."""
    terminal = make_terminal()
    terminal.order_send(deal(0))
    terminal.control({"op": "script", "text": "other-account=77"})
    assert terminal.account_info().login == 77
    assert (terminal.positions_get(), all_deals(terminal)) == ((), [])
    assert terminal.history_orders_get(1, 2**31 - 1) == ()
    assert terminal.order_send(deal(0)).retcode == c.TRADE_RETCODE_TRADE_DISABLED
    assert terminal.login(1_000_001)
    assert terminal.account_info().login == 1_000_001
    assert terminal.positions_total() == 1


def test_a_clock_set_wrong_moves_bars_and_ticks_alike():
    """An hour off: bars and ticks of the half hour and later are, those before are not."""
    terminal = make_terminal()
    terminal.advance(minute(45))
    before = terminal.copy_rates_from_pos(EUR, 1, 0, 46)["time"].copy()
    terminal.control({"op": "script", "text": "clock-off=3600"})
    after = terminal.copy_rates_from_pos(EUR, 1, 0, 46)["time"]
    assert np.unique(after[:30] - before[:30]).tolist() == [0]
    assert np.unique(after[30:] - before[30:]).tolist() == [3600]
    assert terminal.symbol_info_tick(EUR).time == after[-1]
    terminal.control({"op": "set_switches", "clock_off_s": 0})
    assert terminal.copy_rates_from_pos(EUR, 1, 0, 46)["time"].tolist() == before.tolist()
    assert START_NS % 1_800_000_000_000 == 0


@pytest.mark.parametrize(
    ("name", "retcode"), [("algo-off", 10027), ("investor", 10017), ("disconnected", 10031)]
)
def test_states_hold(name, retcode):
    """A state refuses every order until it is set otherwise."""
    terminal = terminal_with(name)
    assert [terminal.order_send(deal(0)).retcode for _ in range(3)] == [retcode] * 3


def test_calls_pass_and_chances_repeat():
    """`+N` lets calls pass; one seed strikes the same calls, another one others."""
    terminal = terminal_with("requote+2")
    assert [terminal.order_send(deal(0)).retcode for _ in range(4)] == [10009, 10009, 10004, 10009]

    def struck(seed):
        terminal = terminal_with(f"requote%0.5*99, seed={seed}")
        return [terminal.order_send(deal(0, 0.01)).retcode for _ in range(40)]

    assert struck(1) == struck(1) != struck(2)
    assert {10004, 10009} == set(struck(1))


def test_every_name_is_read():
    """All names of faults and states are understood, in lines and with remarks too."""
    script = read_faults("\n".join([*FAULTS, "# nothing", *STATES, "seed=3  # chances"]))
    assert len(script.faults) == len(FAULTS)
    assert script.switches == {k: v for fields in STATES.values() for k, v in fields.items()}
    assert script.seed == 3
    assert read_faults("") == read_faults("  # nothing\n,,")


def test_the_guide_names_them_all():
    """Every name stands in the user guide's table of faults, and nothing else does."""
    guide = (REPO / "docs" / "USER_GUIDE.md").read_text(encoding="utf-8")
    section = guide.partition("### Faults")[2].partition("## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`([\w=-]+)`", "".join(cells))) == {*FAULTS, *STATES, "seed=N"}


@pytest.mark.parametrize(
    "text", ["hangs", "lost-reply=3", "algo-off*2", "requote*x", "lag=1.2.3", "seed", "seed=1*2"]
)
def test_what_is_not_understood_is_said(text):
    """One line names the item."""
    with pytest.raises(UserError, match=text.replace("*", r"\*").split("=")[0]) as caught:
        read_faults(f"requote, {text}")
    assert "\n" not in str(caught.value)
