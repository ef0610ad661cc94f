"""Every rule before an entry: at its limit, above it, unknown, and in its turn."""

import inspect
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decision import rules
from engine.decision.account import mark_exposure, set_quote
from engine.decision.batch import choose_entries
from engine.decision.covariance import correlation
from engine.decision.entries import cancel_entry, count_entry, count_message, decide_entry
from engine.decision.state import N_REFUSALS
from engine.decision.switches import enable
from engine.metrics.risk import portfolio_volatility_frac
from engine.model.reasons import Refusal, TradingState
from engine.model.times import NS_PER_MINUTE
from engine.model.views.decisions import ORDER_RULES, SIZE_RULES, STATE_RULES
from tests.decision.conftest import LONG, NONE, SHORT, build, hold, say, strategy, tell
from tests.metrics.measures import parametric_var_frac

NOW_NS = 1_528_070_400 * 10**9
FIXED = 'sizing = { method = "fixed_lots", lots = 1.0 }'
TWO = strategy("one", extra=FIXED) + strategy("two", "GBPUSD", FIXED)
# Binary fractions, so that a limit can be met to the last bit.
BID, CLOSE, WIDTH = 1 + 2**-8, 1.0, 2**-12
# The rules that are functions: the one that `check_state` or `check_order` calls for each.
CALLS = re.compile(r"row\[Refusal\.(\w+)\] = (\w+)\(")
RULES = {
    Refusal[name]: getattr(rules, function)
    for check in (rules.check_state, rules.check_order)
    for name, function in CALLS.findall(inspect.getsource(check.py_func))
}


def ready(text=TWO):
    """Return a core whose first slot wishes to buy a lot, while the second one holds two."""
    core = build(text)
    core.account["batch_ns"] = core.account["server_ns"] = NOW_NS
    set_quote(core, 0, BID, BID + WIDTH, 1)
    core.quotes[0]["close"] = CLOSE
    say(core, LONG)
    hold(core, 1, LONG, 2.0, 1.17)
    core.covariance[:] = [[1e-8, 0.9e-8], [0.9e-8, 1e-8]]
    core.account["account_drawdown_frac"] = 0.07
    core.account["day_start_equity_ccy"] = 110_000.0
    core.limits["daily_loss_max_frac"] = 0.5
    core.limits["diversify_above_frac"] = 0.1
    position = core.positions[0]
    position["orders_today"] = position["repeated"] = 2
    position["repeated_direction"] = LONG
    position["repeated_since_ns"] = NOW_NS - NS_PER_MINUTE
    return core


def decide(core):
    mark_exposure(core)
    return Refusal(decide_entry(core, 0))


def fill(core):
    """Have the accepted entry of the first slot executed, and leave it flat for the next one."""
    direction = int(core.positions[0]["pending_direction"])
    core.positions[0]["pending_direction"] = 0
    count_entry(core, 0, direction)


def limit(name):
    return lambda core, value: core.limits[name].fill(value)


