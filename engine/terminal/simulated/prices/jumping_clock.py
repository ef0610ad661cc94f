"""A server's clock that may be set wrong: from a moment on it is off its rule."""

from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_HOUR, NS_PER_S

_HALF_HOUR_NS = NS_PER_HOUR // 2


class JumpingClock(ServerClock):
    """The rule's clock until `set_off`; bars and ticks, old deals not, are shifted with it."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self._since_ns = 0
        self._off_ns = 0

    def set_off(self, now_ns: int, off_s: int) -> None:
        """Be off the rule from the half hour of `now_ns` on, and on it before."""
        self._since_ns = now_ns - now_ns % _HALF_HOUR_NS
        self._off_ns = off_s * NS_PER_S

    def offset_ns(self, utc_ns: int) -> int:
        """Return server wall clock minus UTC at `utc_ns`."""
        return super().offset_ns(utc_ns) + (self._off_ns if utc_ns >= self._since_ns else 0)
