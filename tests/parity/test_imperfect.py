"""Parity on files as people have them: rounded to 32 bits, scaled, too fine, with part volumes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtest.data.load import load_bars
from engine.model.bars import Bars
from engine.model.times import NS_PER_DAY, Timeframe
from engine.portfolio.compile import compile_portfolio
from engine.portfolio.file import parse_portfolio
from strategies.loader import load_file
from tests.parity.compare import Both, assert_same, run_both
from tests.parity.live import NOISE
from tests.parity.test_parity import START_NS, generated

FILE = """
[risk]
drawdown_reduce_frac = 0.5
drawdown_stop_entries_frac = 0.6
drawdown_flatten_frac = 0.7
daily_loss_max_frac = 1.0
account_drawdown_max_frac = 1.0
spread_max_factor = 1e6
collar_frac = 1.0
collar_spreads = 1e6
repeated_max = 1e6
symbol_orders_per_minute_max = 1e6
""" + "".join(
    f'[[strategy]]\nname = "n{i}"\nkind = "noise"\nsymbol = "{symbol}"\n'
    f'timeframe = "{frame}"\nparams = {{ seed = {i}, stop_points = 90, lasts = 3 }}\n'
    for i, (symbol, frame) in enumerate(
        [("EURUSD", "M1"), ("BTCUSD", "M1"), ("EURUSD", "M5"), ("BTCUSD", "M15")]
    )
)


def plain(bars: Bars) -> dict[str, np.ndarray]:
    return {n: bars[n] for n in ("open", "high", "low", "close", "volume", "spread")}


def float32(bars: Bars) -> dict[str, np.ndarray]:
    return {name: column.astype(np.float32) for name, column in plain(bars).items()}


def scaled(bars: Bars) -> dict[str, np.ndarray]:
    """Return what comes of whole points times the point."""
    out = plain(bars)
    return out | {
        n: np.rint(out[n] * 1e5) * 1e-5 for n in ("open", "high", "low", "close", "spread")
    }


def finer(bars: Bars) -> dict[str, np.ndarray]:
    """Return prices of which some have further digits, spreads that are means, part volumes."""
    rng = np.random.default_rng(5)
    out = plain(bars)
    shift = np.where(rng.random(len(bars)) < 0.3, rng.uniform(-4e-6, 4e-6, len(bars)), 0.0)
    for name in ("open", "high", "low", "close"):
        out[name] = out[name] * (1.0 + shift)
    out["spread"] = out["spread"] * rng.uniform(0.5, 1.5, len(bars))
    out["volume"] = rng.exponential(1.0, len(bars))
    return out


def unknown(bars: Bars) -> dict[str, np.ndarray]:
    """Return bars of which every third has no volume and every fourth no spread."""
    out = {name: column.copy() for name, column in plain(bars).items()}
    out["volume"][::3] = np.nan
    out["spread"][::4] = np.nan
    return out


def nothing(bars: Bars) -> dict[str, np.ndarray]:
    return {name: bars[name] for name in ("open", "high", "low", "close")}


@pytest.mark.parametrize("stored", [float32, scaled, finer, unknown, nothing])
def test_a_file_trades_as_it_is_tested(tmp_path: Path, stored) -> None:
    """Own strategies that read every column; backtest and live path agree to the last bit."""
    load_file(NOISE)
    compiled = compile_portfolio(parse_portfolio(FILE, "x"))
    from_ns = START_NS + NS_PER_DAY // 2
    to_ns = from_ns + NS_PER_DAY // 4
    for name, bars in generated(compiled, START_NS - 40 * NS_PER_DAY, to_ns).items():
        stamps = pa.array(bars["time_ns"].copy()).cast(pa.timestamp("ns", "UTC"))
        columns = {n: pa.array(v, from_pandas=True) for n, v in stored(bars).items()}
        pq.write_table(pa.table({"time": stamps} | columns), tmp_path / f"{name}_M1_2026_x.parquet")
    warmup = [(frame, frame, 20) for frame in (Timeframe.M1, Timeframe.M5, Timeframe.M15)]

    bars, notes, _ = load_bars(tmp_path, compiled.symbols, from_ns, to_ns, warmup)
    both: Both = run_both(compiled, bars, from_ns, to_ns)

    assert len(both.tested.trades) > 50
    assert_same(both)
    assert bool(notes) == (stored in (float32, scaled, finer))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_real_months_of_a_coin_trade_as_they_are_tested(data_dir: Path) -> None:
    """Prices finer than the digits and volumes in parts of a coin: three months of 2014."""
    text = "".join(
        f'[[strategy]]\nname = "{kind}{i}"\nkind = "{kind}"\nsymbol = "BTCUSD"\n'
        f"params = {{ stop_points = 700.0, target_points = {target} }}\n"
        'sizing = { method = "fixed_lots", lots = 0.5 }\n'
        for kind in ("vwap_reversion", "donchian_breakout")
        for i, target in enumerate((0.0, 900.0))
    )
    risk = FILE[: FILE.index("[[strategy]]")]
    cost = "[symbols.BTCUSD]\nspread_points = 50\n"
    head = "[account]\nbalance_ccy = 1e7\n"
    compiled = compile_portfolio(parse_portfolio(head + risk + cost + text, "x"))
    from_ns = int(np.datetime64("2014-02-01", "ns").astype(np.int64))
    to_ns = int(np.datetime64("2014-05-01", "ns").astype(np.int64))
    warmup = [(Timeframe.M1, Timeframe.M1, 300)]
    bars, notes, _ = load_bars(data_dir, compiled.symbols, from_ns, to_ns, warmup, "bitfinex")
    both = run_both(compiled, bars, from_ns, to_ns)
    assert len(both.tested.trades) > 500
    assert len(notes) == 2
    assert_same(both)
