"""Small worlds for the simulator: bars from ticks of a walk, strategies that read a script."""

from decimal import Decimal

import numpy as np

from engine.model.bars import BAR_DTYPE, Bars
from engine.model.times import NS_PER_MINUTE, Timeframe
from engine.portfolio.compile import CompiledPortfolio, compile_portfolio
from engine.portfolio.file import parse_portfolio
from strategies.base import Columns, Params, Signals, Strategy

# Monday 2018-06-04 00:00 UTC: 03:00 on the server.
MONDAY = 25_467_840
LONG, FLAT, SHORT, HOLD = 1, 0, -1, 2


class Scripted(Strategy):
    """Says at each bar what its script says: open minute → (raw, confidence, stop, target)."""

    kind = "scripted"
    params_type = Params

    def __init__(self, symbol: str, script: dict, warmup: int = 0) -> None:
        super().__init__(Params(), symbol=symbol, timeframe=Timeframe.M1, point=1e-5)
        self.script = script
        self._warmup = warmup

    @property
    def warmup(self) -> int:
        return self._warmup

    def evaluate(self, bars: Columns, *_: Columns) -> Signals:
        rows = [
            self.script.get(int(t) // NS_PER_MINUTE, (FLAT, 0.0, None, None)) for t in bars.time_ns
        ]

        def column(i: int) -> np.ndarray:
            return np.array([np.nan if r[i] is None else float(r[i]) for r in rows], float)

        return Signals(np.array([r[0] for r in rows], np.int8), column(1), column(2), column(3))


def make_bars(rows: list[tuple]) -> Bars:
    """Return bars of (minute, open, high, low, close[, spread]); no spread is unknown."""
    bars = np.zeros(len(rows), BAR_DTYPE)
    for bar, (minute, *prices) in zip(bars, rows, strict=True):
        bar["time_ns"] = minute * NS_PER_MINUTE
        for name, price in zip(("open", "high", "low", "close"), prices, strict=False):
            bar[name] = float(price)
        bar["spread"] = float(prices[4]) if len(prices) > 4 else np.nan
        bar["volume"] = np.nan
    return bars


def flat_bars(prices: list, first: int = MONDAY, spread: str = "0.0001") -> Bars:
    """Return consecutive bars that stand still at each price."""
    return make_bars([(first + i, p, p, p, p, Decimal(spread)) for i, p in enumerate(prices)])


def portfolio(text: str) -> CompiledPortfolio:
    return compile_portfolio(parse_portfolio(text, "test.toml"))


def strategy_text(name: str, symbol: str = "EURUSD", extra: str = "") -> str:
    return f'[[strategy]]\nname = "{name}"\nkind = "scripted"\nsymbol = "{symbol}"\n{extra}\n'
