"""A user's file of strategies that keep to the contract, with the libraries that users take."""

import dataclasses
import datetime as dt
import enum
import functools
import math
import warnings
from typing import Annotated

import numba
import numpy as np
import pandas as pd
import talib
from msgspec import Meta
from talib import abstract

from engine.kernels.compiled import kernel
from engine.model.signals import FLAT, HOLD, LONG, SHORT
from engine.model.times import NS_PER_MINUTE, Timeframe
from strategies.base import Input, Params, Signals, Strategy, last_closed
from strategies.indicators import ema_settle_bars, mean_std, sma

WEIGHTS = np.array([0.2, 0.3, 0.5])
NAMES = {"fast", "slow"}


class Side(enum.Enum):
    """Which way."""

    UP = LONG
    DOWN = SHORT


@dataclasses.dataclass(frozen=True)
class Levels:
    """Where it turns."""

    low: float = 30.0
    high: float = 70.0


class PeriodParams(Params, frozen=True, kw_only=True):
    """One length."""

    period: Annotated[int, Meta(ge=2, le=500, description="length")] = 20


class Base(Strategy):
    """Turns a gap into signals; has no kind of its own, but needs one to be a class."""

    kind = "honest_gap"
    params_type = PeriodParams

    @property
    def warmup(self):
        return self.params.period

    def evaluate(self, bars, *others):
        return self.said(bars.close - sma(bars.close, self.params.period), bars.n)

    def said(self, gap, n):
        warmup = self.warmup
        direction, confidence = np.full(n, FLAT, np.int8), np.zeros(n)
        direction[warmup:] = np.sign(gap[warmup:])
        confidence[warmup:] = np.minimum(np.abs(gap[warmup:]) * 1e3, 1.0)
        return self.signals(direction, confidence)


class ZScore(Base):
    """NumPy alone, with a stop a bar."""

    kind = "honest_zscore"

    def evaluate(self, bars, *others):
        mean, std = mean_std(bars.close, self.params.period)
        with np.errstate(all="ignore"):
            z = np.where(std > 0, (bars.close - mean) / std, 0.0)
        direction, confidence, *_ = self.said(z, bars.n)
        stop = np.where(np.isnan(std) | (std <= 0), np.nan, 3.0 * std)
        return Signals(direction, confidence, stop, np.full(bars.n, np.nan))


class SlidingWindows(Base):
    """Views of NumPy's own of the bars, a window each."""

    kind = "honest_sliding"

    def evaluate(self, bars, *others):
        n = self.params.period
        windows = np.lib.stride_tricks.sliding_window_view(bars.close, n)
        middle = np.full(bars.n, np.nan)
        middle[n - 1 :] = (windows.max(axis=1) + windows.min(axis=1)) / 2
        return self.said(bars.close - middle, bars.n)


class TalibRsi(Base):
    """TA-Lib's RSI with HOLD between the levels."""

    kind = "honest_talib_rsi"
    levels = Levels()

    @property
    def warmup(self):
        return 14 * 12

    def evaluate(self, bars, *others):
        rsi = talib.RSI(bars.close, 14)
        said = np.full(bars.n, HOLD, np.int8)
        said[rsi < self.levels.low] = Side.UP.value
        said[rsi > self.levels.high] = Side.DOWN.value
        said[: self.warmup] = FLAT
        confidence = np.where(np.arange(bars.n) < self.warmup, 0.0, 0.7)
        return self.signals(said, confidence)


class TalibBands(Base):
    """TA-Lib's ATR and bands, and its abstract interface."""

    kind = "honest_talib_bands"

    @property
    def warmup(self):
        return 400

    def evaluate(self, bars, *others):
        width = talib.ATR(bars.high, bars.low, bars.close, 14)
        middle = abstract.Function("SMA")(bars.close, timeperiod=30)
        gap = np.where(np.abs(bars.close - middle) > width, bars.close - middle, 0.0)
        return self.said(gap, bars.n)


class PandasRolling(Base):
    """A rolling median of pandas'."""

    kind = "honest_pandas_rolling"

    def evaluate(self, bars, *others):
        close = pd.Series(bars.close, index=pd.to_datetime(bars.time_ns, utc=True))
        middle = close.rolling(self.params.period).median()
        return self.said((close - middle).to_numpy(), bars.n)


class PandasFrame(Base):
    """A frame, a mean of each hour so far, times of a zone of its own."""

    kind = "honest_pandas_frame"

    def evaluate(self, bars, *others):
        frame = pd.DataFrame({"close": bars.close, "high": bars.high, "low": bars.low})
        times = pd.DatetimeIndex(pd.to_datetime(bars.time_ns, utc=True)).tz_convert("Europe/Berlin")
        frame["typical"] = frame.mean(axis=1)
        hour = np.asarray(times.hour)
        ahead = frame["typical"].diff(self.params.period).fillna(0.0).to_numpy()
        return self.said(np.where((hour >= 8) & (hour < 20), ahead, 0.0), bars.n)


class PandasEwm(Base):
    """An exponential mean of pandas'."""

    kind = "honest_pandas_ewm"

    @property
    def warmup(self):
        return ema_settle_bars(self.params.period)

    def evaluate(self, bars, *others):
        mean = pd.Series(bars.close).ewm(span=self.params.period, adjust=False).mean()
        gap = bars.close - mean.to_numpy()
        return self.said(np.where(np.abs(gap) > 2e-5, gap, 0.0), bars.n)


