"""The broker's wall clock: its offset from UTC and its calendar days.

Rules: `new_york+7` (New York local time plus whole hours, the clock of most MetaTrader
brokers, so that the trading day ends at 17:00 New York), an IANA zone such as
`Europe/Athens`, or a fixed `UTC`, `UTC+2`, `UTC-5:30`.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt

from engine.model.errors import ConfigError
from engine.model.times import NS_PER_DAY, NS_PER_HOUR, NS_PER_S

_NEW_YORK = re.compile(r"new_york([+-]\d{1,2})?")
_FIXED = re.compile(r"UTC(?:([+-])(\d{1,2})(?::([0-5]\d))?)?")
# No clock of the world is further from UTC; New York is four or five hours behind it.
_FIXED_MAX_MINUTES = 14 * 60
_NEW_YORK_HOURS = range(-9, 19)
_ALLOWED = (
    "use new_york+7 (new_york-9 to new_york+18), an IANA zone such as Europe/Athens, "
    "or UTC-14 to UTC+14"
)


class ServerClock:
    """Offset of the broker's wall clock from UTC under a named rule."""

    def __init__(self, rule: str) -> None:
        self.rule = rule
        self._shift_ns = 0
        if match := _NEW_YORK.fullmatch(rule):
            hours = int(match[1] or 0)
            if hours not in _NEW_YORK_HOURS:
                raise ConfigError(f"server clock {rule!r} is no broker's: {_ALLOWED}")
            self._zone: ZoneInfo | timezone = ZoneInfo("America/New_York")
            self._shift_ns = hours * NS_PER_HOUR
        elif match := _FIXED.fullmatch(rule):
            minutes = int(match[2] or 0) * 60 + int(match[3] or 0)
            if minutes > _FIXED_MAX_MINUTES:
                raise ConfigError(f"server clock {rule!r} is no broker's: {_ALLOWED}")
            self._zone = timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))
        else:
            try:
                self._zone = ZoneInfo(rule)
            except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a directory's name
                raise ConfigError(f"server clock {rule[:60]!r} is unknown: {_ALLOWED}") from None
        self._offset_of_hour = lru_cache(maxsize=4096)(self._compute_offset)

    def offset_ns(self, utc_ns: int) -> int:
        """Return server wall clock minus UTC at `utc_ns`."""
        return self._offset_of_hour(utc_ns // (NS_PER_HOUR // 2))

    def _compute_offset(self, half_hour: int) -> int:
        moment = datetime.fromtimestamp(half_hour * 1800, UTC).astimezone(self._zone)
        offset = moment.utcoffset()
        assert offset is not None
        return int(offset.total_seconds()) * NS_PER_S + self._shift_ns

    def offsets_ns(self, utc_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the offset of each time, (n,) int64; they increase."""
        if not len(utc_ns):
            return np.empty(0, np.int64)
        changes_ns, offsets_ns = self.changes(int(utc_ns[0]), int(utc_ns[-1]))
        if len(offsets_ns) == 1:
            return np.full(len(utc_ns), offsets_ns[0])
        return offsets_ns[np.searchsorted(changes_ns, utc_ns, side="right") - 1]

    def changes(
        self, first_ns: int, last_ns: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return since when each offset from `first_ns` to `last_ns` is in force, and the offsets.

        Both are (n,) int64, n ≥ 1; the first one begins at or before `first_ns`. No offset is in
        force for less than a day.
        """
        half_hour_ns = NS_PER_HOUR // 2
        since = [first_ns // NS_PER_DAY * NS_PER_DAY]
        offsets = [self.offset_ns(since[0])]
        for midnight_ns in range(since[0], last_ns + 1, NS_PER_DAY):
            if self.offset_ns(midnight_ns + NS_PER_DAY) == offsets[-1]:
                continue
            for at_ns in range(
                midnight_ns + half_hour_ns, midnight_ns + NS_PER_DAY + 1, half_hour_ns
            ):
                if self.offset_ns(at_ns) != offsets[-1]:
                    since.append(at_ns)
                    offsets.append(self.offset_ns(at_ns))
        return np.array(since, np.int64), np.array(offsets, np.int64)

    def to_server_ns(self, utc_ns: int) -> int:
        """Return the server's wall clock, as if it were an epoch."""
        return utc_ns + self.offset_ns(utc_ns)

    def to_utc_ns(self, server_ns: int) -> int:
        """Return UTC of a server wall clock; in a repeated hour the later reading."""
        near = {self.offset_ns(server_ns - NS_PER_DAY), self.offset_ns(server_ns + NS_PER_DAY)}
        readings = [server_ns - o for o in near if self.offset_ns(server_ns - o) == o]
        # A wall time that daylight saving skips has no instant; take the offset before.
        return max(readings, default=server_ns - self.offset_ns(server_ns - NS_PER_DAY))

    def day(self, utc_ns: int) -> int:
        """Return the server's calendar day as days since 1970-01-01."""
        return self.to_server_ns(utc_ns) // NS_PER_DAY

    def days(self, utc_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the server's calendar day of each time, (n,) int64."""
        return (utc_ns + self.offsets_ns(utc_ns)) // NS_PER_DAY
