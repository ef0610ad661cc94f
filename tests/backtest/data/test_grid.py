"""Bars on a terminal's grid: what is moved is said, what would move too much is refused."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from backtest.data.grid import bring_to_grid
from backtest.data.load import Loaded, load_bars
from engine.model.bars import BAR_DTYPE, Bars
from engine.model.errors import DataError
from engine.model.symbols import DEFAULT_SYMBOLS, SymbolSpec
from engine.model.times import NS_PER_MINUTE
from tests.backtest.data.test_load import START, STOP

EURUSD = DEFAULT_SYMBOLS["EURUSD"]
N = 300


def prices(spec: SymbolSpec, first: float = 1.1) -> dict[str, np.ndarray]:
    """Return N bars of whole points, one of each column; the spread is 8 points."""
    rng = np.random.default_rng(1)
    base = round(first * 10**spec.digits)
    closes = base + rng.integers(-5, 6, N).cumsum()
    opens = closes + rng.integers(-5, 6, N)
    high = np.maximum(opens, closes) + rng.integers(0, 5, N)
    low = np.minimum(opens, closes) - rng.integers(0, 5, N)
    points = {"open": opens, "high": high, "low": low, "close": closes, "spread": np.full(N, 8)}
    return points | {"volume": rng.integers(0, 50, N)}


def decimals(points: dict[str, np.ndarray], digits: int) -> dict[str, np.ndarray]:
    """Return points as the nearest doubles of their decimals; volumes as they are."""
    return {n: v / (10**digits if n != "volume" else 1) for n, v in points.items()}


def write(directory: Path, columns: dict, symbol: str = "EURUSD") -> None:
    directory.mkdir(exist_ok=True)
    stamps = pa.array(START + np.arange(N) * NS_PER_MINUTE).cast(pa.timestamp("ns", "UTC"))
    path = directory / f"{symbol}_M1_2018_a.parquet"
    pq.write_table(pa.table({"time": stamps} | columns), path)


def load(directory: Path, spec: SymbolSpec = EURUSD) -> Loaded:
    return load_bars(directory, [spec], START, STOP)


def refusal(directory: Path, spec: SymbolSpec = EURUSD) -> str:
    with pytest.raises(DataError) as caught:
        load(directory, spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("symbol", ["EURUSD", "USDJPY", "XAUUSD", "BTCUSD"])
def test_the_same_prices_are_the_same_bars_however_they_were_stored(tmp_path, symbol):
    """Doubles, 32 bits, DECIMAL, points × 0.00001: each gives the doubles of the decimals."""
    spec = DEFAULT_SYMBOLS[symbol]
    first = {"EURUSD": 1.17, "USDJPY": 110.5, "XAUUSD": 1304.3, "BTCUSD": 79_154.16}[symbol]
    points = prices(spec, first)
    exact = decimals(points, spec.digits)
    write(tmp_path / "doubles", exact, symbol)
    clean = load(tmp_path / "doubles", spec)
    assert clean.notes == []
    assert clean.bars[symbol]["close"].tolist() == exact["close"].tolist()
    kinds = {
        "float32": {n: v.astype(np.float32) for n, v in exact.items()},
        "scaled": {n: v * (spec.point if n != "volume" else 1.0) for n, v in points.items()},
        "decimal": {
            n: pa.array([f"{x:.{spec.digits}f}" for x in v]).cast(pa.decimal128(18, spec.digits))
            for n, v in exact.items()
        },
        "text": {n: pa.array([f"{x:.{spec.digits}f}" for x in v]) for n, v in exact.items()},
    }
    for name, columns in kinds.items():
        write(tmp_path / name, columns, symbol)
        other = load(tmp_path / name, spec)
        assert other.bars[symbol].tobytes() == clean.bars[symbol].tobytes(), name
        if name in ("float32", "scaled"):
            assert f"prices were moved to {spec.digits} digits, by " in other.notes[0]


def test_what_was_moved_is_counted(tmp_path):
    """How many of how many, and by how much at most, of prices, spreads and volumes each."""
    exact = decimals(prices(EURUSD), 5)
    exact["close"][:3] = exact["open"][:3] = 1.100004
    exact["high"][:3], exact["low"][:3] = 1.2, 1.0
    exact["spread"][:2] = 0.0000123
    exact["volume"] = exact["volume"] + 0.0
    exact["volume"][:4] = [0.25, 7.5, 8.75, 0.0]
    write(tmp_path, exact)
    bars, notes, _ = load(tmp_path)
    assert notes == [
        "EURUSD: 6 of 1,200 prices were moved to 5 digits, by 0.4 points at most",
        "EURUSD: 2 of 300 spreads were moved to whole points, by 0.23 points at most",
        "EURUSD: 3 of 300 volumes were moved to whole numbers, by 0.5 at most",
    ]
    assert bars["EURUSD"]["close"][:3].tolist() == [1.1] * 3
    assert bars["EURUSD"]["spread"][:2].tolist() == [0.00001] * 2
    # What traded has a volume: 0 would say that none is known.
    assert bars["EURUSD"]["volume"][:4].tolist() == [1.0, 8.0, 9.0, 0.0]


@pytest.mark.parametrize(
    ("spec", "prices_", "words"),
    [
        (EURUSD, [1.170004, 1.170013], "finer than 5 digits, such as 1.170004: set digits = 6"),
        (DEFAULT_SYMBOLS["XAUUSD"], [1234.567], "set digits = 3 in [symbols.XAUUSD]"),
        (replace(EURUSD, digits=0), [1.17], "set digits = 2 in [symbols.EURUSD]"),
        (EURUSD, [1.1 / 3, 1.0 / 7], "no number of digits fits"),
        (
            DEFAULT_SYMBOLS["BTCUSD"],
            np.float32([300_000.03] * 2),
            "are finer than 2 digits, such as 300000.03125",
        ),
        (EURUSD, np.float16([1.17] * 2), "are finer than 5 digits, such as 1.169921875"),
        (DEFAULT_SYMBOLS["USDJPY"], [110.12345], "set digits = 5 in [symbols.USDJPY]"),
        (replace(EURUSD, digits=10), [1e7], "is no price of 10 digits"),
        (replace(EURUSD, digits=2), [0.001, 1.0, 1.0, 1.0], "low is 0 at 2 digits"),
    ],
)
def test_prices_of_other_digits_are_refused_with_the_digits_to_set(spec, prices_, words):
    """Most prices finer than the contract's: it is another contract."""
    with pytest.raises(DataError) as caught:
        bring_to_grid(flat([prices_[i % len(prices_)] for i in range(N)]), spec)
    assert words in str(caught.value)


