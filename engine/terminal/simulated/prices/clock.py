"""The simulated clock of real-time mode: simulated UTC that runs at a speed and can jump."""

from collections.abc import Callable


class SimClock:
    """Simulated now: `start_ns` plus elapsed real time × `speed`.

    `monotonic_ns` is the box's monotonic clock. Speed 0 stands still.
    """

    def __init__(self, start_ns: int, speed: float, monotonic_ns: Callable[[], int]) -> None:
        self._monotonic_ns = monotonic_ns
        self._base_ns = start_ns
        self._base_real_ns = monotonic_ns()
        self._speed = speed

    @property
    def speed(self) -> float:
        """Simulated seconds per second."""
        return self._speed

    def now_ns(self) -> int:
        """Return simulated UTC."""
        elapsed_ns = self._monotonic_ns() - self._base_real_ns
        return self._base_ns + int(elapsed_ns * self._speed)

    def set_speed(self, speed: float) -> None:
        """Go on from now at another speed."""
        self.jump(self.now_ns())
        self._speed = speed

    def jump(self, to_ns: int) -> None:
        """Go on from `to_ns`."""
        self._base_ns = to_ns
        self._base_real_ns = self._monotonic_ns()