# How each rule's limit is set.
LIMITED = {
    Refusal.ACCOUNT_DRAWDOWN: limit("account_drawdown_max_frac"),
    Refusal.DAILY_LOSS: limit("daily_loss_max_frac"),
    Refusal.SPREAD: limit("spread_max_factor"),
    Refusal.ORDER_LOTS: limit("order_max_lots"),
    Refusal.ORDER_VALUE: limit("order_max_value_frac"),
    Refusal.DECLARED_LOTS: lambda core, value: core.slots["max_lots"].fill(value),
    Refusal.DECLARED_ORDERS: limit("book_orders_per_day_max"),
    Refusal.REPEATED: limit("repeated_max"),
    Refusal.BOOK_EXPOSURE: limit("book_exposure_max_frac"),
    Refusal.SYMBOL_EXPOSURE: limit("symbol_exposure_max_frac"),
    Refusal.GROSS_EXPOSURE: limit("gross_exposure_max_frac"),
    Refusal.NET_EXPOSURE: limit("net_exposure_max_frac"),
    Refusal.MARGIN: limit("margin_max_frac"),
    Refusal.CORRELATION: limit("correlated_exposure_max_frac"),
    Refusal.DIVERSIFICATION: limit("largest_share_max_frac"),
    Refusal.VALUE_AT_RISK: limit("var_max_frac"),
}
# What a rule without a limit of its own refuses, and what it does not.
FORBIDDEN = {
    Refusal.HALTED: lambda core, yes: core.account["trading"].fill(2 * yes),
    Refusal.REDUCING: lambda core, yes: core.account["trading"].fill(yes),
    Refusal.DRAWDOWN_TIER: lambda core, yes: core.account["tier"].fill(1 + yes),
    Refusal.UNKNOWN_EQUITY: lambda core, yes: core.account["equity_ccy"].fill(
        0.0 if yes else 100_000.0
    ),
    Refusal.UNSETTLED: lambda core, yes: core.positions["unsettled"].fill(yes),
    Refusal.SYMBOL_KILLED: lambda core, yes: core.quotes["killed"].fill(yes),
    Refusal.RESTRICTED: lambda core, yes: core.symbols["restricted"].fill(yes),
    Refusal.CLOSED_SESSION: lambda core, yes: core.account["closed_day"].fill(yes),
    Refusal.BARRED: lambda core, yes: core.positions["barred"].fill(yes and 27),
    Refusal.STALE_PRICE: lambda core, yes: core.quotes["fresh"].fill(not yes),
    Refusal.NO_CONVERSION: lambda core, yes: core.quotes["conversion"].fill(0.0 if yes else 1.0),
    Refusal.COLLAR: lambda core, yes: core.quotes["close"].fill(0.5 if yes else CLOSE),
    Refusal.THROTTLE: lambda core, yes: empty(core.account, not yes),
    Refusal.SYMBOL_THROTTLE: lambda core, yes: empty(core.quotes, not yes),
}


def empty(records, tokens):
    records["tokens"], records["tokens_ns"] = tokens, NOW_NS


def test_the_rules_stand_in_the_order_in_which_they_are_asked():
    """The table has every rule that an entry is asked, and no other, group by group, in order."""
    assert tuple(RULES) == (*STATE_RULES, *ORDER_RULES)
    assert rules._STATE_RULES == STATE_RULES
    assert rules._ORDER_RULES == ORDER_RULES
    assert tuple(Refusal) == (Refusal.ACCEPTED, *STATE_RULES, *SIZE_RULES, *ORDER_RULES)


def test_every_code_has_a_rule_that_gives_it():
    """No refusal is a word that nothing says, and every rule is tested here."""
    assert set(Refusal) - {Refusal.ACCEPTED} == {*RULES, *SIZE_RULES}
    assert set(RULES) == {*LIMITED, *FORBIDDEN}


def test_each_rule_says_what_it_is():
    """A rule has a docstring, and takes no more than core, slot, direction and lots."""
    for rule in RULES.values():
        assert rule.__doc__
        names = list(inspect.signature(getattr(rule, "py_func", rule)).parameters)
        assert names[0] == "core"
        assert set(names) <= {"core", "slot", "direction", "lots"}


@pytest.mark.parametrize("rule", LIMITED, ids=lambda r: r.name)
def test_a_rule_accepts_at_its_limit_and_refuses_just_above_it(rule):
    """The very value passes, the next smaller limit refuses in the rule's name; NaN refuses."""
    core = ready()
    assert decide(core) == Refusal.ACCEPTED
    value = core.checks[0, rule, 0]
    assert value > 0.0
    for least, answer in ((value, Refusal.ACCEPTED), (np.nextafter(value, 0.0), rule)):
        core = ready()
        LIMITED[rule](core, least)
        assert decide(core) == answer
        assert core.checks[0, rule].tolist() == [value, least]
    core = ready()
    if rule != Refusal.DECLARED_LOTS:  # where NaN, like 0, declares nothing
        LIMITED[rule](core, math.nan)
        assert decide(core) == rule


