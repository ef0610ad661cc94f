"""The account's balance is explained by its deals; cash paid in or out is nobody's result."""

import math
from collections.abc import Callable

import pytest

from engine.model.reasons import TradingState
from tests.faults.bench import LOTS, Bench
from tests.faults.test_controls import falling

Make = Callable[..., Bench]
MARKS = ("drawdown_frac", "account_drawdown_frac", "external_ccy", "tier")


def marks(bench: Bench) -> list[float]:
    """Return what must not move when cash does."""
    account = bench.trader.core.account[0]
    lost_today = 1.0 - account["equity_ccy"] / account["day_start_equity_ccy"]
    return [float(account[name]) for name in MARKS] + [float(lost_today)]


@pytest.mark.parametrize("away", [False, True])
@pytest.mark.parametrize("cash_ccy", [50_000.0, -50_000.0])
def test_cash_is_neither_profit_nor_drawdown(
    make_bench: Make, cash_ccy: float, *, away: bool
) -> None:
    """A deposit or withdrawal, seen at once or after a restart, moves no drawdown, and once."""
    bench = make_bench({"a": "LLLLLLLLLLLLF"}, falling(100))
    bench.step(6)
    before = marks(bench)
    assert before[0] > 0.0005

    bench.pay(cash_ccy)
    if away:
        assert bench.crash() == []
    else:
        bench.look()

    bench.trader.positions.book_broker_closes()
    assert marks(bench) == pytest.approx(before, rel=1e-9)
    assert bench.trader.core.account[0]["balance_ccy"] == pytest.approx(
        100_000.0 + cash_ccy - 3.5 * LOTS
    )
    word = "deposit" if cash_ccy > 0 else "withdrawal"
    assert sum(f"{word} of 50,000.00" in e.text for e in bench.events.newest()) == 1
    assert bench.crash() == []
    bench.step(8)
    assert bench.held == []
    bench.check_balance()
    assert not bench.trader.core.account[0]["trading"]


def test_a_balance_that_no_deal_explains_is_a_doubt(make_bench: Make) -> None:
    """It is critical, said once, and lets nothing in until an operator resumes."""
    bench = make_bench({"a": "FFFFFL"})
    bench.step(2)
    bench.pay(-1234.5, told=False)

    bench.look()
    assert not bench.trader.core.account[0]["trading"]
    bench.look_for_s(30)

    assert bench.trader.core.account[0]["trading"]
    assert sum("moved by -1,234.50" in e.text for e in bench.events.newest()) == 1
    bench.step(5)
    assert bench.held == []


def test_every_deal_of_anybody_explains_the_balance(make_bench: Make) -> None:
    """Our own, another hand's, a stop's: no look ever doubts, and all of it is read once."""
    bench = make_bench({"a": "LLFFSSFFLLLFF"})
    other = 0
    for n in range(12):
        bench.step()
        if n % 4 == 1:
            other = bench.by_hand(1, 0.3)
        elif n % 4 == 3:
            bench.by_hand(-1, 0.3, position=other)
        bench.look_for_s(10)
        assert not bench.trader.core.account[0]["trading"]
    known = bench.trader.positions.balance.explained
    assert known is not None
    assert known.balance_ccy == pytest.approx(bench.gateway.account().balance_ccy)
    assert known.deal == max(d.ticket for d in bench.gateway.deals(0))


def test_a_balance_that_is_no_number_explains_nothing(make_bench: Make) -> None:
    """NaN is at no distance from what the deals say: it is a doubt, said once it has stood."""
    bench = make_bench({"a": "LLLL"})
    balance = bench.trader.positions.balance
    bench.look()
    known = balance.explained
    balance.look(bench.trader.core, math.nan)
    assert balance.explained == known
    bench.now_s += 6.0
    balance.look(bench.trader.core, math.nan)
    assert bench.said("the balance moved by", "critical")
    assert bench.trader.core.account[0]["trading"] == TradingState.REDUCING
