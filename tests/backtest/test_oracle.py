"""The compiled simulator against a second implementation in exact decimals."""

import copy
from decimal import Decimal

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from backtest.report import net_profits_ccy, trades_table
from backtest.simulate import simulate
from engine.model.times import NS_PER_MINUTE
from tests.backtest import oracle
from tests.backtest.scripted import MONDAY, Scripted, make_bars, portfolio, strategy_text

SYMBOLS = {
    "EURUSD": (5, "1.17000", "0.00008"),
    "USDJPY": (3, "110.000", "0.009"),
}
TEXT = (
    """
[account]
balance_ccy = 10000.0
leverage = 100
[risk]
drawdown_reduce_frac = 0.02
drawdown_stop_entries_frac = 0.03
drawdown_flatten_frac = 0.035
symbol_exposure_max_frac = 22.0
gross_exposure_max_frac = 30.0
margin_max_frac = 0.28
[symbols.EURUSD]
swap_long_points = -61.0
swap_short_points = 20.0
"""
    + strategy_text("solo", "EURUSD", "sizing = { risk_frac = 0.02 }")
    + "".join(strategy_text(n, "EURUSD") for n in ("w1", "w2", "v1", "v2", "v3"))
    + strategy_text("yen", "USDJPY", "sizing = { risk_frac = 0.03 }")
    + """
[[book]]
name = "weighted"
members = { w1 = 1.0, w2 = 1.0 }
enter = 0.5
exit = 0.25
sizing = { risk_frac = 0.02 }
[[book]]
name = "vote"
combine = "vote"
quorum = 2
members = { v1 = 1.0, v2 = 1.0, v3 = 1.0 }
sizing = { risk_frac = 0.01 }
"""
)
ORDER = ("w1", "w2", "v1", "v2", "v3", "solo", "yen")

# Minutes between bars: mostly the next one, now and then a hole or a night (17:00 New York).
_gap = st.sampled_from([1] * 12 + [2, 5, 400, 1500, 4300])
_move = st.integers(-250, 250)


@st.composite
def _bars(draw, symbol: str) -> list[tuple]:
    digits, first, spread = SYMBOLS[symbol]
    point = Decimal(1).scaleb(-digits)
    minute, close = MONDAY + draw(st.integers(0, 3)), Decimal(first)
    rows = []
    for _ in range(draw(st.integers(5, 40))):
        # Half of the bars open where the last one closed, the rest jump.
        opened = close + point * draw(st.one_of(st.just(0), _move))
        close = opened + point * draw(_move)
        high = max(opened, close) + point * draw(st.integers(0, 250))
        low = min(opened, close) - point * draw(st.integers(0, 250))
        width = draw(st.sampled_from([None, Decimal(0), point * 3, point * 12]))
        rows.append((minute, opened, high, low, close, Decimal(spread) if width is None else width))
        minute += draw(_gap)
    return rows


@st.composite
def _script(draw, minutes: list[int]) -> dict:
    script = {}
    row = (0, Decimal(0), None, None)
    for minute in minutes:
        if draw(st.integers(0, 2)) == 0:
            raw = draw(st.sampled_from([1, -1, 0, 2]))
            confidence = Decimal(draw(st.sampled_from(["0.5", "1"]))) if raw else Decimal(0)
            stop = draw(st.sampled_from([None, 100, 200, 400, 900]))
            target = draw(st.sampled_from([None, 4, 200, 500, 900]))
            row = (raw, confidence, stop, target)
        script[minute] = row
    return script


def _scaled(script: dict, point: Decimal) -> dict:
    def distance(value: int | None) -> Decimal | None:
        return None if value is None else value * point

    return {m: (raw, c, distance(s), distance(t)) for m, (raw, c, s, t) in script.items()}


@st.composite
def _worlds(draw):
    bars = {symbol: draw(_bars(symbol)) for symbol in SYMBOLS}
    scripts = {}
    for name in ORDER:
        symbol = "USDJPY" if name == "yen" else "EURUSD"
        point = Decimal(1).scaleb(-SYMBOLS[symbol][0])
        scripts[name] = _scaled(draw(_script([row[0] for row in bars[symbol]])), point)
    return bars, scripts


