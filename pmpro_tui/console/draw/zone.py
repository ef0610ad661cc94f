"""The time zone that times are shown in."""

from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from engine.model.times import NS_PER_S, from_datetime

UTC_NAME: Final = "UTC"
LOCAL_NAME: Final = "local"


class Zone:
    """UTC, the box's own ("local"), or one named as in the tz database."""

    def __init__(self) -> None:
        self.name = UTC_NAME
        self._info: tzinfo | None = UTC
        self._configured = UTC_NAME

    def configure(self, name: str) -> None:
        """Take the zone that the configuration names."""
        self._configured = name
        self._take(name)

    def cycle(self) -> None:
        """Take the next of UTC, local, and the configured one."""
        names = list(dict.fromkeys((UTC_NAME, LOCAL_NAME, self._configured)))
        self._take(names[(names.index(self.name) + 1) % len(names)])

    def at(self, time_ns: int) -> datetime:
        """Return a time in this zone."""
        return datetime.fromtimestamp(time_ns // NS_PER_S, UTC).astimezone(self._info)

    def clock(self, time_ns: int) -> str:
        """Return the time of day."""
        return f"{self.at(time_ns):%H:%M:%S}"

    def stamp(self, time_ns: int) -> str:
        """Return date and time of day."""
        return f"{self.at(time_ns):%m-%d %H:%M:%S}"

    def moment_ns(self, text: str, now_ns: int) -> int:
        """Return what was typed: the last such time of day before `now_ns`, or a date and time.

        Raises:
            ValueError: it is neither.
        """
        now = self.at(now_ns)
        try:
            of_day = time.fromisoformat(text)
            before = timedelta(days=of_day.replace(tzinfo=None) > now.time())
            at = datetime.combine(now.date() - before, of_day)
        except ValueError:
            at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            at = at.astimezone() if self._info is None else at.replace(tzinfo=self._info)
        return from_datetime(at)

    def label(self, time_ns: int) -> str:
        """Return the zone's short name at a time."""
        return f"{self.at(time_ns):%Z}" or self.name

    def _take(self, name: str) -> None:
        self.name = name
        self._info = UTC if name == UTC_NAME else None if name == LOCAL_NAME else ZoneInfo(name)
