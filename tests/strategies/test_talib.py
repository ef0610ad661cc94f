"""`strategies.talib`: TA-Lib's values, those of the compiled indicators, and anchored windows."""

import subprocess
import sys

import numpy as np
import pytest

from engine.model.times import NS_PER_MINUTE
from strategies import indicators as compiled
from strategies import talib as facade
from tests.conftest import REPO
from tests.strategies.series import bars_at, utc

N = 3_000
MADE = bars_at(utc("2018-03-05 00:00") + np.arange(N) * NS_PER_MINUTE, 5)
HIGH, LOW, CLOSE = (np.ascontiguousarray(MADE[name]) for name in ("high", "low", "close"))


def moved(values, period):
    """Return the change over `period` bars, NaN before the first."""
    return np.concatenate([np.full(period, np.nan), values[period:] - values[:-period]])


def moved_percent(values, period):
    return 100.0 * moved(values, period) / (values - moved(values, period))


# By name: prices taken, the same by compiled indicators or by hand, and the bars to settle.
WAYS = {
    "ADX": ("hlc", lambda *a: compiled.adx(*a)[0], lambda p: 2 * facade.wilder_settle_bars(p)),
    "ATR": ("hlc", compiled.atr, facade.wilder_settle_bars),
    "EMA": ("c", compiled.ema, facade.ema_settle_bars),
    "MAX": ("h", compiled.highest, None),
    "MIN": ("l", compiled.lowest, None),
    "MINUS_DI": ("hlc", lambda *a: compiled.adx(*a)[2], facade.wilder_settle_bars),
    "MOM": ("c", moved, None),
    "PLUS_DI": ("hlc", lambda *a: compiled.adx(*a)[1], facade.wilder_settle_bars),
    "ROC": ("c", moved_percent, None),
    "RSI": ("c", compiled.rsi, facade.wilder_settle_bars),
}
PERIODS = (2, 5, 14, 63)


def prices(letters, first=0, last=N):
    columns = {"h": HIGH, "l": LOW, "c": CLOSE}
    return [columns[letter][first:last].copy() for letter in letters]


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("name", WAYS)
def test_values_are_those_of_the_compiled_indicators(name, period):
    """To 1e-12 of the value; MOM is a difference of prices, so of the price."""
    letters, other, _ = WAYS[name]
    mine = getattr(facade, name)(*prices(letters), period)
    expected = other(*prices(letters), period)
    assert np.array_equal(np.isnan(mine), np.isnan(expected))
    has = ~np.isnan(mine)
    if name == "RSI":  # where nothing moved TA-Lib says 0
        has &= ~((expected == 50.0) & (mine == 0.0))
    scale = 1e-12 * (100.0 if name == "ROC" else 1.0)
    assert np.allclose(mine[has], expected[has], rtol=1e-12, atol=scale * (name in ("MOM", "ROC")))


def test_macd_is_the_compiled_one():
    """Line and mean to 1e-12 of the price; the histogram is their difference."""
    line, mean, histogram = facade.MACD(CLOSE, 12, 26, 9)
    for mine, expected in zip((line, mean), compiled.macd(CLOSE, 12, 26, 9), strict=True):
        assert np.allclose(mine, expected, rtol=0, atol=1e-12, equal_nan=True)
    assert np.array_equal(histogram, line - mean, equal_nan=True)


@pytest.mark.parametrize("name", WAYS)
def test_later_bars_change_no_bit(name):
    """A backtest's whole window and live's window so far say the same about a bar."""
    letters, _, _ = WAYS[name]
    function = getattr(facade, name)
    whole = function(*prices(letters), 14)
    for cut in (1, 15, 200, N - 1):
        assert function(*prices(letters, last=cut), 14).tobytes() == whole[:cut].tobytes()


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("name", WAYS)
def test_where_the_window_began_wears_off(name, period):
    """After the bars to settle a window's beginning weighs less than 1e-4 of the scale; what looks
    at `period` bars alone does not know it by a bit."""
    letters, _, settle = WAYS[name]
    function = getattr(facade, name)
    first = 1_000
    whole = function(*prices(letters), period)[first:]
    later = function(*prices(letters, first=first), period)
    if settle is None:
        assert later[period:].tobytes() == whole[period:].tobytes()
        return
    settled = 2 * period + settle(period)
    span = np.nanmax(whole) - np.nanmin(whole)
    assert np.max(np.abs(later[settled:] - whole[settled:])) < 1e-4 * span


def test_importing_it_imports_no_pandas():
    """A strategy host pays for what its strategies use; TA-Lib alone would import pandas."""
    code = "import sys, strategies.talib; sys.exit('pandas' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=REPO, check=True, timeout=60)
