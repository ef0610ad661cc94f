"""The benchmark's portfolio and its generated bars: always the same ones."""

from itertools import cycle
from pathlib import Path

import numpy as np

from engine.model.symbols import DEFAULT_SYMBOLS
from engine.model.times import NS_PER_MINUTE
from strategies.registry import KINDS
from strategies.variants import others_line, variants

SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY", "AUDUSD", "XAUUSD")
STRATEGIES_PER_SYMBOL = 20
# Members of each symbol's books; the rest of its strategies are books of one.
_BOOKS = (("trend", "weighted", 8), ("mixed", "weighted", 6), ("vote", "vote", 5))
_SOURCE = "generated"
_FIRST_PRICES = {"USDJPY": 110.0, "XAUUSD": 1300.0}


def portfolio_text() -> str:
    """Return a portfolio file: 100 strategies of all kinds on five symbols in 20 books.

    Sizes are small, so that it trades the whole year whatever it loses.
    """
    kinds = list(KINDS)
    n = len(SYMBOLS) * STRATEGIES_PER_SYMBOL
    pools = {kind: iter(variants(kind, -(-n // len(kinds)))) for kind in kinds}
    out = ["[account]\nbalance_ccy = 100_000_000.0\n"]
    turns = cycle(kinds)
    for symbol in SYMBOLS:
        names = [f"{symbol.lower()}-{i:02}" for i in range(STRATEGIES_PER_SYMBOL)]
        for name in names:
            kind = next(turns)
            params = ", ".join(f"{k} = {_toml(v)}" for k, v in next(pools[kind]).items())
            out.append(
                f'[[strategy]]\nname = "{name}"\nkind = "{kind}"\nsymbol = "{symbol}"\n'
                f"{others_line(kind, symbol, SYMBOLS)}params = {{ {params} }}\n"
            )
        first = 0
        for title, combine, size in _BOOKS:
            members = ", ".join(f'"{n}" = 1.0' for n in names[first : first + size])
            first += size
            out.append(
                f'[[book]]\nname = "{symbol.lower()}-{title}"\ncombine = "{combine}"\n'
                f"members = {{ {members} }}\nsizing = {{ risk_frac = 0.000001 }}\n"
            )
        out.extend(
            f'[[book]]\nname = "{name}-alone"\ncombine = "vote"\n'
            f'members = {{ "{name}" = 1.0 }}\nsizing = {{ risk_frac = 0.000001 }}\n'
            for name in names[first:]
        )
    return "\n".join(out)


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
