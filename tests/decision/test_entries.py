import numpy as np
import pytest

from engine.decision.batch import N_REFUSALS, begin_batch, decide_entries, decide_exits
from engine.decision.entries import apply_open
from engine.decision.signals import combine, take_signal
from engine.model.reasons import Refusal
from tests.decision.conftest import strategy

NONE = float("nan")


def entries(core, stop=0.001, target=NONE, raw=1):
    """Have every member say the same; return the slots that enter and the refusals."""
    for m in range(len(core.members)):
        take_signal(core, m, raw, 1.0, stop, target, 0)
    begin_batch(core, 0)
    chosen, refused = np.zeros(len(core.slots), np.int64), np.zeros(N_REFUSALS, np.int64)
    decide_exits(core, chosen)
    n = decide_entries(core, chosen, refused)
    counts = {Refusal(i): int(k) for i, k in enumerate(refused) if k and i}
    return chosen[:n].tolist(), counts


def test_size_is_the_fraction_lost_at_the_stop(make_core):
    """0.5 % of 100 000 over 100 points of 1 $ a lot is 5 lots, floored to the step."""
    core = make_core(strategy("one"))
    assert entries(core, stop=0.001) == ([0], {})
    assert core.positions[0]["pending_lots"] == 5.0
    core = make_core(strategy("one"))
    entries(core, stop=0.0007)
    assert core.positions[0]["pending_lots"] == 7.14


def test_tier_one_halves_new_sizes(make_core):
    """Half of the lots, floored again."""
    core = make_core(strategy("one"))
    core.account["tier"] = 1
    core.account["high_water_ccy"] = 104_500.0
    entries(core, stop=0.0007)
    assert core.positions[0]["pending_lots"] == 3.57


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda c: c.quotes["fresh"].fill(0), Refusal.STALE_PRICE),
        (lambda c: c.account["entries_halted"].fill(1), Refusal.HALTED),
        (lambda c: c.account["high_water_ccy"].fill(110_000.0), Refusal.DRAWDOWN_TIER),
        (lambda c: c.account["high_water_ccy"].fill(114_000.0), Refusal.HALTED),
        (lambda c: c.positions["unsettled"].fill(1), Refusal.UNSETTLED),
        (lambda c: c.account["balance_ccy"].fill(np.nan), Refusal.UNKNOWN_EQUITY),
        (lambda c: c.account["balance_ccy"].fill(-1.0), Refusal.HALTED),
        (lambda c: c.symbols["stops_level_points"].fill(200.0), Refusal.STOP_TOO_CLOSE),
        (lambda c: c.limits["symbol_exposure_max_frac"].fill(5.8), Refusal.SYMBOL_EXPOSURE),
        (lambda c: c.limits["gross_exposure_max_frac"].fill(5.8), Refusal.GROSS_EXPOSURE),
        (lambda c: c.limits["margin_max_frac"].fill(0.058), Refusal.MARGIN),
        (lambda c: c.symbols["volume_min_lots"].fill(6.0), Refusal.VOLUME_BELOW_MIN),
    ],
)
def test_each_rule_refuses_under_its_own_name(make_core, change, refusal):
    """5 lots are 585 000 $, 5.85 × equity: every rule that forbids them says so."""
    core = make_core(strategy("one"))
    change(core)
    assert entries(core) == ([], {refusal: 1})


def test_an_unknown_conversion_refuses(make_core):
    """A profit that cannot be converted cannot be sized."""
    core = make_core(strategy("one", "USDJPY"))
    core.quotes["bid"] = np.nan
    chosen, refused = entries(core, stop=0.1)
    assert chosen == []
    assert set(refused) <= {Refusal.NO_CONVERSION, Refusal.UNKNOWN_EQUITY}


def test_without_a_stop_only_fixed_lots_trade(make_core):
    """Fixed fraction needs a stop; fixed lots do not."""
    assert entries(make_core(strategy("one")), stop=NONE) == ([], {Refusal.NO_STOP: 1})
    fixed = strategy("one", extra='sizing = { method = "fixed_lots", lots = 0.29 }')
    core = make_core(fixed)
    assert entries(core, stop=NONE) == ([0], {})
    assert core.positions[0]["pending_lots"] == 0.29


def test_accepted_entries_count_for_the_next_ones_limits(make_core):
    """Two entries of 5.85 × equity each do not both pass a cap of 10; the first in order does."""
    core = make_core(strategy("one") + strategy("two"))
    assert entries(core) == ([0], {Refusal.SYMBOL_EXPOSURE: 1})


def test_stop_and_target_are_means_of_the_agreeing_weighted_by_share(make_core):
    """Dissenters and members without a level do not count; shares of the trade sum to one."""
    text = strategy("a") + strategy("b") + strategy("c")
    text += (
        '[[book]]\nname = "k"\nmembers = { a = 1.0, b = 3.0, c = 4.0 }\nenter = 0.1\nexit = 0.0\n'
    )
    core = make_core(text)
    take_signal(core, 0, 1, 1.0, 0.0010, NONE, 0)
    take_signal(core, 1, 1, 1.0, 0.0020, 0.0050, 0)
    take_signal(core, 2, -1, 0.5, 0.0400, 0.0400, 0)
    combine(core, 0)
    begin_batch(core, 0)
    chosen, refused = np.zeros(1, np.int64), np.zeros(N_REFUSALS, np.int64)
    assert decide_entries(core, chosen, refused) == 1
    position = core.positions[0]
    assert position["pending_stop_distance"] == pytest.approx(0.00175)
    assert position["pending_target_distance"] == pytest.approx(0.0050)
    assert core.outputs["entry_share"].tolist() == [0.25, 0.75, 0.0]


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
    entries(core, raw=-1)
    assert core.positions[0]["pending_price"] == 1.17
