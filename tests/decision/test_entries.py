import numpy as np
import pytest

from engine.decision.batch import begin_batch, decide_entries, decide_exits, end_batch
from engine.decision.entries import apply_open, cancel_entry
from engine.decision.exits import apply_close
from engine.decision.signals import combine
from engine.decision.state import N_REFUSALS
from engine.model.reasons import ExitReason, Refusal
from tests.decision.conftest import FLAT, LONG, NONE, SHORT, strategy, tell

FIXED = 'sizing = { method = "fixed_lots", lots = 0.29 }'


def run(core):
    """Decide a batch; return the slots that enter and the refusals."""
    for name in ("var_max_frac", "order_max_value_frac"):
        core.limits[name] = 1e9
    begin_batch(core, 0)
    chosen, refused = np.zeros(len(core.slots), np.int64), np.zeros(N_REFUSALS, np.int64)
    decide_exits(core, chosen)
    n = decide_entries(core, chosen, refused)
    return chosen[:n].tolist(), {Refusal(i): int(k) for i, k in enumerate(refused) if k}


def entries(core, stop=0.001, raw=LONG):
    """Have every member say the same and decide."""
    tell(core, *[raw] * len(core.members), stop=stop)
    return run(core)


def test_without_a_stop_only_methods_that_need_none_trade(make_core):
    """Fixed fraction and Kelly need a stop; fixed lots do not."""
    for method in ("fixed_fraction", "kelly"):
        core = make_core(strategy("one", extra=f'sizing = {{ method = "{method}" }}'))
        assert entries(core, stop=NONE) == ([], {Refusal.NO_STOP: 1})
    core = make_core(strategy("one", extra=FIXED))
    assert entries(core, stop=NONE) == ([0], {})
    assert core.positions[0]["pending_lots"] == 0.29


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_levels_must_be_further_than_the_brokers_least_from_the_closing_price(make_core, side):
    """The distance counts from the price the position would close at; just the least is refused."""
    core = make_core(strategy("one") + "[symbols.EURUSD]\nstops_level_points = 50\n")
    # The spread of 10 points lies between the entry and the closing price.
    assert entries(core, stop=0.0006, raw=side) == ([], {Refusal.STOP_TOO_CLOSE: 1})
    assert core.checks[0, Refusal.STOP_TOO_CLOSE].tolist() == [0.0005, 0.0005]
    assert entries(core, stop=0.00061, raw=side) == ([0], {})


def test_a_slot_that_is_spent_held_or_not_due_is_not_asked(make_core):
    """No refusal is counted where nothing was wanted."""
    core = make_core(strategy("one"))
    core.positions["spent"] = 1
    core.positions["spent_direction"] = LONG
    tell(core, LONG)
    core.outputs["changed"] = 0
    assert run(core) == ([], {})
    core = make_core(strategy("one"))
    assert entries(core) == ([0], {})
    core.positions[0]["direction"] = LONG
    assert run(core) == ([], {})
    core = make_core(strategy("one"))
    tell(core, LONG)
    combine(core, 0)
    end_batch(core)
    assert run(core) == ([], {})


def test_an_entry_that_was_refused_is_decided_anew_while_it_is_wished(make_core):
    """Entries are level-triggered: the next due batch asks again without a change."""
    core = make_core(strategy("one"))
    core.account["trading"] = 2
    assert entries(core) == ([], {Refusal.HALTED: 1})
    core.account["trading"] = 0
    end_batch(core)
    assert entries(core) == ([0], {})


def test_stop_and_target_are_means_of_the_agreeing_weighted_by_share(make_core):
    """Dissenters and members without a level do not count; shares of the trade sum to one."""
    text = strategy("a") + strategy("b") + strategy("c")
    text += (
        '[[book]]\nname = "k"\nmembers = { a = 1.0, b = 3.0, c = 4.0 }\nenter = 0.1\nexit = 0.0\n'
    )
    core = make_core(text)
    tell(core, LONG, stop=0.0010)
    tell(core, None, LONG, stop=0.0020)
    core.outputs[1]["target_distance"] = 0.0050
    tell(core, None, None, SHORT, stop=0.0400, confidence=0.5)
    core.outputs[2]["target_distance"] = 0.0400
    assert run(core) == ([0], {})
    position = core.positions[0]
    assert position["pending_stop_distance"] == pytest.approx(0.00175)
    assert position["pending_target_distance"] == pytest.approx(0.0050)
    assert core.outputs["entry_share"].tolist() == [0.25, 0.75, 0.0]


