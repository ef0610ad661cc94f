"""Ticks inside a minute: a pure function of the bar, going open, extreme, extreme, close."""

import numpy as np
import numpy.typing as npt

from engine.model.times import NS_PER_MINUTE, NS_PER_MS
from engine.terminal.simulated.prices.generated import hash_key, hashed, uniforms
from engine.terminal.simulated.prices.prices import Bar

N_MIN, N_MAX = 20, 60
CLOSE_OFFSET_NS = NS_PER_MINUTE - NS_PER_MS
"""A bar's last tick comes one millisecond before the minute ends."""


def bar_ticks(
    symbol: str, bar: Bar, digits: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return times (n,) ns, increasing whole milliseconds, and bids (n,); 20 ≤ n ≤ 60.

    The first tick is the open at the bar's open time, the last the close; the highest and the
    lowest are the bar's.
    """
    key = hash_key(symbol, bar.time_ns)
    bits = int(hashed(key, np.zeros(1, np.int64))[0])
    n = min(max(int(bar.volume), N_MIN), N_MAX) if bar.volume == bar.volume else N_MIN + bits % 41
    first = 1 + (bits >> 8) % (n // 2 - 1)
    second = n // 2 + (bits >> 24) % (n // 2 - 1)
    # A rising bar usually makes its low first.
    low_first = (bits >> 40) % 10 < (7 if bar.close >= bar.open else 3)
    ends = (bar.low, bar.high) if low_first else (bar.high, bar.low)
    anchors = np.array([0, first, second, n - 1])
    index = np.arange(n)
    bids = np.interp(index, anchors, [bar.open, *ends, bar.close])
    bids += (uniforms(key, index + 1) - 0.5) * 0.2 * (bar.high - bar.low)
    scale = 10.0**digits
    bids = np.clip(np.rint(bids * scale) / scale, bar.low, bar.high)
    bids[anchors] = (bar.open, *ends, bar.close)
    slot_ms = CLOSE_OFFSET_NS // NS_PER_MS / n
    # A slot's last milliseconds stay free: two ticks are never at the same one.
    places = index + uniforms(key, index + 1 + n) * (1.0 - 2.0 / slot_ms)
    times_ms = np.floor(places * slot_ms).astype(np.int64)
    times_ms[0], times_ms[-1] = 0, CLOSE_OFFSET_NS // NS_PER_MS
    return bar.time_ns + times_ms * NS_PER_MS, bids