@pytest.mark.parametrize("rule", FORBIDDEN, ids=lambda r: r.name)
def test_a_rule_refuses_what_it_forbids_and_nothing_else(rule):
    """The same order is accepted and refused, by the state that the rule reads alone."""
    for forbidden, answer in ((0, Refusal.ACCEPTED), (1, rule)):
        core = ready()
        FORBIDDEN[rule](core, forbidden)
        assert decide(core) == answer
        value, most = core.checks[0, rule]
        assert bool(value <= most) is (forbidden == 0)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda c: c.account["equity_ccy"].fill(np.nan), Refusal.UNKNOWN_EQUITY),
        (lambda c: c.account["equity_ccy"].fill(np.inf), Refusal.UNKNOWN_EQUITY),
        (lambda c: c.account["equity_ccy"].fill(-1.0), Refusal.UNKNOWN_EQUITY),
        (lambda c: c.account["account_drawdown_frac"].fill(np.nan), Refusal.ACCOUNT_DRAWDOWN),
        (lambda c: c.account["day_start_equity_ccy"].fill(np.nan), Refusal.DAILY_LOSS),
        (lambda c: c.account["tier"].fill(3), Refusal.HALTED),
        (lambda c: c.quotes["conversion"].fill(np.nan), Refusal.NO_CONVERSION),
        (lambda c: c.quotes["bid"].fill(np.nan), Refusal.SPREAD),
        (lambda c: c.quotes["ask"].fill(np.nan), Refusal.SPREAD),
        (lambda c: c.quotes["close"].fill(np.nan), Refusal.COLLAR),
        (lambda c: c.symbols["stops_level_points"].fill(np.nan), Refusal.STOP_TOO_CLOSE),
        (lambda c: c.slots["lots"].fill(np.nan), Refusal.VOLUME_BELOW_MIN),
        (lambda c: c.positions["allocation"].fill(np.nan), Refusal.VOLUME_BELOW_MIN),
        (lambda c: empty(c.account, math.nan), Refusal.THROTTLE),
        (lambda c: empty(c.quotes, math.nan), Refusal.SYMBOL_THROTTLE),
        (lambda c: c.quotes[1:]["bid"].fill(np.nan), Refusal.GROSS_EXPOSURE),
    ],
)
def test_what_is_unknown_refuses(change, rule):
    """A NaN, wherever it comes from, is never a reason to trade."""
    core = ready()
    change(core)
    assert decide(core) == rule


def test_the_first_rule_that_refuses_names_itself():
    """With everything forbidden the rules answer in their order, as one after the other heals."""
    core = ready()
    heal = {}
    for rule, forbid in FORBIDDEN.items():
        forbid(core, 1)
        heal[rule] = lambda forbid=forbid: forbid(core, 0)
    for rule, set_limit in LIMITED.items():
        set_limit(core, 1e-9)
        heal[rule] = lambda set_limit=set_limit: set_limit(core, math.inf)
    core.account["trading"] = TradingState.HALTED
    heal[Refusal.HALTED] = lambda: core.account["trading"].fill(TradingState.REDUCING)
    answers = []
    for rule in RULES:
        answers.append(decide(core))
        heal[rule]()
        if Refusal.BARRED in answers:
            core.positions["barred"] = 0
    assert answers == list(RULES)
    assert decide(core) == Refusal.ACCEPTED


def test_a_decision_records_every_rule():
    """An accepted entry has a value and a limit of each rule, none of them unknown."""
    core = ready()
    assert decide(core) == Refusal.ACCEPTED
    rows = core.checks[0]
    for rule in RULES:
        assert rows[rule, 0] <= rows[rule, 1], rule
    assert not np.isnan(rows[list(SIZE_RULES)]).any()
    assert np.isnan(rows[Refusal.ACCEPTED]).all()


def test_the_collar_is_the_narrower_of_spreads_and_a_part_of_the_price():
    """16 widths, or 1/256 of the last close: each binds at its value where the other is far."""
    for name, value in (("collar_spreads", 16.0), ("collar_frac", 2.0**-8)):
        for least, answer in ((value, 0), (np.nextafter(value, 0.0), Refusal.COLLAR)):
            core = ready()
            core.limits["collar_spreads"] = core.limits["collar_frac"] = 1e6
            core.limits[name] = least
            assert decide(core) == answer
            assert core.checks[0, Refusal.COLLAR].tolist() == [2.0**-8, least * value**-1 * 2**-8]


@pytest.mark.parametrize(
    ("hours", "minute", "inside"),
    [
        ("08:00-17:00", 480, True),
        ("08:00-17:00", 479, False),
        ("08:00-17:00", 1019, True),
        ("08:00-17:00", 1020, False),
        ("22:00-02:00", 1320, True),
        ("22:00-02:00", 119, True),
        ("22:00-02:00", 120, False),
        ("22:00-24:00", 1439, True),
        ("22:00-24:00", 0, False),
        ("00:00-24:00", 0, True),
    ],
)
def test_entry_hours_are_the_servers_half_open_and_may_pass_midnight(hours, minute, inside):
    """The first minute is inside, the last one is not."""
    core = ready(TWO + f'[symbols.EURUSD]\nentry_hours = "{hours}"\n')
    day_ns = NOW_NS // (1440 * NS_PER_MINUTE) * 1440 * NS_PER_MINUTE
    core.account["server_ns"] = day_ns + minute * NS_PER_MINUTE
    assert decide(core) == (Refusal.ACCEPTED if inside else Refusal.CLOSED_SESSION)


