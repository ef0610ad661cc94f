"""`[risk] drawdown_release`: when a flat account leaves drawdown tier 2 by itself."""

import pytest

from engine.decision.account import roll_day, update_tier
from engine.decision.saved import Names, dump_core, load_core
from engine.decision.switches import resume
from engine.model.errors import ConfigError
from engine.model.times import NS_PER_DAY
from tests.decision.conftest import build, strategy

MONDAY = 17_686


def stopped_core(release="2"):
    """Return a core flat in tier 2: 8 % lost, on a Monday."""
    core = build(f"[risk]\ndrawdown_release = {release}\n{strategy('one')}")
    batch(core, MONDAY)
    core.account["balance_ccy"] = core.account["equity_ccy"] = 92_000.0
    update_tier(core, 7)
    assert core.account[0]["tier"] == 2
    return core


def batch(core, day, *, opens=True):
    """Have the first batch of a server day; return the tier after it."""
    roll_day(core, day * NS_PER_DAY, opens)
    update_tier(core, 8)
    return int(core.account[0]["tier"])


def test_tier_two_is_released_after_whole_days_flat(make_core):
    """2: Monday, in which it fell, is none; Tuesday and Wednesday are; it trades on Thursday."""
    core = stopped_core("2")
    assert [batch(core, MONDAY + d) for d in (1, 2, 3)] == [2, 2, 0]
    account = core.account[0]
    assert (account["high_water_ccy"], account["drawdown_frac"]) == (92_000.0, 0.0)
    assert (account["account_high_ccy"], account["account_drawdown_frac"]) == (92_000.0, 0.0)
    assert account["lifetime_high_ccy"] == 100_000.0


def test_only_days_in_which_a_bar_opened_count(make_core):
    """A weekend's batches at which bars only close are no days (decision 28)."""
    core = stopped_core("2")
    assert [batch(core, MONDAY + d, opens=False) for d in range(1, 9)] == [2] * 8
    assert [batch(core, MONDAY + d) for d in (10, 20, 30)] == [2, 2, 0]


def test_by_default_only_an_operator_releases(make_core):
    """Years later it still stands, until somebody resumes from today's equity: tier and drawdown
    are then gone at once.
    """
    core = stopped_core('"operator"')
    assert {batch(core, MONDAY + d) for d in range(1, 700)} == {2}
    resume(core)
    assert core.account[0]["tier"] == 2
    resume(core, rebase=True)
    account = core.account[0]
    assert (account["tier"], account["high_water_ccy"], account["stopped_days"]) == (0, 92_000.0, 0)


@pytest.mark.parametrize("field", ["direction", "pending_direction", "unsettled"])
def test_what_is_held_or_may_be_held_is_not_flat(make_core, field):
    """A position, an order under way and one of unknown outcome begin the count anew."""
    core = stopped_core("2")
    assert [batch(core, MONDAY + d) for d in (1, 2)] == [2, 2]
    core.positions[0][field] = 1
    update_tier(core, 9)
    core.positions[0][field] = 0
    assert [batch(core, MONDAY + d) for d in (3, 4, 5)] == [2, 2, 0]


def test_another_tier_begins_the_count_anew(make_core):
    """What recovered and fell again has been stopped since then; tier 3 is an operator's alone."""
    core = stopped_core("2")
    assert [batch(core, MONDAY + d) for d in (1, 2)] == [2, 2]
    core.account["equity_ccy"] = 99_000.0
    update_tier(core, 9)
    core.account["equity_ccy"] = 92_000.0
    update_tier(core, 9)
    assert [batch(core, MONDAY + d) for d in (3, 4, 5)] == [2, 2, 0]
    core.account["balance_ccy"] = core.account["equity_ccy"] = 70_000.0
    update_tier(core, 9)
    assert {batch(core, MONDAY + d) for d in range(6, 60)} == {3}


def test_what_others_lost_still_counts_after_a_release(make_core):
    """8 000 of ours are forgiven, 10 000 of others' are not: 10 000 of 92 000 are 10.87 %."""
    core = stopped_core("1")
    core.account["external_ccy"] = -10_000.0
    assert [batch(core, MONDAY + d) for d in (1, 2)] == [2, 0]
    assert core.account[0]["account_drawdown_frac"] == pytest.approx(10_000 / 92_000)


def test_the_count_of_days_is_saved(make_core):
    """A restart in between neither hurries nor delays the release."""
    core = stopped_core("2")
    assert [batch(core, MONDAY + d) for d in (1, 2)] == [2, 2]
    names = Names(["EURUSD"], ["one/EURUSD"], ["one"])
    again = build(f"[risk]\ndrawdown_release = 2\n{strategy('one')}")
    assert load_core(again, names, dump_core(core, names)) == []
    assert batch(again, MONDAY + 3) == 0


@pytest.mark.parametrize("wrong", ["0", "-3", "2.5", "10001", '"never"', "true", "nan"])
def test_a_release_is_an_operator_s_or_a_number_of_days(wrong):
    """Anything else is refused in a line that names the key."""
    with pytest.raises(ConfigError, match="drawdown_release"):
        build(f"[risk]\ndrawdown_release = {wrong}\n{strategy('one')}")


def test_the_account_is_not_released_where_nothing_is_left(make_core):
    """A mark of nothing or less would be no mark."""
    core = stopped_core("1")
    core.account["balance_ccy"] = 0.0
    core.account["equity_ccy"] = 92_000.0
    assert {batch(core, MONDAY + d) for d in range(1, 9)} == {2}
