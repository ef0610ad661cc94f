import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decision.account import (
    book_cash,
    guard,
    mark,
    mark_exposure,
    move_cash,
    roll_day,
    set_quote,
    take_external_lots,
    take_quote,
    update_conversions,
    update_tier,
)
from engine.decision.batch import begin_batch
from engine.decision.rules import margin
from engine.decision.switches import resume
from engine.model.reasons import ExitReason, TradingState
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE
from tests.decision.conftest import NONE, build, hold, strategy

WEDNESDAY = 17_688


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
    assert core.account[0]["trading"] == TradingState.HALTED


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


def test_what_others_lose_counts_in_the_accounts_drawdown_alone(make_core):
    """10 000 lost by others after 10 000 won: 9.1 % of the account, nothing of ours, no tier."""
    core = make_core(strategy("one"))
    core.account["external_ccy"] = 10_000.0
    tier_at(core, 100_000)
    core.account["external_ccy"] = 0.0
    assert tier_at(core, 100_000) == 0
    account = core.account[0]
    assert account["account_drawdown_frac"] == pytest.approx(1 / 11)
    assert account["drawdown_frac"] == 0.0


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
    assert core.account[0]["trading"] == TradingState.ACTIVE
    assert tier_at(core, 88_001) == 2
    resume(core, rebase=True)
    assert tier_at(core, 88_001) == 0
    assert core.account[0]["lifetime_high_ccy"] == 100_000.0


def test_unknown_equity_never_improves_the_tier(make_core):
    """A halt survives an equity that nobody knows."""
    core = make_core(strategy("one"))
    tier_at(core, 88_000)
    assert tier_at(core, float("nan")) == 3


@pytest.mark.parametrize(("equity", "tier"), [(96_000, 0), (92_000, 2), (88_000, 3)])
def test_the_guard_between_batches_only_tightens(make_core, equity, tier):
    """It refuses at tier 2, flattens at tier 3, and neither releases nor moves the mark."""
    core = make_core(strategy("one"))
    core.account["balance_ccy"] = equity
    guard(core, 9)
    assert core.account[0]["tier"] == tier
    core.account["balance_ccy"] = 120_000.0
    guard(core, 9)
    assert core.account[0]["tier"] == tier
    assert core.account[0]["high_water_ccy"] == 100_000.0


def test_longs_are_marked_on_the_bid_and_shorts_on_the_ask(make_core):
    """A position is worth what closing it would give; notional is gross and, netted, net."""
    core = make_core(strategy("one") + strategy("two"))
    hold(core, 0, 1, 1.0, 1.17)
    hold(core, 1, -1, 1.5, 1.17)
    mark(core)
    mark_exposure(core)
    assert core.account[0]["equity_ccy"] == pytest.approx(99_985)
    assert core.work[-1]["gross_ccy"] == pytest.approx(292_500)
    assert core.work[-1]["net_ccy"] == pytest.approx(58_500)
    core.account["equity_ccy"] = 100_000.0
    assert margin(core, 0, 0.0)[0] == pytest.approx(0.02925)


def test_what_others_hold_counts_in_exposure_and_not_in_equity(make_core):
    """Positions of strangers use margin and exposure; their result is not ours."""
    core = make_core(strategy("one"))
    core.quotes["external_lots"] = -2.0
    mark(core)
    mark_exposure(core)
    assert core.account[0]["equity_ccy"] == 100_000.0
    assert core.work[0]["net_ccy"] == pytest.approx(-234_000)
    assert core.work[-1]["gross_ccy"] == pytest.approx(234_000)


def test_conversions_follow_their_pair_either_way_round(make_core):
    """A yen is 1 / USDJPY dollars; a pair without a price makes it unknown."""
    core = make_core(strategy("one", "EURJPY"))
    assert core.quotes["conversion"].tolist() == [1 / 110.0, 1 / 110.0]
    core.quotes["bid"] = np.nan
    update_conversions(core)
    assert np.isnan(core.quotes["conversion"]).all()