def test_in_a_vote_the_agreeing_have_equal_parts(make_core):
    """Neither share nor confidence weighs in a vote; disabled members have no part."""
    text = strategy("a") + strategy("b") + strategy("c") + strategy("d")
    text += '[[book]]\nname = "k"\ncombine = "vote"\nmembers = { a = 1, b = 3, c = 4, d = 1 }\n'
    core = make_core(text)
    core.outputs[3]["enabled"] = 0
    tell(core, LONG, LONG, FLAT, LONG, confidence=0.3)
    assert run(core) == ([0], {})
    assert core.outputs["entry_share"].tolist() == [0.5, 0.5, 0.0, 0.0]


def test_buys_pay_the_spread_and_levels_stand_from_the_fill(make_core):
    """A buy fills at the ask, a sell at the bid; the stop's distance counts from there."""
    core = make_core(strategy("one"))
    entries(core)
    position = core.positions[0]
    assert position["pending_price"] == 1.1701
    apply_open(core, 0, position["pending_price"], 5.0, 0, -17.5)
    assert (position["entry_price"], position["stop"]) == (1.1701, 1.1691)
    assert core.account[0]["balance_ccy"] == 99_982.5
    core = make_core(strategy("one"))
    entries(core, raw=SHORT)
    assert core.positions[0]["pending_price"] == 1.17


def test_a_reversal_closes_first_and_its_entry_sees_the_result(make_core):
    """Equity is marked after the exits: the loss just taken shrinks the size."""
    core = make_core(strategy("one"))
    entries(core)
    apply_open(core, 0, 1.1701, 5.0, 0, 0.0)
    end_batch(core)
    tell(core, SHORT)
    begin_batch(core, 0)
    chosen, refused = np.zeros(1, np.int64), np.zeros(N_REFUSALS, np.int64)
    assert decide_exits(core, chosen) == 1
    assert core.positions[0]["close_reason"] == ExitReason.SIGNAL
    apply_close(core, 0, int(ExitReason.SIGNAL), -20_000.0, 0.0, 0.0)
    core.limits["daily_loss_max_frac"] = 0.5
    core.account["tier"] = 0
    assert decide_entries(core, chosen, refused) == 1
    assert core.positions[0]["pending_lots"] == 4.0


def test_a_cancelled_entry_frees_its_exposure(make_core):
    """What the broker refused is neither held nor pending at the next decision."""
    core = make_core(strategy("one", extra=FIXED) + strategy("two", extra=FIXED))
    core.limits["symbol_exposure_max_frac"] = 0.5
    assert entries(core) == ([0], {Refusal.SYMBOL_EXPOSURE: 1})
    cancel_entry(core, 0)
    core.positions[0]["wish"] = 0
    assert run(core) == ([1], {})


def test_a_wish_that_is_refused_counts_once_a_rule_however_long_it_lasts(make_core):
    """Three batches of the same wish are one refusal; another rule, or another wish, is another."""
    core = make_core(strategy("one", extra=FIXED))
    core.account["tier"] = 2
    core.account["high_water_ccy"] = 108_000.0
    counted = [entries(core, raw=raw)[1] for raw in (LONG, LONG, LONG, SHORT, SHORT)]
    assert counted == [{Refusal.DRAWDOWN_TIER: n} if n else {} for n in (1, 0, 0, 1, 0)]
    core.account["trading"] = 2
    assert [entries(core, raw=SHORT)[1] for _ in range(2)] == [{Refusal.HALTED: 1}, {}]
    core.account["trading"] = 0
    assert entries(core, raw=SHORT)[1] == {}  # the tier was counted for this wish
    assert entries(core, raw=FLAT)[1] == {}
    assert entries(core, raw=SHORT)[1] == {Refusal.DRAWDOWN_TIER: 1}


def test_a_wish_that_was_fulfilled_is_counted_anew(make_core):
    """The same direction after an entry and a close is another wish."""
    core = make_core(strategy("one", extra=FIXED))
    core.account["trading"] = 2
    assert entries(core)[1] == {Refusal.HALTED: 1}
    core.account["trading"] = 0
    assert entries(core)[0] == [0]
    apply_open(core, 0, 1.1701, 0.29, 0, 0.0)
    apply_close(core, 0, int(ExitReason.SIGNAL), 0.0, 0.0, 0.0)
    core.account["trading"] = 2
    assert entries(core)[1] == {Refusal.HALTED: 1}
