"""When trading sessions open: wall clocks of their cities, daylight saving included."""

from functools import lru_cache

import numpy as np

from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_DAY, NS_PER_HOUR
from strategies.base import Times

OPENS = {"london": ("Europe/London", 8), "new_york": ("America/New_York", 8)}
"""Zone and hour of the wall clock at which foreign exchange opens there."""

_CLOCKS = {session: ServerClock(zone) for session, (zone, _) in OPENS.items()}


@lru_cache(maxsize=16_384)
def open_ns(session: str, day: int) -> int:
    """Return when a session opens, UTC, on a date given as days since 1970-01-01."""
    _, hour = OPENS[session]
    return _CLOCKS[session].to_utc_ns(day * NS_PER_DAY + hour * NS_PER_HOUR)


def opens_ns(session: str, first_day: int, last_day: int) -> Times:
    """Return the opens of all dates from one to another, (n,) int64 UTC."""
    return np.array([open_ns(session, day) for day in range(first_day, last_day + 1)], np.int64)