@kernel
def _runs(close):
    out = np.zeros(len(close))
    for i in range(3, len(close)):
        up, down = 0, 0
        for j in range(i - 2, i + 1):
            up += close[j] > close[j - 1]
            down += close[j] < close[j - 1]
        out[i] = up - down
    return out


@numba.njit
def _halved(values):
    return values / 2.0


class Compiled(Base):
    """Loops compiled with pmpro's kernel and with numba's own."""

    kind = "honest_compiled"

    def evaluate(self, bars, *others):
        return self.said(_halved(_runs(bars.close)) * 1e-3, bars.n)


class OwnDice(Base):
    """Weights drawn from a generator of its own, the same at every call."""

    kind = "honest_own_dice"

    def evaluate(self, bars, *others):
        weights = np.random.default_rng(7).dirichlet(np.ones(5))
        lagged = sum(w * np.roll(bars.close, i) for i, w in enumerate(weights))
        return self.said(bars.close - lagged, bars.n)


class TimesOfDay(Base):
    """The hour of a bar by plain arithmetic and by a date of UTC."""

    kind = "honest_times"

    def evaluate(self, bars, *others):
        minute = bars.time_ns // NS_PER_MINUTE % 1440
        first = dt.datetime.fromtimestamp(int(bars.time_ns[0]) // 10**9, dt.UTC)
        weekday = (bars.time_ns // NS_PER_MINUTE // 1440 + 3) % 7
        quiet = (minute < 60) | (weekday >= 5) | (first.year < 2000)
        return self.said(np.where(quiet, 0.0, bars.close - sma(bars.close, 20)), bars.n)


class HoursByPandas(Base):
    """An hour that pandas reads, without the day that it makes up."""

    kind = "honest_hours"

    def evaluate(self, bars, *others):
        opens, closes = pd.Timestamp("09:30").time(), pd.to_datetime("16:00", format="%H:%M").hour
        minute = bars.time_ns // NS_PER_MINUTE % 1440
        inside = (minute >= opens.hour * 60 + opens.minute) & (minute < closes * 60)
        return self.said(np.where(inside, bars.close - sma(bars.close, 20), 0.0), bars.n)


class WarnsOpenly(Base):
    """Divides by nothing as it is, and Python notes that it has said so."""

    kind = "honest_warns_openly"

    def evaluate(self, bars, *others):
        change = np.log(bars.close / np.roll(bars.close, 1)) / (bars.high - bars.high)
        with np.errstate(invalid="raise"):
            warnings.warn(f"{bars.n} bars", stacklevel=1)
        return self.said(np.nan_to_num(change, posinf=1e-3, neginf=-1e-3), bars.n)


class Sorted(Base):
    """A set of texts, sorted; and memberships."""

    kind = "honest_sorted"

    def evaluate(self, bars, *others):
        total = np.zeros(bars.n)
        for name in sorted(NAMES):
            total += sma(bars.close, 5 if "fast" in NAMES and name == "fast" else 20)
        return self.said(2 * bars.close - total, bars.n)


class Warns(Base):
    """Divides by nothing, and leaves what is not a number out."""

    kind = "honest_warns"

    def evaluate(self, bars, *others):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            change = np.log(bars.close / np.roll(bars.close, 1)) / (bars.high - bars.low)
        return self.said(np.nan_to_num(change, posinf=0.0, neginf=0.0) * 1e-4, bars.n)


class Several(Base):
    """Another symbol and a higher timeframe."""

    kind = "honest_several"
    n_symbols = 2

    @property
    def inputs(self):
        return (*super().inputs, Input(self.symbol, Timeframe.H1, 24))

    def evaluate(self, bars, *others):
        other, hours = others
        beside, above = (
            last_closed(bars.close_ns, other.close_ns),
            last_closed(bars.close_ns, hours.close_ns),
        )
        trend = np.where(above >= 3, hours.close[above] - hours.close[above - 3], 0.0)
        moved = np.where(beside >= 5, other.close[beside] / other.close[beside - 5] - 1.0, 0.0)
        return self.said(np.where(trend * moved > 0, moved, 0.0), bars.n)


class Precomputed(Base):
    """What it needs is made in the beginning, and a method is only looked at."""

    kind = "honest_precomputed"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.shape = np.hanning(self.params.period + 2)[1:-1]
        self.shape /= self.shape.sum()
        self.names = {n: math.sqrt(n) for n in range(10)}

    def evaluate(self, bars, *others):
        mean = np.full(bars.n, np.nan)
        n = len(self.shape)
        windows = np.lib.stride_tricks.sliding_window_view(bars.close, n)
        mean[n - 1 :] = (windows * self.shape).sum(axis=1)
        return self.said((bars.close - mean) * self.names[4], bars.n)


@functools.lru_cache(maxsize=64)
def binomial(n):
    """Return weights: a pure function's results may be remembered."""
    return tuple(math.comb(n, k) / 2**n for k in range(n + 1))


class Remembered(Base):
    """Weights of a pure function that remembers: a warning, no more."""

    kind = "honest_remembered"

    def evaluate(self, bars, *others):
        weights = binomial(8)
        mean = sum(w * np.roll(bars.close, k) for k, w in enumerate(weights))
        return self.said(bars.close - mean, bars.n)

    @property
    def warmup(self):
        return 60
