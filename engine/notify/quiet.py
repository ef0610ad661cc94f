"""Quiet hours of a channel: what is not critical waits for their end."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from engine.model.errors import ConfigError
from engine.model.times import NS_PER_S

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


class Quiet(msgspec.Struct, frozen=True, kw_only=True):
    """From `start` to `end`, minutes of the zone's day; over midnight where `end` is first."""

    start: int = 0
    end: int = 0
    zone: str = "UTC"

    def until(self, now_ns: int) -> str:
        """Return when the quiet hours end, "" outside them."""
        if self.start == self.end:
            return ""
        now = datetime.fromtimestamp(now_ns // NS_PER_S, ZoneInfo(self.zone))
        minute = 60 * now.hour + now.minute
        within = self.start <= minute < self.end
        if self.start > self.end:
            within = minute >= self.start or minute < self.end
        return f"{self.end // 60:02}:{self.end % 60:02} {self.zone}" if within else ""


NEVER = Quiet()


def quiet_hours(hours: str, zone: str) -> Quiet:
    """Return quiet hours such as 22:00-07:00 in a time zone; "" is never.

    Raises:
        ConfigError: neither, or no such zone.
    """
    try:
        ZoneInfo(zone)
    except (ValueError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ConfigError(f"no time zone is named {zone!r}") from error
    except KeyError:
        raise ConfigError(f"no time zone is named {zone!r}") from None
    if not hours:
        return Quiet(zone=zone)
    found = _HOURS.fullmatch(hours)
    if found is None:
        raise ConfigError(f"must be hours such as 22:00-07:00, not {hours!r}")
    start_hour, start_minute, end_hour, end_minute = map(int, found.groups())
    return Quiet(start=60 * start_hour + start_minute, end=60 * end_hour + end_minute, zone=zone)
