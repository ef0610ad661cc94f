"""Time units, timeframes and anchors. All times are UTC, int64 nanoseconds (`*_ns`)."""

import enum
from datetime import UTC, datetime

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_S
NS_PER_HOUR = 60 * NS_PER_MINUTE
NS_PER_DAY = 24 * NS_PER_HOUR

# Nanoseconds in 64 bits end in 2262; nobody means a later date.
FIRST_DATE, LAST_DATE = "1970-01-01", "2169-12-31"
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_AFTER_LAST = datetime(2170, 1, 1, tzinfo=UTC)
FAR_NS = int(_AFTER_LAST.timestamp()) * NS_PER_S
"""No bar and no period lies at or after this."""


class Timeframe(enum.IntEnum):
    """A bar's length in minutes."""

    M1 = 1
    M5 = 5
    M15 = 15
    M30 = 30
    H1 = 60
    H4 = 240
    D1 = 1440

    @property
    def ns(self) -> int:
        """Length in nanoseconds."""
        return int(self) * NS_PER_MINUTE


def anchor_ns(timeframe: Timeframe, time_ns: int) -> int:
    """Return the last anchor at or before `time_ns` (UTC).

    The window of a bar starts `warmup` bars before its anchor, so that a recursive
    indicator gives the same digits whenever the process was started:
    M1 day; M5 week (Monday); M15 and M30 month; H1 quarter; H4 and D1 year.
    """
    if timeframe == Timeframe.M1:
        return time_ns - time_ns % NS_PER_DAY
    day = datetime.fromtimestamp(time_ns // NS_PER_S, UTC).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    if timeframe == Timeframe.M5:
        return int(day.timestamp()) * NS_PER_S - day.weekday() * NS_PER_DAY
    if timeframe in (Timeframe.M15, Timeframe.M30):
        first = day.replace(day=1)
    elif timeframe == Timeframe.H1:
        first = day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
    else:
        first = day.replace(month=1, day=1)
    return int(first.timestamp()) * NS_PER_S


def iso_utc(time_ns: int) -> str:
    """Return ISO 8601 UTC, whole seconds where the time is one."""
    text = datetime.fromtimestamp(time_ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    rest_ns = time_ns % NS_PER_S
    return f"{text}.{rest_ns:09d}".rstrip("0") + "Z" if rest_ns else text + "Z"


def to_datetime(time_ns: int) -> datetime:
    """Return an aware UTC datetime, cut to microseconds."""
    seconds, rest_ns = divmod(time_ns, NS_PER_S)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest_ns // 1000)


def utc_minute(text: str) -> int:
    """Return nanoseconds of a date or an ISO 8601 time on a whole minute; no zone means UTC.

    Raises:
        ValueError: the text is none, or lies outside `FIRST_DATE` to `LAST_DATE`; the message
            says what is allowed and follows the text.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is no date: write 2018-06-01 or 2018-06-01T13:05") from None
    if moment.second or moment.microsecond:
        raise ValueError("must be a whole minute")
    return from_datetime(in_range(moment))


def in_range(moment: datetime) -> datetime:
    """Return an aware datetime; no zone means UTC.

    Raises:
        ValueError: it lies outside `FIRST_DATE` to `LAST_DATE`; the message follows the datetime.
    """
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    # Aware times of different zones compare without overflow.
    if not _FIRST <= aware < _AFTER_LAST:
        raise ValueError(f"is out of range: write a date from {FIRST_DATE} to {LAST_DATE}")
    return aware


def from_datetime(moment: datetime) -> int:
    """Return nanoseconds of an aware datetime."""
    if moment.tzinfo is None:
        raise ValueError(f"naive datetime {moment}: give it a time zone")
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * NS_PER_S + moment.microsecond * 1000