@pytest.mark.parametrize("key", ["restricted", "close_only"])
def test_restricted_and_close_only_symbols_are_not_entered(key):
    """The list names the symbol; others trade."""
    assert decide(ready(TWO + f'[risk]\n{key} = ["EURUSD"]\n')) == Refusal.RESTRICTED
    assert decide(ready(TWO + f'[risk]\n{key} = ["GBPUSD"]\n')) == Refusal.ACCEPTED


def test_a_symbols_own_order_ceiling_replaces_the_accounts():
    """Its own number, larger or smaller; without one the account's."""
    for own, answer in ((0.99, Refusal.ORDER_LOTS), (1.0, Refusal.ACCEPTED)):
        core = ready(
            TWO + f"[risk]\norder_max_lots = 0.5\n[symbols.EURUSD]\norder_max_lots = {own}"
        )
        assert decide(core) == answer


def test_a_token_bucket_holds_a_minute_and_fills_within_one():
    """Sixty at once pass, the next waits a second for each one more; the account's counts all."""
    core = ready()
    core.limits["symbol_orders_per_minute_max"] = 60.0
    core.limits["repeated_max"] = core.limits["book_orders_per_day_max"] = 1e9
    for name, most in (("var_max_frac", 1e9), ("symbol_exposure_max_frac", 1e9)):
        core.limits[name] = most
    waits_s = []
    for n in range(63):
        waited_s = 0
        while decide(core) != Refusal.ACCEPTED:
            assert core.checks[0, Refusal.SYMBOL_THROTTLE, 0] > 60.0
            core.account["batch_ns"] += 10**9 // 4
            waited_s += 0.25
        waits_s.append(waited_s)
        core.positions[0]["pending_direction"] = 0
        assert n < 60 or waited_s == 1.0
    assert waits_s[:60] == [0] * 60
    core = ready()
    core.limits["orders_per_minute_max"] = 1.0
    assert decide(core) == Refusal.ACCEPTED
    core.positions[0]["pending_direction"] = 0
    assert decide(core) == Refusal.THROTTLE


BOOK = (
    strategy("a")
    + strategy("b", "GBPUSD")
    + strategy("other", extra=FIXED)
    + '[[book]]\nname = "book"\ncombine = "vote"\nmembers = { a = 1.0, b = 1.0 }\n'
    'sizing = { method = "fixed_lots", lots = 1.0 }\n'
)
BARRING = {
    Refusal.REPEATED: lambda core: core.limits["repeated_max"].fill(1.0),
    Refusal.DECLARED_ORDERS: lambda core: core.slots["max_orders_per_day"].fill(1.0),
    Refusal.DECLARED_LOTS: lambda core: core.slots["max_lots"].fill(0.5),
}


@pytest.mark.parametrize("rule", BARRING, ids=lambda r: r.name)
def test_doing_more_than_allowed_bars_the_whole_book_until_it_is_enabled(rule):
    """Both of the book's symbols are barred, other books are not, and time does not heal it."""
    core = build(BOOK)
    core.account["batch_ns"] = NOW_NS
    tell(core, LONG)
    core.positions["wish"] = LONG
    BARRING[rule](core)
    if rule != Refusal.DECLARED_LOTS:
        assert decide(core) == Refusal.ACCEPTED
        fill(core)
    assert decide(core) == rule
    assert core.positions["barred"].tolist() == [rule, rule, 0]
    assert core.positions["barred_ns"].tolist() == [NOW_NS, NOW_NS, 0]
    core.account["batch_ns"] += 10**9 * 86_400 * 3
    core.positions["orders_today"] = 0
    core.slots["max_lots"] = 0.0
    assert decide(core) == Refusal.BARRED
    enable(core, 1)
    assert core.positions["barred"].tolist() == [0, 0, 0]
    assert decide(core) == Refusal.ACCEPTED


