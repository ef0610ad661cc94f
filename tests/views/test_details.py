"""What details are told from: only what was decided counts as decided."""

from types import SimpleNamespace
from typing import Any

from engine.model.portfolio import Portfolio, StrategySpec
from engine.model.views.decisions import read_rules
from engine.portfolio.compile import compile_portfolio
from engine.views.details import take_picture


def test_a_slot_that_was_never_asked_has_no_decision() -> None:
    """After a restart too, no rule is said to refuse where none was asked."""
    names = ("asked", "never")
    compiled = compile_portfolio(
        Portfolio(strategy=[StrategySpec(name=n, kind="ma_cross", symbol="EURUSD") for n in names])
    )
    core = compiled.core(1e5)
    core.account[0]["batch_ns"] = 60_000_000_000
    slots = [slot.name for slot in compiled.slots]
    trader: Any = SimpleNamespace(core=core, compiled=compiled, names=SimpleNamespace(slots=slots))
    assert take_picture(trader, None).decided == {}
    core.checks[0] = 0.0
    core.checks[0, :, 1] = 1.0
    decided = take_picture(trader, None).decided
    assert list(decided) == slots[:1]
    assert all(rule.ok for rule in read_rules(decided[slots[0]].checks)[:3])
