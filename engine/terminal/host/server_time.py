"""Broker wall clock, encoded as an epoch, to UTC nanoseconds and back: the only place that knows.

MetaTrader's `time` (seconds) and `time_msc` (milliseconds) count from 1970 on the server's wall
clock; date arguments likewise. In the hour that daylight saving repeats, a wall time has two
readings: the later one, unless that lies in the future of `now_ns`.
"""

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_MS, NS_PER_S

_HALF_HOUR_NS: Final = NS_PER_HOUR // 2
# Clocks change at least weeks apart: times closer than this with one offset at both ends have one.
_SETTLED_NS: Final = 7 * NS_PER_DAY
# Ticks may be stamped a little ahead of this box's clock.
_AHEAD_NS: Final = 5 * NS_PER_MINUTE
_NEVER_NS: Final = 1 << 62
_NEAR_HALF_HOURS: Final = 8


class ServerTime:
    """Conversion under one rule."""

    def __init__(self, rule: str) -> None:
        self.clock = ServerClock(rule)
        self._readings = lru_cache(maxsize=4096)(self._compute_readings)
        self._repeats_before = lru_cache(maxsize=64)(self._compute_repeats)

    def from_ms(self, time_msc: int, now_ns: int = _NEVER_NS) -> int:
        """Return UTC ns of a `time_msc`; 0 (never) stays 0."""
        return self._utc_ns(int(time_msc) * NS_PER_MS, now_ns) if time_msc else 0

    def to_seconds(self, utc_ns: int) -> int:
        """Return the server epoch in whole seconds, as date arguments want it."""
        return self.clock.to_server_ns(utc_ns) // NS_PER_S

    def bars_from_seconds(
        self, time_s: npt.NDArray[np.int64], now_ns: int = _NEVER_NS
    ) -> npt.NDArray[np.int64]:
        """Return UTC ns of bar times, (n,) oldest first; 0 where it cannot be told.

        In the hour that happens twice, bars tell by stepping back where the second time begins,
        or by lying ahead of `now_ns` otherwise. Where they do neither, a gap is better than bars
        that are an hour off.
        """
        server_ns = time_s.astype(np.int64) * NS_PER_S
        if (offset_ns := self._only_offset(server_ns)) is not None:
            return server_ns - offset_ns
        keys, inverse = np.unique(server_ns // _HALF_HOUR_NS, return_inverse=True)
        later, earlier = self._offsets(keys)
        utc_ns = server_ns - later[inverse]
        first_ns = server_ns - earlier[inverse]
        twice = np.flatnonzero(utc_ns != first_ns)
        for run in np.split(twice, np.flatnonzero(np.diff(twice) > 1) + 1):
            if not len(run):
                continue
            steps_back = np.flatnonzero(np.diff(server_ns[run]) <= 0)
            if len(steps_back):
                run = run[: steps_back[-1] + 1]
                utc_ns[run] = first_ns[run]
            elif utc_ns[run[-1]] > now_ns + _AHEAD_NS:
                utc_ns[run] = first_ns[run]
            else:
                utc_ns[run] = 0
        return utc_ns

    def repeats_near(self, now_ns: int) -> bool:
        """Whether an hour that happens twice lies within the last few hours."""
        return self._repeats_before(now_ns // _HALF_HOUR_NS)

    def _compute_repeats(self, half_hour: int) -> bool:
        for back in range(_NEAR_HALF_HOURS):
            utc_ns = (half_hour - back) * _HALF_HOUR_NS
            later, earlier = self._readings(self.clock.to_server_ns(utc_ns) // _HALF_HOUR_NS)
            if later != earlier:
                return True
        return False

    def _only_offset(self, server_ns: npt.NDArray[np.int64]) -> int | None:
        """Return the offset of all these times, None where there may be more than one."""
        if not len(server_ns) or server_ns[-1] - server_ns[0] >= _SETTLED_NS:
            return None
        ends = (self._readings(int(at_ns) // _HALF_HOUR_NS) for at_ns in server_ns[[0, -1]])
        offsets_ns = {offset_ns for pair in ends for offset_ns in pair}
        return offsets_ns.pop() if len(offsets_ns) == 1 else None

    def _offsets(
        self, keys: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the offsets of the later and of the earlier reading of server half-hours."""
        later = np.empty(len(keys), np.int64)
        earlier = np.empty(len(keys), np.int64)
        for i, key in enumerate(keys.tolist()):
            later[i], earlier[i] = self._readings(key)
        return later, earlier

    def _compute_readings(self, half_hour: int) -> tuple[int, int]:
        server_ns = half_hour * _HALF_HOUR_NS
        utc_ns = self.clock.to_utc_ns(server_ns)
        return server_ns - utc_ns, server_ns - self._earlier(server_ns, utc_ns)

    def _earlier(self, server_ns: int, later_ns: int) -> int:
        """Return the other reading of a repeated hour, else the same one."""
        before = server_ns - self.clock.offset_ns(later_ns - 2 * NS_PER_HOUR)
        repeated = before < later_ns and self.clock.to_server_ns(before) == server_ns
        return before if repeated else later_ns

    def _utc_ns(self, server_ns: int, now_ns: int) -> int:
        utc_ns = self.clock.to_utc_ns(server_ns)
        return self._earlier(server_ns, utc_ns) if utc_ns > now_ns + _AHEAD_NS else utc_ns
