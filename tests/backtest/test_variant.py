"""What-if portfolios: only what was asked for changes."""

import msgspec
import numpy as np
import pytest

from backtest.results import CURVE_POINTS, curve
from backtest.variant import varied
from engine.decision.state import Records
from engine.model.errors import ConfigError
from engine.model.jobs import Variant
from engine.model.portfolio import AllocationSpec, BookSpec, Portfolio, StrategySpec, SymbolOverride
from engine.portfolio.compile import compile_portfolio

PORTFOLIO = Portfolio(
    symbols={"EURUSD": SymbolOverride(spread_points=7.0)},
    strategy=[
        StrategySpec(name=name, kind="ma_cross", symbol=symbol)
        for name, symbol in (("a", "EURUSD"), ("b", "USDJPY"), ("c", "USDJPY"))
    ],
    book=[
        BookSpec(name="mixed", members={"a": 0.5, "b": 0.5}),
        BookSpec(name="yen", members={"c": 1.0}),
    ],
    allocation=AllocationSpec(shares={"mixed": 0.7, "yen": 0.3}),
)


def test_nothing_asked_changes_nothing() -> None:
    """Without a variant the very same portfolio is tested."""
    assert varied(PORTFOLIO, Variant()) is PORTFOLIO


def test_only_the_strategies_on_the_symbols_are_left() -> None:
    """Books lose the members that go, and go with their last one; the rest compiles."""
    left = varied(PORTFOLIO, Variant(symbols=("EURUSD",)))
    assert [s.name for s in left.strategy] == ["a"]
    assert [(b.name, b.members) for b in left.book] == [("mixed", {"a": 0.5})]
    assert left.allocation.shares == {"mixed": 0.7}
    compile_portfolio(left)
    with pytest.raises(ConfigError, match="no strategy trades XAUUSD: EURUSD, USDJPY"):
        varied(PORTFOLIO, Variant(symbols=("EURUSD", "XAUUSD")))


def test_costs_are_every_traded_symbol_s_and_nothing_else_changes() -> None:
    """A cost that is not given stays the portfolio's own."""
    dear = varied(PORTFOLIO, Variant(commission_per_lot_ccy=9.0))
    assert dear.symbols == {
        "EURUSD": SymbolOverride(spread_points=7.0, commission_per_lot_ccy=9.0),
        "USDJPY": SymbolOverride(commission_per_lot_ccy=9.0),
    }
    assert msgspec.structs.replace(dear, symbols=PORTFOLIO.symbols) == PORTFOLIO


@pytest.mark.parametrize("n_points", [0, 1, CURVE_POINTS, CURVE_POINTS + 1, 10_007])
def test_a_kept_curve_is_short_and_smooths_no_drawdown_away(n_points: int) -> None:
    """First part, last point and the lowest one of all are kept, in order, each once."""
    values = np.random.default_rng(3).normal(size=n_points).cumsum()
    equity: Records = np.zeros(n_points, [("time_ns", "i8"), ("equity_ccy", "f8")])
    equity["time_ns"], equity["equity_ccy"] = np.arange(n_points), values
    kept = curve(equity)
    assert len(kept) <= CURVE_POINTS
    assert [at for at, _ in kept] == sorted({at for at, _ in kept})
    if n_points:
        assert kept[-1] == (n_points - 1, values[-1])
        assert min(value for _, value in kept) == values.min()