def _run_oracle(bars: dict, scripts: dict, first: int, stop: int) -> oracle.Account:
    facts = {
        "EURUSD": oracle.Symbol(
            5, Decimal(100_000), Decimal("3.5"), Decimal(-61), Decimal(20), 2, False, []
        ),
        "USDJPY": oracle.Symbol(
            3, Decimal(100_000), Decimal("3.5"), Decimal("3.5"), Decimal(-9), 2, True, []
        ),
    }
    for name, symbol in facts.items():
        symbol.bars = [oracle.Bar(*row) for row in bars[name]]
    members = {n: oracle.Member(Decimal(1), copy.copy(scripts[n])) for n in ORDER}
    euro, yen = facts["EURUSD"], facts["USDJPY"]
    slots = [
        oracle.Slot(
            "weighted",
            euro,
            [members["w1"], members["w2"]],
            vote=False,
            enter=Decimal("0.5"),
            exit=Decimal("0.25"),
            risk=Decimal("0.02"),
        ),
        oracle.Slot(
            "vote",
            euro,
            [members[n] for n in ("v1", "v2", "v3")],
            vote=True,
            quorum=2,
            risk=Decimal("0.01"),
        ),
        oracle.Slot("solo", euro, [members["solo"]], vote=True, risk=Decimal("0.02")),
        oracle.Slot("yen", yen, [members["yen"]], vote=True, risk=Decimal("0.03")),
    ]
    account = oracle.Account(
        balance=Decimal(10_000),
        tiers=(Decimal("0.02"), Decimal("0.03"), Decimal("0.035")),
        leverage=Decimal(100),
        symbol_max=Decimal(22),
        gross_max=Decimal(30),
        margin_max=Decimal("0.28"),
    )
    oracle.run(account, [euro, yen], slots, first, stop)
    return account


def _simulate(bars: dict, scripts: dict, first: int, stop: int):
    compiled = portfolio(TEXT)
    strategies = [Scripted(s.symbol, scripts[s.name]) for s in compiled.strategies]
    assert tuple(s.name for s in compiled.strategies) == ORDER
    return simulate(
        compiled,
        {symbol: make_bars(rows) for symbol, rows in bars.items()},
        first * NS_PER_MINUTE,
        stop * NS_PER_MINUTE,
        strategies=strategies,
    )


def _trades(result) -> list[dict]:
    """Return the trades as the oracle writes them."""
    table = {name: np.asarray(column).tolist() for name, column in trades_table(result).items()}
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    return [
        {
            "book": row["book"],
            "direction": 1 if row["direction"] == "BUY" else -1,
            "lots": row["lots"],
            "entry_minute": row["entry_time"] // NS_PER_MINUTE,
            "entry_price": row["entry_price"],
            "exit_minute": row["exit_time"] // NS_PER_MINUTE,
            "exit_price": row["exit_price"],
            "exit_reason": row["exit_reason"],
            "commission": row["commission_ccy"],
            "swap": row["swap_ccy"],
            "profit": row["profit_ccy"],
        }
        for row in rows
    ]


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking a world takes minutes
)
@given(_worlds())
def test_every_trade_and_every_equity_value_equals_the_oracle(world):
    """Two implementations of the semantics agree on time, side, size, price, costs and reason."""
    bars, scripts = world
    first, stop = MONDAY, max(rows[-1][0] for rows in bars.values()) + 1

    result = _simulate(bars, scripts, first, stop)
    expected = _run_oracle(bars, scripts, first, stop)

    wanted = [
        {k: float(v) if isinstance(v, Decimal) else v for k, v in trade.items()}
        for trade in expected.trades
    ]
    assert _trades(result) == wanted
    minutes, balances, equities = zip(*expected.curve, strict=True)
    assert (result.equity["time_ns"] // NS_PER_MINUTE).tolist() == list(minutes)
    np.testing.assert_allclose(
        result.equity["equity_ccy"][:-1], np.array(equities[:-1], float), rtol=1e-12
    )
    np.testing.assert_array_equal(result.equity["balance_ccy"][:-1], np.array(balances[:-1], float))
    assert float(result.core.account[0]["balance_ccy"]) == float(expected.balance)
    assert round(10_000 + float(np.sum(net_profits_ccy(result))), 2) == float(expected.balance)
