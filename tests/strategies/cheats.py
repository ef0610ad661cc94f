"""Strategies that are not what they seem: each breaks one rule that the checker looks after."""

import random

import numpy as np

from engine.model.signals import FLAT, HOLD, LONG, SHORT
from engine.model.times import NS_PER_MINUTE, Timeframe
from strategies.base import Input, Params, Signals, Strategy, last_closed
from strategies.indicators import ema, sma

PERIOD = 20
WEEK_MINUTES = 7 * 1440


class Honest(Strategy):
    """With the side of the average that the close is on, while it is far from it."""

    kind = "honest"
    params_type = Params
    warmup = PERIOD

    def evaluate(self, bars, *others):
        return self.signals(*self.said(bars.close - self.average(bars.close), bars.n))

    def average(self, close):
        return sma(close, PERIOD)

    def said(self, gap, n):
        direction, confidence = np.full(n, FLAT, np.int8), np.zeros(n)
        gap = gap[self.warmup :]
        near, far = np.abs(gap) < 1e-5, np.abs(gap) > 2e-4
        direction[self.warmup :] = np.select([near, far], [FLAT, np.sign(gap)], HOLD)
        confidence[self.warmup :] = np.where(near, 0.0, np.minimum(np.abs(gap) * 1e3, 1.0))
        return direction, confidence


class CentredWindow(Honest):
    """An average of bars before and after."""

    def average(self, close):
        return np.convolve(close, np.ones(21) / 21, "same")


class NextBar(Honest):
    """The close of the bar to come: shift(-1)."""

    def evaluate(self, bars, *others):
        return self.signals(
            *self.said(np.append(bars.close[1:], bars.close[-1]) - bars.open, bars.n)
        )


class WholeWindow(Honest):
    """Normalised by mean and deviation of all there is."""

    def average(self, close):
        return np.full(len(close), close.mean() + 1e-3 * close.std())


class ConfidentBeforehand(Honest):
    """Only the confidence knows what comes."""

    def said(self, gap, n):
        direction, confidence = super().said(gap, n)
        right = np.append(np.sign(gap[1:]) == np.sign(gap[:-1]), False)
        return direction, np.where(right & (confidence > 0), 1.0, confidence)


class StopBeforehand(Honest):
    """Only the stop knows what comes: it lies just beyond the next low."""

    def evaluate(self, bars, *others):
        direction, confidence, *_ = super().evaluate(bars)
        ahead = np.append(bars.close[1:] - bars.low[1:], 1e-3)
        return Signals(direction, confidence, ahead + 1e-5, np.full(bars.n, 1e-2))


class RareNextBar(Honest):
    """One bar a week knows the bar to come; else it is honest about knowing nothing."""

    def evaluate(self, bars, *others):
        direction, confidence = np.full(bars.n, FLAT, np.int8), np.zeros(bars.n)
        now = bars.time_ns // NS_PER_MINUTE % WEEK_MINUTES == 2_000
        i = np.flatnonzero(now[:-1] & (np.arange(bars.n - 1) >= self.warmup))
        direction[i] = np.where(bars.close[i + 1] > bars.close[i], LONG, SHORT)
        confidence[i] = 1.0
        return self.signals(direction, confidence)


class SeesACrash(Honest):
    """Stays out on days with a crash to come, and such days are rare."""

    def said(self, gap, n):
        direction, confidence = super().said(gap, n)
        if np.nanmax(np.abs(gap)) > 0.02:
            return np.full(n, FLAT, np.int8), np.zeros(n)
        return direction, confidence


class HigherBars(Honest):
    """Reads closed bars of one hour as well."""

    @property
    def inputs(self):
        return (*super().inputs, Input(self.symbol, Timeframe.H1, 5))

    def evaluate(self, bars, *others):
        (hours,) = others
        at = self.at(bars, hours)
        level = np.where(at >= 0, hours.close[at], bars.close)
        return self.signals(*self.said(bars.close - level, bars.n))

    def at(self, bars, hours):
        return last_closed(bars.close_ns, hours.close_ns)


class FormingBar(HigherBars):
    """Takes the hour that a bar lies in, long before it is closed."""

    def at(self, bars, hours):
        return np.searchsorted(hours.time_ns, bars.time_ns, side="right") - 1


class OtherSymbol(Honest):
    """Reads closed bars of another symbol as well."""

    n_symbols = 2
    ahead_ns = 0

    def evaluate(self, bars, *others):
        (other,) = others
        at = last_closed(bars.close_ns + self.ahead_ns, other.close_ns)
        moved = other.close[at] / other.close[np.maximum(at - 5, 0)] - 1.0
        return self.signals(*self.said(moved, bars.n))


class OtherSymbolAhead(OtherSymbol):
    """The other symbol's next bar."""

    ahead_ns = NS_PER_MINUTE


class ShortWarmup(Honest):
    """An exponential average that has hardly begun."""

    warmup = 1

    def average(self, close):
        out = np.empty(len(close))
        out[0] = close[0]
        for i in range(1, len(close)):
            out[i] = out[i - 1] + 0.02 * (close[i] - out[i - 1])
        return out


class NearlySettled(Honest):
    """An average that is settled for directions, not for the digits of confidence."""

    warmup = 100

    def average(self, close):
        return ema(close, PERIOD)


class Random(Honest):
    """Throws a coin."""

    def said(self, gap, n):
        direction, confidence = super().said(gap, n)
        return direction, np.where(confidence > 0, random.random(), confidence)


class Remembers(Honest):
    """Says something else at every call."""

    calls = 0

    def said(self, gap, n):
        self.calls += 1
        direction, confidence = super().said(gap, n)
        return direction, confidence / self.calls


class Process(Honest):
    """Depends on the order in which this process hashes."""

    kind = "process"

    def said(self, gap, n):
        direction, confidence = super().said(gap, n)
        return direction, confidence * (0.5 + hash("chance") % 1000 / 2000)


class Writes(Honest):
    """Leaves the bars other than they were."""

    def evaluate(self, bars, *others):
        bars.close[:] = np.round(bars.close, 5) + 1e-9
        return super().evaluate(bars)


class WrongType(Honest):
    """Directions as whole numbers of another size."""

    def said(self, gap, n):
        direction, confidence = super().said(gap, n)
        return direction.astype(np.int64), confidence


class SpeaksInWarmup(Honest):
    """Is LONG before it knows anything."""

    def said(self, gap, n):
        direction, confidence = super().said(gap, n)
        direction[0], confidence[0] = LONG, 1.0
        return direction, confidence


class NeedsALongWindow(Honest):
    """Fails at the first bars after its warm-up."""

    def said(self, gap, n):
        return super().said(gap + 0.0 * gap[self.warmup + 9], n)


class NeverFires(Honest):
    """Nothing is ever good enough."""

    def said(self, gap, n):
        return np.full(n, FLAT, np.int8), np.zeros(n)


class LongOnly(Honest):
    """Half of it never happens, and it has no stop."""

    def evaluate(self, bars, *others):
        direction, confidence, *_ = super().evaluate(bars)
        return Signals(np.where(direction == SHORT, FLAT, direction), confidence, np.nan, np.nan)
