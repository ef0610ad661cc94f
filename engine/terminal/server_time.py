"""Broker wall clock, encoded as an epoch, to UTC nanoseconds and back: the only place that knows.

MetaTrader's `time` (seconds) and `time_msc` (milliseconds) count from 1970 on the server's wall
clock; date arguments likewise. In the hour that daylight saving repeats, a wall time has two
readings: the later one, unless that lies in the future of `now_ns`.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.model.errors import BrokerError
from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_MS, NS_PER_S

_HALF_HOUR_NS: Final = NS_PER_HOUR // 2
# Clocks change at least weeks apart: times closer than this with one offset at both ends have one.
_SETTLED_NS: Final = 7 * NS_PER_DAY
# Ticks may be stamped a little ahead of this box's clock.
_AHEAD_NS: Final = 5 * NS_PER_MINUTE
# A tick older than this measures the market's silence, not the server's offset.
_OFFSET_TOLERANCE_NS: Final = 2 * NS_PER_MINUTE
_NEVER_NS: Final = 1 << 62


class ServerTime:
    """Conversion under one rule."""

    def __init__(self, rule: str) -> None:
        self.clock = ServerClock(rule)
        self._readings = lru_cache(maxsize=4096)(self._compute_readings)

    def from_ms(self, time_msc: int, now_ns: int = _NEVER_NS) -> int:
        """Return UTC ns of a `time_msc`; 0 (never) stays 0."""
        return self._utc_ns(int(time_msc) * NS_PER_MS, now_ns) if time_msc else 0

    def from_seconds(self, time_s: int, now_ns: int = _NEVER_NS) -> int:
        """Return UTC ns of a `time`; 0 (never) stays 0."""
        return self._utc_ns(int(time_s) * NS_PER_S, now_ns) if time_s else 0

    def to_seconds(self, utc_ns: int) -> int:
        """Return the server epoch in whole seconds, as date arguments want it."""
        return self.clock.to_server_ns(utc_ns) // NS_PER_S

    def bars_from_seconds(
        self, time_s: npt.NDArray[np.int64], now_ns: int = _NEVER_NS
    ) -> npt.NDArray[np.int64]:
        """Return UTC ns of bar times, (n,) oldest first; where they step back, an hour repeats."""
        server_ns = time_s.astype(np.int64) * NS_PER_S
        if (offset_ns := self._only_offset(server_ns)) is not None:
            return server_ns - offset_ns
        keys, inverse = np.unique(server_ns // _HALF_HOUR_NS, return_inverse=True)
        later, earlier = self._offsets(keys)
        utc_ns = server_ns - later[inverse]
        first_ns = server_ns - earlier[inverse]
        utc_ns = np.where(utc_ns > now_ns + _AHEAD_NS, first_ns, utc_ns)
        steps_back = np.flatnonzero(np.diff(utc_ns) <= 0)
        if len(steps_back):
            until = steps_back[-1] + 1
            utc_ns[:until] = first_ns[:until]
        return utc_ns

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


def check_offset(rule: str, tick_times_msc: Iterable[int], utc_ns: int) -> int:
    """Measure server minus UTC from the newest tick and return it, in ns.

    Raises BrokerError when no tick is fresh enough to measure (the offset is then not near a
    multiple of 30 minutes), or when the measured offset is not the rule's.
    """
    newest_ns = max(tick_times_msc, default=0) * NS_PER_MS
    if not newest_ns:
        raise BrokerError("server clock not measured: no symbol has a tick yet")
    measured_ns = newest_ns - utc_ns
    rounded_ns = (measured_ns + _HALF_HOUR_NS // 2) // _HALF_HOUR_NS * _HALF_HOUR_NS
    if abs(measured_ns - rounded_ns) > _OFFSET_TOLERANCE_NS:
        raise BrokerError(
            f"server clock not measured: the newest tick is {measured_ns / NS_PER_MINUTE:+.1f} min "
            "from UTC, not near a multiple of 30 (market closed, or this box's clock is wrong)"
        )
    rule_ns = ServerClock(rule).offset_ns(utc_ns)
    if rounded_ns != rule_ns:
        raise BrokerError(
            f"server clock is UTC{rounded_ns / NS_PER_HOUR:+g} h by its newest tick, but rule "
            f"{rule!r} says UTC{rule_ns / NS_PER_HOUR:+g} h: set server_clock to the broker's rule"
        )
    return rounded_ns
