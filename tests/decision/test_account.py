import pytest

from engine.decision.account import mark, roll_day, set_quote, update_tier
from engine.decision.switches import resume
from engine.model.reasons import ExitReason
from tests.decision.conftest import strategy


def hold(core, slot, side, lots, price):
    position = core.positions[slot]
    position["direction"], position["lots"], position["entry_price"] = side, lots, price


def tier_at(core, equity):
    core.account["equity_ccy"] = equity
    update_tier(core, 7)
    return int(core.account[0]["tier"])


def test_drawdown_tiers_release_at_three_quarters_of_their_threshold(make_core):
    """4/8/12 %: a tier holds until the drawdown is below 3/6 %; the third until resumed."""
    core = make_core(strategy("one"))
    steps = [(100_000, 0), (96_001, 0), (96_000, 1), (97_000, 1), (97_001, 0), (92_000, 2)]
    steps += [(94_000, 2), (94_001, 1), (97_000, 1), (97_001, 0), (88_000, 3), (99_999, 3)]
    assert [tier_at(core, equity) for equity, _ in steps] == [tier for _, tier in steps]
    assert core.account[0]["halted_ns"] == 7


def test_a_new_high_moves_the_mark_and_open_profit_counts(make_core):
    """Drawdown is measured on equity with open profit, from the highest equity so far."""
    core = make_core(strategy("one"))
    hold(core, 0, 1, 5.0, 1.1500)
    mark(core)
    update_tier(core, 0)
    assert core.account[0]["equity_ccy"] == pytest.approx(110_000)
    assert core.account[0]["high_water_ccy"] == pytest.approx(110_000)
    set_quote(core, 0, 1.1591, 1.1592, 1)
    mark(core)
    update_tier(core, 0)
    assert core.account[0]["tier"] == 1
    assert core.account[0]["drawdown_frac"] == pytest.approx(0.0495, abs=1e-4)


def test_tier_three_gives_every_position_the_goal_to_close(make_core):
    """Flattening is a goal that stays; a goal that stands already keeps its reason."""
    core = make_core(strategy("one") + strategy("two") + strategy("three"))
    hold(core, 0, 1, 1.0, 1.17)
    hold(core, 1, -1, 1.0, 1.17)
    core.positions[1]["close_reason"] = int(ExitReason.KILL)
    tier_at(core, 88_000)
    reasons = core.positions["close_reason"].tolist()
    assert reasons == [int(ExitReason.DRAWDOWN), int(ExitReason.KILL), 0]


def test_resume_lifts_the_halt_and_rebases_only_when_asked(make_core):
    """After tier 3 entries stay stopped until the mark is rebased or equity recovers."""
    core = make_core(strategy("one"))
    tier_at(core, 88_000)
    resume(core)
    assert tier_at(core, 88_001) == 2
    resume(core, rebase=True)
    assert tier_at(core, 88_001) == 0


def test_unknown_equity_never_improves_the_tier(make_core):
    """A halt survives an equity that nobody knows."""
    core = make_core(strategy("one"))
    tier_at(core, 88_000)
    assert tier_at(core, float("nan")) == 3


def test_longs_are_marked_on_the_bid_and_shorts_on_the_ask(make_core):
    """A position is worth what closing it would give; exposure is gross, not net."""
    core = make_core(strategy("one") + strategy("two"))
    hold(core, 0, 1, 1.0, 1.17)
    hold(core, 1, -1, 1.0, 1.17)
    mark(core)
    assert core.account[0]["equity_ccy"] == pytest.approx(99_990)
    assert core.account[0]["gross_exposure_ccy"] == pytest.approx(234_000)
    assert core.account[0]["margin_ccy"] == pytest.approx(2_340)


def test_swaps_accrue_by_server_night_at_the_last_close(make_core):
    """Three nights over Wednesday, none for the first day the core sees."""
    core = make_core(strategy("one"))
    hold(core, 0, 1, 1.0, 1.17)
    wednesday = 17_688
    assert roll_day(core, wednesday) == 0
    assert core.positions[0]["swap_ccy"] == 0.0
    assert roll_day(core, wednesday) == 0
    assert roll_day(core, wednesday + 1) == 1
    assert core.positions[0]["swap_ccy"] == pytest.approx(3 * -6.1)
