"""A core to call the decision functions on, one at a time."""

from collections.abc import Callable

import pytest

from engine.decision.account import set_quote, update_conversions
from engine.decision.state import Core
from engine.portfolio.compile import compile_portfolio
from engine.portfolio.file import parse_portfolio


def strategy(name: str, symbol: str = "EURUSD", extra: str = "") -> str:
    return f'[[strategy]]\nname = "{name}"\nkind = "any"\nsymbol = "{symbol}"\n{extra}\n'


@pytest.fixture
def make_core() -> Callable[..., Core]:
    """Return a maker of cores from a portfolio's text; quotes 1.1700/1.1701, yen 110.00/110.01."""

    def make(text: str) -> Core:
        compiled = compile_portfolio(parse_portfolio(text, "test.toml"))
        core = compiled.core()
        for i, spec in enumerate(compiled.symbols):
            bid = 110.0 if spec.name == "USDJPY" else 1.17
            set_quote(core, i, bid, round(bid + 10 * spec.point, spec.digits), 1)
        update_conversions(core)
        return core

    return make
