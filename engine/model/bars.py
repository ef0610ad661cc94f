"""Bars and ticks as NumPy records.

A bar's time is its open, UTC. Prices are bid. `spread` is in price units, NaN where unknown;
`volume` is a tick count, NaN where unknown.
"""

import numpy as np
import numpy.typing as npt

BAR_DTYPE = np.dtype(
    [
        ("time_ns", "<i8"),
        ("open", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("volume", "<f8"),
        ("spread", "<f8"),
    ]
)

Bars = npt.NDArray[np.void]
"""(n,) of BAR_DTYPE, strictly increasing in `time_ns`."""
