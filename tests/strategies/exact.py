"""The kinds once more, in fractions: what each says where nothing is rounded.

Prices are whole points. One direction a bar; None before the warm-up. Slow and short.
"""

from fractions import Fraction
from itertools import pairwise

from engine.model.signals import FLAT, HOLD, LONG, SHORT


def sign(value):
    return (value > 0) - (value < 0)


def mean(values, i, n):
    return Fraction(sum(values[i + 1 - n : i + 1]), n)


def beyond(index, low, inner, high, above, warmup):
    """Return what `strategies.indicators.levels` says; `inner` is (exit_low, exit_high)."""
    out = [None] * len(index)
    for i in range(warmup, len(index)):
        value, before = index[i], index[i - 1]
        if value is None:
            out[i] = FLAT
        elif value > high or value < low:
            out[i] = above if value > high else -above
        elif before is None:
            out[i] = FLAT
        else:
            kept = min(value, before) > inner[1] or max(value, before) < inner[0]
            out[i] = HOLD if kept else FLAT
    return out


def ma_cross(bars, params, warmup):
    close = bars["close"]
    return [
        None
        if i < warmup
        else (SHORT, HOLD, LONG)[
            1 + sign(mean(close, i, params["fast"]) - mean(close, i, params["slow"]))
        ]
        for i in range(len(close))
    ]


def bollinger_reversion(bars, params, warmup):
    """By the signed square of the deviation, which has no root."""
    close, n = bars["close"], params["period"]
    index = [None] * len(close)
    for i in range(n - 1, len(close)):
        part = close[i + 1 - n : i + 1]
        away, variance = n * close[i] - sum(part), n * sum(x * x for x in part) - sum(part) ** 2
        index[i] = Fraction(sign(away) * away * away, variance) if variance else None
    level = Fraction(str(params["deviations"])) ** 2
    return beyond(index, -level, (0, 0), level, SHORT, warmup)


def vwap_reversion(bars, params, warmup):
    """Of one UTC day, every volume unknown; by the signed square as well."""
    total = squares = n = 0
    index = []
    for i, (high, low, close) in enumerate(
        zip(bars["high"], bars["low"], bars["close"], strict=True)
    ):
        typical = high + low + close  # three times
        total, squares, n = total + typical, squares + typical * typical, n + 1
        away, variance = 3 * close * n - total, n * squares - total * total
        known = i >= params["settle_minutes"] and (variance or away)
        square = sign(away) * away * away
        far = Fraction(square, variance) if variance else sign(away) * Fraction(10**9)
        index.append(far if known else None)
    level = Fraction(str(params["deviations"])) ** 2
    return beyond(index, -level, (0, 0), level, SHORT, warmup)


def momentum(bars, params, warmup):
    close, n = bars["close"], params["period"]
    index = [Fraction(close[i], close[i - n]) if i >= n else None for i in range(len(close))]
    level = Fraction(str(params["threshold_bps"])) / 10_000
    return beyond(index, 1 - level, (1, 1), 1 + level, LONG, warmup)


def wilder(values, period):
    """Return Wilder's average from the `period`-th value on."""
    out, average = [None] * len(values), Fraction(0)
    for i in range(1, len(values)):
        if i <= period:
            average += Fraction(values[i], period)
        else:
            average += (values[i] - average) / period
        out[i] = average if i >= period else None
    return out


def rsi_reversion(bars, params, warmup):
    close, n = bars["close"], params["period"]
    ways = [0, *(b - a for a, b in pairwise(close))]
    up, down = wilder([max(w, 0) for w in ways], n), wilder([max(-w, 0) for w in ways], n)
    index = [
        None if u is None else 100 * u / (u + d) if u + d else Fraction(50)
        for u, d in zip(up, down, strict=True)
    ]
    low, middle, high = (Fraction(str(params[k])) for k in ("oversold", "exit_level", "overbought"))
    return beyond(index, low, (middle, middle), high, SHORT, warmup)


def true_ranges(bars):
    ranges = [0]
    for i in range(1, len(bars["close"])):
        before = bars["close"][i - 1]
        ranges.append(max(bars["high"][i], before) - min(bars["low"][i], before))
    return ranges


def keltner_channel(bars, params, warmup):
    close, n = bars["close"], params["period"]
    ranges = wilder(true_ranges(bars), params["atr_period"])
    index, middle = [None] * len(close), Fraction(0)
    for i, value in enumerate(close):
        middle = mean(close, i, i + 1) if i < n else middle + (value - middle) * Fraction(2, n + 1)
        if ranges[i] and i >= max(n, params["atr_period"] + 1):
            index[i] = (value - middle) / ranges[i]
    level = Fraction(str(params["width_atr"]))
    return beyond(index, -level, (0, 0), level, LONG, warmup)