def flat(closes: list[float], **columns: float) -> Bars:
    bars = np.zeros(len(closes), BAR_DTYPE)
    bars["time_ns"] = START + np.arange(len(closes)) * NS_PER_MINUTE
    for name in ("open", "high", "low", "close"):
        bars[name] = closes
    bars["spread"] = bars["volume"] = np.nan
    for name, value in columns.items():
        bars[name] = value
    return bars


@pytest.mark.parametrize(
    ("symbol", "price", "spread"),
    [
        ("EURUSD", 1.17, 8.0),
        ("EURUSD", 1.17, 0.8),
        ("USDJPY", 110.5, 9.0),
        ("USDJPY", 110.5, 0.9),
        ("XAUUSD", 1300.0, 25.0),
        ("SPXUSD", 2700.0, 50.0),
        ("BTCUSD", 7000.0, 3000.0),
    ],
)
def test_a_spread_in_points_or_pips_is_refused(symbol, price, spread):
    """Whether the unit makes it larger than the price, or only than any spread of the symbol."""
    with pytest.raises(DataError, match="not in points or pips"):
        bring_to_grid(flat([price] * N, spread=spread), DEFAULT_SYMBOLS[symbol])


def test_a_wide_spread_is_a_spread():
    """A night's, of some bars; and of all, once the contract says so."""
    bars = flat([1.17] * N, spread=0.00008)
    bars["spread"][:40] = 0.008
    assert bring_to_grid(bars, EURUSD) == []
    wide = flat([1.17] * N, spread=0.003)
    with pytest.raises(DataError, match=r"set spread_points = 300 in \[symbols.EURUSD\]"):
        bring_to_grid(wide, EURUSD)
    assert bring_to_grid(wide, replace(EURUSD, spread_points=300.0)) == []


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 6), st.lists(st.floats(0.5, 2.0), min_size=4, max_size=40), st.data())
def test_order_is_kept(digits, values, data):
    """High stays the highest, low the lowest, the ask never falls below the bid."""
    bars = flat(values)
    for bar in bars:
        four = sorted(data.draw(st.floats(0.5, 2.0)) for _ in range(4))
        bar["low"], bar["open"], bar["close"], bar["high"] = four
    bars["spread"] = data.draw(st.floats(0.0, 0.01))
    spec = replace(EURUSD, digits=digits, spread_points=1e5)
    try:
        bring_to_grid(bars, spec)
    except DataError:
        return
    assert (bars["high"] >= np.maximum(bars["open"], bars["close"])).all()
    assert (bars["low"] <= np.minimum(bars["open"], bars["close"])).all()
    assert (bars["spread"] >= 0.0).all()
    again = bars.copy()
    assert bring_to_grid(again, spec) == []
    assert again.tobytes() == bars.tobytes()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.integers(0, 6),
    st.lists(st.integers(1, 120_000), min_size=4, max_size=40),
    st.sampled_from(["float32", "scaled", "noise"]),
)
def test_any_points_come_back_as_the_doubles_of_their_decimals(digits, points, stored):
    """Whole points in 32 bits, times the point, or beside it by less than a twentieth: every
    column is Python's own decimal again, and the note counts what differed from it."""
    exact = [float(f"{k}e-{digits}") for k in points]
    kept = {
        "float32": [float(np.float32(x)) for x in exact],
        "scaled": [k * 10.0**-digits for k in points],
        "noise": [x + 0.04 * 10.0**-digits * (-1) ** i for i, x in enumerate(exact)],
    }[stored]
    bars = flat(kept)
    bars["spread"], bars["volume"] = 0.0, np.arange(len(kept)) + 0.75
    notes = bring_to_grid(bars, replace(EURUSD, digits=digits, spread_points=1e5))
    for name in ("open", "high", "low", "close"):
        assert bars[name].tolist() == exact
    assert bars["volume"].tolist() == [i + 1.0 for i in range(len(kept))]
    n_off = 4 * sum(a != b for a, b in zip(kept, exact, strict=True))
    said = f"{n_off:,} of {4 * len(kept):,} prices were moved to {digits} digits"
    assert any(said in note for note in notes) == bool(n_off)
