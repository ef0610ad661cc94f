"""Measure the server's offset from UTC while ticks arrive, and compare it with the rule.

Only a tick that was seen to arrive measures. One that stood there may be of any age: after whole
half-hours of silence it would look like another offset, or make a wrong rule look right.
"""

from typing import Final

import msgspec

from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_MS

_HALF_HOUR_NS: Final = NS_PER_HOUR // 2
# Ticks travel, and clocks are seconds apart; offsets are half-hours apart.
_TOLERANCE_NS: Final = 2 * NS_PER_MINUTE
# A tick that is new since a look longer ago has no known moment of arrival.
_LOOK_MOST_NS: Final = NS_PER_MINUTE
# A measurement holds so long; brokers change their clocks, boxes lose theirs.
_HOLDS_NS: Final = NS_PER_HOUR


class ClockState(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the server's clock. `offset_ns`: None until measured.

    `wrong`: the offset was measured and is not the rule's: every time would be shifted.
    `problem`: why no entry may be sent, "" when the rule has been confirmed.
    """

    rule: str
    rule_offset_ns: int
    offset_ns: int | None
    wrong: bool
    problem: str


class ClockMeter:
    """Takes every look at a tick; `now_ns` is this box's UTC, or the simulated one."""

    def __init__(self, rule: str) -> None:
        self._rule = rule
        self._clock = ServerClock(rule)
        self._seen: dict[str, tuple[int, int]] = {}
        self._distance_ns = 0
        self._measured_ns: int | None = None

    def look(self, symbol: str, time_msc: int, now_ns: int) -> None:
        """Take a look at a symbol's last tick; `time_msc` 0 is none yet."""
        before_msc, looked_ns = self._seen.get(symbol, (0, 0))
        self._seen[symbol] = time_msc, now_ns
        if time_msc != before_msc and before_msc and 0 <= now_ns - looked_ns <= _LOOK_MOST_NS:
            self._distance_ns = time_msc * NS_PER_MS - now_ns
            self._measured_ns = now_ns

    @property
    def wrong(self) -> bool:
        """Whether the newest measurement is an offset, and not the rule's."""
        offset_ns = self._offset_ns()
        return offset_ns is not None and offset_ns not in self._allowed_ns()

    def state(self, now_ns: int) -> ClockState:
        """Return what is known now."""
        return ClockState(
            rule=self._rule,
            rule_offset_ns=self._clock.offset_ns(now_ns),
            offset_ns=self._offset_ns(),
            wrong=self.wrong,
            problem=self._problem(now_ns),
        )

    def _offset_ns(self) -> int | None:
        """Return the newest measurement, None when there is none or it is no offset."""
        near_ns = (self._distance_ns + _HALF_HOUR_NS // 2) // _HALF_HOUR_NS * _HALF_HOUR_NS
        odd = abs(self._distance_ns - near_ns) > _TOLERANCE_NS
        return None if odd or self._measured_ns is None else near_ns

    def _allowed_ns(self) -> list[int]:
        """Return the rule's offset; at a change both, for ticks from before that arrive after."""
        assert self._measured_ns is not None
        around = (0, -_TOLERANCE_NS, _TOLERANCE_NS)
        return [self._clock.offset_ns(self._measured_ns + away_ns) for away_ns in around]

    def _problem(self, now_ns: int) -> str:
        if self._measured_ns is None:
            return "server clock not measured: no tick has arrived yet"
        offset_ns = self._offset_ns()
        if offset_ns is None:
            minutes = self._distance_ns / NS_PER_MINUTE
            return (
                f"server clock not measured: a new tick is {minutes:+.1f} min from UTC, "
                "not near a multiple of 30: set this box's clock"
            )
        rule_ns = self._allowed_ns()
        if offset_ns not in rule_ns:
            return (
                f"server clock is UTC{offset_ns / NS_PER_HOUR:+g} h by its newest tick, "
                f"but rule {self._rule!r} says UTC{rule_ns[0] / NS_PER_HOUR:+g} h: "
                "set terminal.server_clock to the broker's rule"
            )
        silent_min = (now_ns - self._measured_ns) // NS_PER_MINUTE
        if silent_min > _HOLDS_NS // NS_PER_MINUTE:
            return f"server clock not measured: no tick has arrived for {silent_min} min"
        return ""
