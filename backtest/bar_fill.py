"""Columns to bars in one pass over a year of them."""

from typing import Final

import numpy as np
import numpy.typing as npt

from engine.model.bars import Bars
from engine.model.compiled import core_kernel

Times = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

VOLUME_MOST: Final = 1e15
"""Far above any bar's; above it whole numbers get lost."""


@core_kernel
def fill_bars(
    out: Bars,
    time_ns: Times,
    opens: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    volume: Floats,
    spread: Floats,
) -> bool:
    """Write the columns, (n,) each, into `out`; tell whether all prices may be right.

    That is: above 0 and finite, open and close from low to high; spread and volume 0 or more and
    finite, or NaN.
    """
    wrong = False
    for i in range(len(out)):
        bar = out[i]
        bar["time_ns"] = time_ns[i]
        bar["open"] = opens[i]
        bar["high"] = high[i]
        bar["low"] = low[i]
        bar["close"] = close[i]
        bar["volume"] = volume[i]
        bar["spread"] = spread[i]
        # Between a low above 0 and a finite high everything is; NaN is between nothing.
        wrong |= not ((low[i] > 0.0) & (high[i] < np.inf))
        wrong |= not ((low[i] <= opens[i]) & (opens[i] <= high[i]))
        wrong |= not ((low[i] <= close[i]) & (close[i] <= high[i]))
        wrong |= (spread[i] < 0.0) | (spread[i] == np.inf)
        wrong |= (volume[i] < 0.0) | (volume[i] > VOLUME_MOST)
    return not wrong
