"""The live ledger's parts of a trade sum to it, partial closes and all."""

from decimal import Decimal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.execution.ledger import Ledger, split
from engine.model.orders import Intent, IntentState, Outcome
from engine.model.reasons import ExitReason

CENTS = st.integers(-100_000, 100_000).map(lambda n: n / 100)
WEIGHTS = st.lists(st.integers(1, 50), min_size=1, max_size=7)
DEALS = st.lists(st.tuples(CENTS, CENTS, CENTS), min_size=1, max_size=4)


def outcome(profit=0.0, commission=0.0, swap=0.0, order=1) -> Outcome:
    return Outcome(
        intent_id=1,
        state=IntentState.DONE,
        order=order,
        lots=1.0,
        price=1.1,
        profit_ccy=profit,
        commission_ccy=commission,
        swap_ccy=swap,
    )


def intent(shares: dict[str, float]) -> Intent:
    return Intent(
        id=1, magic=1, book="b", slot=0, symbol="EURUSD", action="OPEN", direction=1, lots=1.0,
        price=1.1, stop=0.0, target=0.0, position=0, reason=0, created_ns=0, batch_ns=0,
        shares=shares,
    )  # fmt: skip


def exact(value: float) -> Decimal:
    return Decimal(repr(value))


@settings(deadline=None)  # the first example compiles
@given(WEIGHTS, CENTS, DEALS)
def test_members_sum_to_the_trade_and_tallies_to_the_account(weights, paid, deals):
    """Three amounts each, whatever was closed in parts before the end; two trades add up."""
    shares = {f"m{i}": w / sum(weights) for i, w in enumerate(weights)}
    ledger = Ledger(account=1)
    net = Decimal(0)
    for _ in range(2):
        ledger.opened("b/EURUSD", intent(shares), outcome(commission=paid), 1.0, 1.2)
        for n, deal in enumerate(deals[:-1]):
            ledger.reduced("b/EURUSD", outcome(*deal), [n])
        row, done = ledger.closed("b/EURUSD", ExitReason.SIGNAL, outcome(*deals[-1]))
        profits, commissions, swaps = (
            sum(map(exact, c), Decimal(0)) for c in zip(*deals, strict=True)
        )
        commissions += exact(paid)
        parts = done.parts.values()
        assert sum(exact(p.profit_ccy) for p in parts) == profits == exact(done.gross_ccy)
        assert sum(exact(p.commission_ccy) for p in parts) == commissions
        assert sum(exact(p.swap_ccy) for p in parts) == swaps
        assert exact(done.profit_ccy) == profits + commissions + swaps
        assert row.parts == done.parts
        net += exact(done.profit_ccy)
    tallies = ledger.tallies.values()
    assert sum(exact(t.sum_ccy) for t in tallies) == net
    assert sum(exact(t.today_ccy) for t in tallies) == net


def test_a_cent_that_cannot_be_split_goes_to_the_largest_remainder():
    """1.00 over thirds: 34, 33, 33, by file order."""
    parts = split(dict.fromkeys("abc", 1 / 3), 1.0, -0.05, 0.0)
    assert [p.profit_ccy for p in parts.values()] == [0.34, 0.33, 0.33]
    assert [p.commission_ccy for p in parts.values()] == [-0.02, -0.02, -0.01]
    assert [p.swap_ccy for p in parts.values()] == [0.0, 0.0, 0.0]


def test_a_ledger_saved_before_the_parts_is_read():
    """An upgrade finds its open trades and tallies again."""
    old = {"account": 1, "tallies": {"a": {"sum_ccy": 3.5, "n_trades": 2}}}
    ledger = msgspec.msgpack.decode(msgspec.msgpack.encode(old), type=Ledger)
    assert ledger.tallies["a"].sum_ccy == 3.5
    assert ledger.tallies["a"].commission_ccy == 0.0