def test_what_a_book_of_several_symbols_declared_counts_over_all_of_them():
    """Two orders a day are two of the book, whichever symbols they are in."""
    core = build(BOOK)
    core.slots["max_orders_per_day"] = 2.0
    core.positions["orders_today"] = [0, 2, 0]
    say(core, LONG)
    assert decide(core) == Refusal.DECLARED_ORDERS
    assert core.checks[0, Refusal.DECLARED_ORDERS].tolist() == [3.0, 2.0]


def test_repeats_are_of_one_direction_within_the_window():
    """The other direction, or the end of the window, begins anew; within it they add up."""
    core = ready()
    core.limits["repeated_max"] = 3.0
    core.limits["repeated_minutes"] = 5.0
    assert decide(core) == Refusal.ACCEPTED
    fill(core)
    assert core.positions[0]["repeated"] == 3
    assert decide(core) == Refusal.REPEATED
    core.positions["barred"] = 0
    core.account["batch_ns"] = NOW_NS + 4 * NS_PER_MINUTE - 1
    assert decide(core) == Refusal.REPEATED
    core.positions["barred"] = 0
    core.account["batch_ns"] += 1
    assert decide(core) == Refusal.ACCEPTED
    fill(core)
    assert core.positions[0]["repeated"] == 1
    say(core, SHORT)
    assert decide(core) == Refusal.ACCEPTED
    fill(core)
    assert (core.positions[0]["repeated"], core.positions[0]["repeated_direction"]) == (1, SHORT)


def test_what_was_not_executed_is_no_entry():
    """Refused, withdrawn or never sent: neither the same again nor one of the day."""
    core = ready()
    core.limits["repeated_max"] = core.limits["book_orders_per_day_max"] = 3.0
    before = core.positions[0].copy()
    for _ in range(10):
        assert decide(core) == Refusal.ACCEPTED
        cancel_entry(core, 0)
    for field in ("repeated", "repeated_direction", "repeated_since_ns", "orders_today", "barred"):
        assert core.positions[0][field] == before[field], field
    fill_from = int(core.positions[0]["orders_today"])
    assert decide(core) == Refusal.ACCEPTED
    fill(core)
    assert core.positions[0]["orders_today"] == fill_from + 1


def test_an_order_that_may_have_been_executed_counts_until_it_is_disproved():
    """One on its way, or of unknown outcome, is one of the book's entries of the day."""
    core = build(BOOK)
    core.account["batch_ns"] = NOW_NS
    core.slots["max_orders_per_day"] = 1.0
    tell(core, LONG)
    core.positions["wish"] = LONG
    core.positions[1]["pending_direction"] = LONG  # in the book's other symbol
    assert decide(core) == Refusal.DECLARED_ORDERS
    core.positions["barred"] = 0
    cancel_entry(core, 1)
    assert decide(core) == Refusal.ACCEPTED


def test_closes_and_moved_stops_use_up_the_throttle_and_are_never_asked():
    """Each message takes a token of both buckets, which are at least empty; entries then wait."""
    core = ready()
    core.limits["orders_per_minute_max"] = core.limits["symbol_orders_per_minute_max"] = 6.0
    empty(core.account, 6.0)
    empty(core.quotes, 6.0)
    for left in (5.0, 4.0, 3.0, 2.0, 1.0, 0.0, 0.0, 0.0):
        count_message(core, 0, NOW_NS)
        assert core.account[0]["tokens"] == core.quotes[0]["tokens"] == left
    assert core.quotes[1]["tokens"] == 6.0
    assert decide(core) == Refusal.THROTTLE
    core.account["batch_ns"] += NS_PER_MINUTE // 6  # a sixth of a minute is a message
    assert decide(core) == Refusal.ACCEPTED
    count_message(core, 0, NOW_NS)  # of a clock that is behind: nothing is filled twice
    assert core.account[0]["tokens"] == 0.0


def test_accepted_entries_count_for_the_next_ones_limits():
    """Of two entries that a limit does not hold together the first in order is accepted."""
    text = strategy("one", extra=FIXED) + strategy("two", extra=FIXED)
    core = build(text)
    tell(core, LONG, LONG)
    core.positions["wish"] = LONG
    core.limits["symbol_exposure_max_frac"] = 2.0
    chosen, refused = np.zeros(2, np.int64), np.zeros(N_REFUSALS, np.int64)
    assert choose_entries(core, chosen, refused) == 1
    assert core.positions["refusal"].tolist() == [0, Refusal.SYMBOL_EXPOSURE]
    assert refused.nonzero()[0].tolist() == [Refusal.SYMBOL_EXPOSURE]


