"""The compiled indicators: TA-Lib's values to 1e-12, and no lookahead."""

import numpy as np
import pytest
import talib

from engine.model.times import NS_PER_MINUTE
from strategies import indicators
from tests.strategies.series import bars_at, utc

START = utc("2018-03-05 00:00")
N = 700


def bars(seed=4):
    """Return high, low and close of a random walk."""
    made = bars_at(START + np.arange(N) * NS_PER_MINUTE, seed)
    return [np.ascontiguousarray(made[name]) for name in ("high", "low", "close")]


def both(name, period, high, low, close):
    """Return an indicator's arrays, and those of TA-Lib."""
    match name:
        case "sma":
            return [indicators.sma(close, period)], [talib.SMA(close, period)]
        case "ema":
            return [indicators.ema(close, period)], [talib.EMA(close, period)]
        case "rsi":
            return [indicators.rsi(close, period)], [talib.RSI(close, period)]
        case "atr":
            prices = high, low, close
            return [indicators.atr(*prices, period)], [talib.ATR(*prices, period)]
        case "highest":
            return [indicators.highest(high, period)], [talib.MAX(high, period)]
        case "lowest":
            return [indicators.lowest(low, period)], [talib.MIN(low, period)]
        case "adx":
            mine = indicators.adx(high, low, close, period)
            names = (talib.ADX, talib.PLUS_DI, talib.MINUS_DI)
            return mine, [function(high, low, close, period) for function in names]
        case "stochastic":
            mine = indicators.stochastic(high, low, close, period, 3, 5)
            return mine, talib.STOCH(high, low, close, period, 3, 0, 5, 0)
    lengths = period, 2 * period + 1, 9
    return indicators.macd(close, *lengths), talib.MACD(close, *lengths)[:2]


NAMES = ("sma", "ema", "rsi", "atr", "highest", "lowest", "adx", "stochastic", "macd")


@pytest.mark.parametrize("period", [2, 3, 4, 5, 14, 16, 17, 63, 64, 65, 200])
@pytest.mark.parametrize("name", NAMES)
def test_talib_says_the_same(name, period):
    """From its first value on to 1e-12 of the scale: the index's, or the price's for MACD."""
    mine, theirs = both(name, period, *bars())
    for one, other in zip(mine, theirs, strict=True):
        has = ~np.isnan(other)
        assert has.any()
        assert np.array_equal(np.isnan(one), ~has) or name == "stochastic"  # %K begins earlier
        if name == "rsi":  # where nothing moved TA-Lib says 0
            has &= ~((one == 50.0) & (other == 0.0))
        assert np.allclose(one[has], other[has], rtol=1e-12, atol=1e-13 if name == "macd" else 0)


@pytest.mark.parametrize("cut", [1, 2, 30, 301, 699])
@pytest.mark.parametrize("name", NAMES)
def test_later_values_change_no_bit(name, cut):
    """A value depends on nothing after it, and too few values are NaN."""
    prices = bars()
    mine, _ = both(name, 14, *prices)
    earlier, _ = both(name, 14, *(column[:cut].copy() for column in prices))
    for one, other in zip(mine, earlier, strict=True):
        assert one[:cut].tobytes() == other.tobytes()


def test_nothing_moved_is_the_middle():
    """Equal prices: RSI and %K are 50, ADX and ATR 0, all averages the price, to the last bit."""
    close = np.full(300, 1.10007)
    assert np.all(indicators.rsi(close, 14)[14:] == 50.0)
    assert np.all(indicators.stochastic(close, close, close, 14, 3, 3)[1][18:] == 50.0)
    assert np.all(indicators.atr(close, close, close, 14)[14:] == 0.0)
    assert np.all(indicators.adx(close, close, close, 14)[0][27:] == 0.0)
    assert np.all(indicators.ema(close, 14)[13:] == 1.10007)
    assert np.all(indicators.macd(close, 12, 26, 9)[0][33:] == 0.0)
    assert np.isnan(indicators.z_score(close, 14)).all()


def test_a_z_score_is_the_deviation_from_the_mean():
    """It is what mean and standard deviation say."""
    close = bars()[2]
    mean, std = indicators.mean_std(close, 20)
    z = indicators.z_score(close, 20)
    assert np.allclose(z[19:] * std[19:], (close - mean)[19:], rtol=0, atol=1e-14)
