"""The benchmark's portfolio and its generated bars: always the same ones."""

from itertools import cycle
from pathlib import Path
from typing import Final

import numpy as np

from engine.model.symbols import DEFAULT_SYMBOLS
from engine.model.times import NS_PER_MINUTE
from strategies.registry import KINDS
from strategies.variants import others_line, variants

SYMBOLS: Final = ("EURUSD", "GBPUSD", "USDJPY", "AUDUSD", "XAUUSD")
PORTFOLIO: Final = Path(__file__).with_name("bench_portfolio.toml")
"""What `portfolio_text` returns for 100 strategies, as a file of its own."""
# A symbol's books divide its strategies among them.
_BOOKS = (
    ("blend", 'combine = "weighted"'),
    ("core", 'combine = "weighted"\nenter = 0.25'),
    ("panel", 'combine = "vote"\nquorum = "majority"'),
    ("scouts", 'combine = "vote"\nquorum = 2'),
)
# Small sizes, and costs as low as they come: it trades the whole year, whatever it loses, and
# scores are good and bad by turns, so that shares move and members come and go.
_HEAD = """\
# The portfolio of `pmpro bench backtest`: written by pmpro_tui/bench/portfolio.py, not by hand.

[account]
balance_ccy = 100_000_000.0
margin_mode = "hedging"

[allocation]
method = "score"
half_life_days = 10.0
shrink_days = 5.0
min_days = 10

[allocation.switch]
disable_score = -0.6
enable_score = 0.0
disable_drawdown_r = 200.0
enable_drawdown_r = 50.0
cool_down_days = 5
"""
_COSTS = "[symbols.{symbol}]\nspread_points = {spread}\ncommission_per_lot_ccy = 0.2\n"
_SPREADS_POINTS = {"XAUUSD": 5.0}
_SOURCE = "generated"
_FIRST_PRICES = {"USDJPY": 110.0, "XAUUSD": 1300.0}


def portfolio_text(n_strategies: int = 100) -> str:
    """Return a portfolio file: strategies of all kinds on five symbols, in 20 books.

    `n_strategies` is a multiple of 20 from 40 on; more of them make the books larger.
    """
    per_book = n_strategies // (len(SYMBOLS) * len(_BOOKS))
    pools = {kind: iter(variants(kind, -(-n_strategies // len(KINDS)))) for kind in KINDS}
    kinds = cycle(KINDS)
    out = [_HEAD]
    out.extend(
        _COSTS.format(symbol=symbol, spread=_SPREADS_POINTS.get(symbol, 1.0)) for symbol in SYMBOLS
    )
    for symbol in SYMBOLS:
        for title, how in _BOOKS:
            book = f"{symbol.lower()}-{title}"
            names = [f"{book}-{number:02}" for number in range(per_book)]
            for name in names:
                kind = next(kinds)
                out.append(_strategy(name, kind, symbol, next(pools[kind])))
            members = ", ".join(f'"{name}" = 1.0' for name in names)
            out.append(
                f'[[book]]\nname = "{book}"\n{how}\nmembers = {{ {members} }}\n'
                "sizing = { risk_frac = 0.000001 }\n"
            )
    return "\n".join(out)


def _strategy(name: str, kind: str, symbol: str, params: dict[str, object]) -> str:
    values = ", ".join(f"{key} = {_toml(value)}" for key, value in params.items())
    return (
        f'[[strategy]]\nname = "{name}"\nkind = "{kind}"\nsymbol = "{symbol}"\n'
        f"{others_line(kind, symbol, SYMBOLS)}params = {{ {values} }}\n"
    )


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def write_bars(data_dir: Path, year: int, seed: int = 1) -> str:
    """Write a year of generated M1 bars of SYMBOLS, weekdays round the clock; return the source."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    first, last = (np.datetime64(f"{y}-01-01", "m").astype(np.int64) for y in (year, year + 1))
    minutes = np.arange(first - 5 * 1440, last, dtype=np.int64)
    minutes = minutes[np.is_busday((minutes // 1440).astype("M8[D]"))]
    for i, symbol in enumerate(SYMBOLS):
        rng = np.random.default_rng([seed, i])
        digits = DEFAULT_SYMBOLS[symbol].digits
        steps = rng.normal(0.0, 1.2e-4, len(minutes))
        close = np.round(_FIRST_PRICES.get(symbol, 1.2) * np.exp(np.cumsum(steps)), digits)
        opens = np.concatenate([close[:1], close[:-1]])
        wicks = np.round(np.abs(rng.normal(0.0, 6e-5, (2, len(minutes)))) * close, digits)
        columns = {
            "time": pa.array(minutes * NS_PER_MINUTE).cast(pa.timestamp("ns", "UTC")),
            "open": opens,
            "high": np.round(np.maximum(opens, close) + wicks[0], digits),
            "low": np.round(np.minimum(opens, close) - wicks[1], digits),
            "close": close,
        }
        pq.write_table(pa.table(columns), data_dir / f"{symbol}_M1_{year}_{_SOURCE}.parquet")
    return _SOURCE