notionals = st.lists(st.integers(-300, 300), min_size=4, max_size=4)


@given(notionals, st.integers(0, 2**32 - 1), st.sampled_from([LONG, SHORT]), st.integers(1, 200))
def test_exposures_and_value_at_risk_are_their_definitions(held, seed, side, order):
    """Gross, net, margin, share and VaR equal the reference figures on the same numbers."""
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(4, 4)) * 1e-4
    names = ("EURUSD", "GBPUSD", "AUDUSD", "NZDUSD")
    core = build("".join(strategy(n.lower(), n, FIXED) for n in names))
    core.covariance[:] = factor @ factor.T
    for slot, lots in enumerate(held):
        hold(core, slot, int(np.sign(lots)), abs(lots) / 100, 1.17)
    mark_exposure(core)
    worth = np.array(held) * 1170.0
    after = worth.copy()
    after[0] += side * order * 1170.0
    lots = order / 100

    def value(rule, *rest):
        return rule(core, 0, *rest)[0]

    gross = (np.abs(worth).sum() + order * 1170.0) / 100_000
    assert value(rules.gross_exposure, lots) == pytest.approx(gross)
    assert value(rules.margin, lots) == pytest.approx(gross / 100)
    assert value(rules.symbol_exposure, lots) == pytest.approx((abs(held[0]) + order) * 0.0117)
    assert value(rules.net_exposure, side, lots) == pytest.approx(np.abs(after).sum() / 1e5)
    assert value(rules.diversification, lots) == pytest.approx(
        (abs(held[0]) + order) * 1170.0 / (gross * 1e5)
    )
    hourly = portfolio_volatility_frac(after / 1e5, core.covariance)
    expected = parametric_var_frac(hourly, 0.99, 24)
    assert value(rules.value_at_risk, side, lots) == pytest.approx(expected, abs=1e-9)


def test_an_unknown_symbol_moves_one_per_cent_a_day_in_step_with_all():
    """Its deviation adds to the others' instead of its variance to theirs."""
    core = ready()
    core.covariance[:] = [[np.nan, np.nan], [np.nan, 1e-8]]
    mark_exposure(core)
    eur, gbp = BID, 2 * 1.17
    deviation = gbp * math.sqrt(24e-8) + eur * rules.UNKNOWN_VOLATILITY_FRAC
    value, _ = rules.value_at_risk(core, 0, LONG, 1.0)
    assert value == pytest.approx(2.3263478740408408 * deviation)


@pytest.mark.parametrize(
    ("rho", "side", "counts"),
    [
        (0.9, LONG, True),
        (0.9, SHORT, False),
        (-0.9, LONG, False),
        (-0.9, SHORT, True),
        (0.8, LONG, False),
        (0.81, LONG, True),
        (NONE, LONG, True),
        (NONE, SHORT, True),
    ],
)
def test_the_same_bet_is_what_moves_alike_or_is_not_known_not_to(rho, side, counts):
    """Beyond the threshold with its sign; unknown counts whole; the other way takes nothing off."""
    core = ready()
    core.covariance[:] = np.array([[1.0, rho], [rho, 1.0]])
    mark_exposure(core)
    value, _ = rules.same_bet(core, 0, side, 1.0)
    assert value == pytest.approx(BID + (2 * 1.17 if counts else 0.0))
    assert correlation(core, 0, 0) == 1.0


def test_an_order_against_what_is_held_is_no_bet_beyond_what_is_left():
    """Selling 1 of 3 lots held long is not a bet of its own: same symbol, signs added."""
    core = ready(TWO + strategy("three", extra=FIXED))
    hold(core, 2, LONG, 3.0, 1.17)
    hold(core, 1, 0, 0.0, 0.0)
    mark_exposure(core)
    assert rules.same_bet(core, 0, SHORT, 1.0)[0] == 0.0
    assert rules.same_bet(core, 0, SHORT, 5.0)[0] == pytest.approx(2 * BID)


def test_a_small_portfolio_need_not_be_diversified():
    """Up to `diversify_above_frac` of gross a single symbol may be all of it."""
    core = ready()
    core.limits["largest_share_max_frac"] = 0.1
    core.limits["diversify_above_frac"] = 1e9
    assert decide(core) == Refusal.ACCEPTED
    assert core.checks[0, Refusal.DIVERSIFICATION, 1] == 1.0