def test_swaps_accrue_by_server_night_at_the_last_close(make_core):
    """Three nights over Wednesday, none for the first day the core sees, once a day."""
    core = make_core(strategy("one"))
    hold(core, 0, 1, 1.0, 1.17)
    assert roll_day(core, WEDNESDAY * NS_PER_DAY, True) == 0
    assert core.positions[0]["swap_ccy"] == 0.0
    assert roll_day(core, WEDNESDAY * NS_PER_DAY + 7, True) == 0
    assert roll_day(core, (WEDNESDAY + 1) * NS_PER_DAY, True) == 1
    assert core.positions[0]["swap_ccy"] == pytest.approx(3 * -6.1)


def test_a_new_day_begins_its_loss_and_its_counts_anew(make_core):
    """Lost today is measured from the day's first equity; orders of the day start at none."""
    core = make_core(strategy("one"))
    roll_day(core, WEDNESDAY * NS_PER_DAY, True)
    core.account["equity_ccy"] = 97_000.0
    core.positions["orders_today"] = 4
    roll_day(core, WEDNESDAY * NS_PER_DAY + 1, True)
    assert core.account[0]["day_start_equity_ccy"] == 100_000.0
    assert core.positions[0]["orders_today"] == 4
    roll_day(core, (WEDNESDAY + 1) * NS_PER_DAY, True)
    assert core.account[0]["day_start_equity_ccy"] == 97_000.0
    assert core.positions[0]["orders_today"] == 0


def test_a_midnight_at_which_nothing_opens_charges_its_night_and_begins_no_day(make_core):
    """Friday's end is Friday's, Monday's first minute Monday's: no Saturday, no Sunday between."""
    core = make_core(strategy("one"))
    hold(core, 0, 1, 1.0, 1.17)
    friday, monday = WEDNESDAY + 2, WEDNESDAY + 5
    assert roll_day(core, friday * NS_PER_DAY + 60, True) == 0
    core.account["equity_ccy"] = 97_000.0
    core.positions["orders_today"] = 4
    assert roll_day(core, (friday + 1) * NS_PER_DAY, False) == 0
    account = core.account[0]
    assert (account["server_day"], account["n_rolls"]) == (friday, 0)
    assert account["day_start_equity_ccy"] == 100_000.0
    assert core.positions[0]["orders_today"] == 4
    assert core.positions[0]["swap_ccy"] == pytest.approx(-6.1)
    assert roll_day(core, monday * NS_PER_DAY, True) == 1
    assert (account["server_day"], account["n_rolls"]) == (monday, 1)
    assert account["day_start_equity_ccy"] == 97_000.0
    assert core.positions[0]["orders_today"] == 0
    assert core.positions[0]["swap_ccy"] == pytest.approx(-6.1)


def test_a_start_at_the_last_close_of_a_week_begins_on_its_friday(make_core):
    """The first batch may be one at which bars only close: it is of the day they opened in."""
    core = make_core(strategy("one"))
    assert roll_day(core, (WEDNESDAY + 3) * NS_PER_DAY, False) == 0
    assert core.account[0]["server_day"] == WEDNESDAY + 2
    assert core.account[0]["swap_day"] == WEDNESDAY + 3


def test_a_closed_day_lasts_from_midnight_to_midnight_of_the_server(make_core):
    """It is known by the server's date alone."""
    core = make_core(strategy("one") + '[risk]\nclosed_days = ["2018-06-06"]\n')
    seen = []
    for server_ns in (WEDNESDAY * NS_PER_DAY - 1, 0, NS_PER_DAY - 1, NS_PER_DAY):
        server_ns += WEDNESDAY * NS_PER_DAY if server_ns <= NS_PER_DAY else 0
        roll_day(core, server_ns, True)
        seen.append(int(core.account[0]["closed_day"]))
    assert seen == [0, 1, 1, 0]


LONE = st.one_of(
    st.sampled_from([0.0, -1.17, NONE, float("inf"), 0.64 * 1.17, 1.36 * 1.17, 11.7, 0.117, 117.0]),
    st.floats(allow_nan=True, allow_infinity=True),
)


