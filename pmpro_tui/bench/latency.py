"""`pmpro bench latency`: from the tick that closes a bar to the order at the broker.

All strategies are due at every batch. Those of the built-in kinds are evaluated, decided upon and
refused as too small; the probes, a file of the user's own, enter and leave in turns: so every
second batch has exactly as many entries as there are probes.
"""

from itertools import cycle
from typing import TYPE_CHECKING, Annotated

import typer

from engine.model.errors import PmproError
from pmpro_tui.bench.children import percentile
from pmpro_tui.cli.output import Json

if TYPE_CHECKING:
    from collections.abc import Callable

LIMITS: dict[str, tuple[str, float]] = {
    "p50_ms": ("<=", 4.0),
    "p99_ms": ("<=", 10.0),
    "p99_200_ms": ("<=", 20.0),
}
SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY", "AUDUSD", "XAUUSD")
_N_ORDERS = 10
# Batches that were measured less often than this were not all in time.
_ENOUGH = 0.9
_BOOKS_PER_SYMBOL, _MEMBERS = 4, 4
_TINY = "sizing = { risk_frac = 1e-9 }\n"

PROBE = '''
"""LONG after every bar that opens at an even minute, FLAT after the others."""

import numpy as np

from strategies.base import Params, Strategy


class Probe(Strategy):
    kind = "probe"
    params_type = Params

    @property
    def warmup(self):
        return 1

    def evaluate(self, bars):
        direction = (1 - bars.time_ns // 60_000_000_000 % 2).astype(np.int8)
        direction[: self.warmup] = 0
        return self.signals(direction, direction.astype(np.float64))
'''
_HEAD = """
[account]
balance_ccy = 10_000_000.0
[risk]
orders_per_minute_max = 1e6
symbol_orders_per_minute_max = 1e6
repeated_max = 1e6
book_orders_per_day_max = 1e6
"""


def latency(
    batches: Annotated[int, typer.Option(min=2, help="Number of batches.")] = 300,
    json: Json = False,
) -> None:
    """Time from the tick that closes a bar to the orders, in a whole engine with its processes."""
    from pmpro_tui.bench.report import report
    from pmpro_tui.cli.backtest.view import progress_bar

    fewer, few = max(2, batches // 2), max(2, batches // 10)
    with progress_bar("100 strategies", quiet=json) as advance:
        first = entries_ms(100, _N_ORDERS, batches, 0.1, advance)
    with progress_bar("200 strategies", quiet=json) as advance:
        first_200 = entries_ms(200, _N_ORDERS, fewer, 0.1, advance)
    with progress_bar("100 orders", quiet=json) as advance:
        hundred = entries_ms(100, 100, few, 0.5, advance)
    report("latency", figures_of(first, first_200, hundred), LIMITS, json=json)


def figures_of(
    first: list[list[float]], first_200: list[list[float]], hundred: list[list[float]]
) -> dict[str, float]:
    """Return the figures of the three loads: to the first order, and to the last of a batch."""
    return {
        "p50_ms": _percentile(first, 0, 50),
        "p99_ms": _percentile(first, 0, 99),
        "p50_200_ms": _percentile(first_200, 0, 50),
        "p99_200_ms": _percentile(first_200, 0, 99),
        "last_of_10_p99_ms": _percentile(first, -1, 99),
        "last_of_100_p50_ms": _percentile(hundred, -1, 50),
        "last_of_100_p99_ms": _percentile(hundred, -1, 99),
    }


def _percentile(batches: list[list[float]], order: int, percent: float) -> float:
    return percentile([orders[order] for orders in batches], percent)


def entries_ms(
    n_strategies: int,
    n_orders: int,
    n_batches: int,
    pause_s: float,
    progress: "Callable[[float], None]" = lambda done_frac: None,
) -> list[list[float]]:
    """Return, of every batch of entries, the milliseconds to each of its orders."""
    from pmpro_tui.bench.engine import Steps, measure

    steps = Steps(
        portfolio=portfolio_text(n_strategies, n_orders),
        files={"probe.py": PROBE},
        n_minutes=2 * n_batches,
        pause_s=pause_s,
    )
    minutes = measure(steps, progress)
    # A bar that opens at an even minute closes at an odd one.
    entries = [m.orders_ms for m in minutes if m.minute % 2 and len(m.orders_ms) == n_orders]
    if len(entries) < _ENOUGH * n_batches:
        raise PmproError(
            f"only {len(entries)} of {n_batches} batches had all their orders in {pause_s:g} s: "
            "this machine is too slow or too busy"
        )
    return entries


def portfolio_text(n_strategies: int, n_probes: int, *, head: str = _HEAD) -> str:
    """Return a portfolio of built-in kinds in books and solo, and of probes, on SYMBOLS."""
    from strategies.registry import KINDS
    from strategies.variants import others_line, variants

    pools = {kind: iter(variants(kind, -(-n_strategies // len(KINDS)))) for kind in KINDS}
    turn = cycle(KINDS)
    names: dict[str, list[str]] = {symbol: [] for symbol in SYMBOLS}
    parts = [head]
    for i, symbol in zip(range(n_strategies), cycle(SYMBOLS), strict=False):
        kind = next(turn)
        solo = len(names[symbol]) >= _BOOKS_PER_SYMBOL * _MEMBERS
        names[symbol].append(f"s{i:03}")
        params = ", ".join(f"{k} = {_toml(v)}" for k, v in next(pools[kind]).items())
        parts.append(
            f'[[strategy]]\nname = "s{i:03}"\nkind = "{kind}"\nsymbol = "{symbol}"\n'
            f"{others_line(kind, symbol, SYMBOLS)}params = {{ {params} }}\n"
            f"{_TINY if solo else ''}"
        )
    for i, symbol in zip(range(n_probes), cycle(SYMBOLS), strict=False):
        parts.append(
            f'[[strategy]]\nname = "probe{i:03}"\nkind = "probe"\nsymbol = "{symbol}"\n'
            'sizing = { method = "fixed_lots", lots = 0.01 }\n'
        )
    return "\n".join(parts + _books(names))


def _books(names: dict[str, list[str]]) -> list[str]:
    out = []
    for symbol, own in names.items():
        for number in range(_BOOKS_PER_SYMBOL):
            members = own[number * _MEMBERS : (number + 1) * _MEMBERS]
            if members:
                shares = ", ".join(f'"{name}" = 1.0' for name in members)
                out.append(
                    f'[[book]]\nname = "{symbol.lower()}-{number}"\n'
                    f'combine = "{"vote" if number % 2 else "weighted"}"\n'
                    f"members = {{ {shares} }}\n{_TINY}"
                )
    return out


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
