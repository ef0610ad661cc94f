"""A core to call the decision functions on, one at a time."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import settings

from engine.decision.account import set_quote, update_conversions
from engine.decision.signals import combine, take_events
from engine.decision.state import EVENT, Core
from engine.portfolio.compile import compile_portfolio
from engine.portfolio.file import parse_portfolio

# The first call of a kernel may compile it.
settings.register_profile("kernels", deadline=None)
settings.load_profile("kernels")

LONG, FLAT, SHORT, HOLD = 1, 0, -1, 2
NONE = float("nan")


def strategy(name: str, symbol: str = "EURUSD", extra: str = "") -> str:
    return f'[[strategy]]\nname = "{name}"\nkind = "any"\nsymbol = "{symbol}"\n{extra}\n'


def build(text: str) -> Core:
    """Return a core of a portfolio's text; quotes 1.1700/1.1701, yen 110.00/110.01, all fresh."""
    compiled = compile_portfolio(parse_portfolio(text, "test.toml"))
    core = compiled.core()
    for i, spec in enumerate(compiled.symbols):
        bid = 110.0 if spec.name.endswith("JPY") else 1.17
        set_quote(core, i, bid, round(bid + 10 * spec.point, spec.digits), 1)
        core.quotes[i]["close"] = bid
    update_conversions(core)
    return core


@pytest.fixture
def make_core() -> Callable[[str], Core]:
    return build


def hold(core: Core, slot: int, side: int, lots: float, price: float) -> None:
    """Have a slot hold a position."""
    position = core.positions[slot]
    position["direction"], position["lots"], position["entry_price"] = side, lots, price


def tell(core: Core, *raws: int, confidence: float = 1.0, stop: float = 0.001) -> None:
    """Have the first members close a bar with these raw outputs; None says nothing."""
    rows = [(confidence, stop, NONE, m, raw, 0) for m, raw in enumerate(raws) if raw is not None]
    take_events(core, np.array(rows, EVENT))


def say(core: Core, *raws: int, confidence: float = 1.0, stop: float = 0.001) -> np.void:
    """Do as `tell`, combine the first slot and return its position."""
    tell(core, *raws, confidence=confidence, stop=stop)
    combine(core, 0)
    position: np.void = core.positions[0]
    return position