@given(
    side=st.sampled_from([1, -1]),
    loss_frac=st.sampled_from([0.0, 0.05, 0.09, 0.13]),
    wrong=st.lists(LONE, min_size=1, max_size=8),
    in_batch=st.booleans(),
)
def test_lone_wrong_prices_move_no_tier_either_way(side, loss_frac, wrong, in_batch):
    """At tier 0, 1, 2 and 3: whatever one tick says, the guard and a batch find the equity, the
    tier and the goals of the last good price; good ticks in between let none be a second one.

    Wrong is what is no price, or more than 30 % off; 5 %, 9 % and 13 % are past the thresholds of
    4/8/12 %.
    """
    core = build(strategy("a"))
    hold(core, 0, side, 1.0, 1.17 if side > 0 else 1.1701)
    account = core.account[0]
    account["balance_ccy"] = 100_000.0 * (1.0 - loss_frac)
    account["high_water_ccy"] = 100_000.0
    core.quotes[0]["bid"], core.quotes[0]["ask"] = NONE, NONE
    at_ns = 1
    assert take_quote(core, 0, 1.17, 1.1701, 1, at_ns)
    begin_batch(core, NS_PER_MINUTE)
    tier, equity_ccy = int(account["tier"]), float(account["equity_ccy"])
    assert tier == [0.0, 0.05, 0.09, 0.13].index(loss_frac)
    goals = core.positions["close_reason"].tolist()
    for n, bid in enumerate(wrong, start=2):
        if 0.7 * 1.17 <= bid <= 1.3 * 1.17:
            continue
        at_ns += 1
        assert not take_quote(core, 0, bid, bid + 1e-4, 1, at_ns)
        if in_batch:
            begin_batch(core, n * NS_PER_MINUTE)
        else:
            guard(core, at_ns)
        found = (int(account["tier"]), float(account["equity_ccy"]))
        assert found == (tier, equity_ccy)
        assert core.positions["close_reason"].tolist() == goals
        at_ns += 1
        assert take_quote(core, 0, 1.17, 1.1701, 1, at_ns)


def test_a_deal_s_amounts_are_added_one_after_the_other_and_rounded_once():
    """Twice 0.004 is a cent only together: 100.008 is 100.01."""
    core = build(strategy("one"))
    core.account["balance_ccy"] = 100.0
    book_cash(core, 0.004, 0.004)
    assert core.account[0]["balance_ccy"] == 100.01
    book_cash(core)
    assert core.account[0]["balance_ccy"] == 100.01


def test_cash_moves_every_mark_in_proportion():
    """No drawdown and no day's loss comes of a withdrawal: marks keep their ratio to equity."""
    core = build(strategy("one"))
    account = core.account[0]
    account["balance_ccy"] = account["equity_ccy"] = 80_000.0
    account["high_water_ccy"] = account["lifetime_high_ccy"] = 100_000.0
    account["external_ccy"], account["account_high_ccy"] = 20_000.0, 125_000.0
    account["day_start_equity_ccy"] = 90_000.0
    move_cash(core, -40_000.0)
    assert account["balance_ccy"] == account["equity_ccy"] == 40_000.0
    assert account["high_water_ccy"] == account["lifetime_high_ccy"] == 50_000.0
    assert account["day_start_equity_ccy"] == 45_000.0
    # The whole account falls from 100,000 to 60,000: its mark to 60 % of what it was.
    assert account["account_high_ccy"] == pytest.approx(75_000.0, abs=1e-9)


def test_lots_of_others_are_added_up_by_symbol_and_replaced():
    """Both sides of a symbol net out, and what is no longer there does not stay."""
    core = build(strategy("one") + strategy("two", "GBPUSD"))
    take_external_lots(core, [(0, 2.0), (1, 1.0), (0, -0.5)])
    assert core.quotes["external_lots"].tolist() == [1.5, 1.0]
    take_external_lots(core, [(1, 3.0)])
    assert core.quotes["external_lots"].tolist() == [0.0, 3.0]