def adx_trend(bars, params, warmup):
    high, low, n = bars["high"], bars["low"], params["period"]
    plus = minus = index = Fraction(0)
    keep, out = 1 - Fraction(1, n), [None] * len(high)
    for i in range(1, len(high)):
        up, down = high[i] - high[i - 1], low[i - 1] - low[i]
        plus = keep * plus + (up if up > down and up > 0 else 0)
        minus = keep * minus + (down if down > up and down > 0 else 0)
        whole = plus + minus
        directed = 100 * abs(plus - minus) / whole if whole else Fraction(0)
        index = (keep * index + directed / n).limit_denominator(10**30)
        if i >= warmup:
            out[i] = sign(plus - minus) if index > Fraction(str(params["threshold"])) else FLAT
    return out


def stochastic(bars, params, warmup):
    n = params["period"]
    place, k, d = [], [], []
    for i, close in enumerate(bars["close"]):
        if i + 1 < n:
            continue
        top, bottom = max(bars["high"][i + 1 - n : i + 1]), min(bars["low"][i + 1 - n : i + 1])
        place.append(100 * Fraction(close - bottom, top - bottom) if top > bottom else Fraction(50))
    for values, out, length in ((place, k, "slowing"), (k, d, "smoothing")):
        for i in range(params[length] - 1, len(values)):
            out.append(sum(values[i + 1 - params[length] : i + 1]) / params[length])
    out = [None] * len(bars["close"])
    for i in range(warmup, len(out)):
        fast, slow, before = k[i - len(out)], d[i - len(out)], d[i - 1 - len(out)]
        if slow < Fraction(str(params["oversold"])) and fast > slow:
            out[i] = LONG
        elif slow > Fraction(str(params["overbought"])) and fast < slow:
            out[i] = SHORT
        else:
            out[i] = FLAT if (slow - 50) * (before - 50) <= 0 else HOLD
    return out


def support_resistance(bars, params, warmup):
    n, part = params["lookback"], Fraction(str(params["zone_frac"]))
    out = [None] * len(bars["close"])
    for i in range(warmup, len(out)):
        opened, high, low, close = (bars[name][i] for name in ("open", "high", "low", "close"))
        top, bottom = max(bars["high"][i - n : i]), min(bars["low"][i - n : i])
        zone, middle, before = (
            part * (top - bottom),
            Fraction(top + bottom, 2),
            bars["close"][i - 1],
        )
        touched = min(low, before) <= middle <= max(high, before)
        if params["mode"] == "breakout":
            broken = (close > top + zone) - (close < bottom - zone)
            out[i] = broken or (FLAT if touched else HOLD)
            continue
        held = bottom <= close <= top
        if held and low <= bottom + zone and close > bottom and close > opened:
            out[i] = LONG
        elif held and high >= top - zone and close < top and close < opened:
            out[i] = SHORT
        else:
            out[i] = FLAT if touched or not held else HOLD
    return out


def mtf_trend(bars, params, warmup, higher):
    """The last closed higher bar of each bar is `higher["of"]`, an index or −1."""
    out = [None] * len(bars["close"])
    for i in range(warmup, len(out)):
        j, out[i] = higher["of"][i], FLAT
        if j + 1 >= params["slow"]:
            trend = mean(higher["close"], j, params["fast"]) - mean(
                higher["close"], j, params["slow"]
            )
            own = bars["close"][i] - mean(bars["close"], i, params["entry"])
            out[i] = sign(trend) if sign(trend) == sign(own) else FLAT
    return out


KINDS = {
    "ma_cross": (
        ma_cross,
        [{"fast": 3, "slow": 9}, {"fast": 4, "slow": 6}, {"fast": 10, "slow": 40}],
    ),
    "bollinger_reversion": (
        bollinger_reversion,
        [{"period": 5, "deviations": 2.0}, {"period": 10, "deviations": 1.0}],
    ),
    "vwap_reversion": (vwap_reversion, [{"deviations": 1.0, "settle_minutes": 5}]),
    "momentum": (
        momentum,
        [{"period": 3, "threshold_bps": 5.0}, {"period": 5, "threshold_bps": 10.0}],
    ),
    "rsi_reversion": (
        rsi_reversion,
        [{"period": 2, "oversold": 20.0, "exit_level": 50.0, "overbought": 80.0}],
    ),
    "keltner_channel": (keltner_channel, [{"period": 3, "atr_period": 2, "width_atr": 1.5}]),
    "adx_trend": (adx_trend, [{"period": 2, "threshold": 50.0}]),
    "stochastic": (
        stochastic,
        [
            {"period": 5, "slowing": 3, "smoothing": 3, "oversold": 20.0, "overbought": 80.0},
            {"period": 8, "slowing": 1, "smoothing": 2, "oversold": 25.0, "overbought": 75.0},
        ],
    ),
    "support_resistance": (
        support_resistance,
        [
            {"lookback": 8, "zone_frac": 0.1, "mode": "reversion"},
            {"lookback": 8, "zone_frac": 0.2, "mode": "breakout"},
        ],
    ),
}
