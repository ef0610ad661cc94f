"""When the terminal showed a new minute's first tick, and when orders came: for benchmarks.

While on, two functions of one simulated terminal are wrapped; while off there is nothing to pay.
Times are this box's monotonic clock, one for all of its processes.
"""

import time
from collections.abc import Callable
from typing import Any

_MINUTE_MS = 60_000


class Trace:
    """What a terminal's caller has seen and sent since `start`.

    `seen_ns`: a pair (minute of the tick, server's clock; when it was returned) for each minute's
    first tick. `sent_ns`: every entry into `order_send`.
    """

    def __init__(self, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._monotonic_ns = monotonic_ns
        self._minute = 0
        self.seen_ns: list[tuple[int, int]] = []
        self.sent_ns: list[int] = []

    def start(self, terminal: Any) -> None:
        """Wrap the functions of a terminal; the wrappers shadow its methods."""
        show, send = terminal.symbol_info_tick, terminal.order_send

        def symbol_info_tick(*args: Any) -> Any:
            tick = show(*args)
            if tick is not None and tick.time_msc // _MINUTE_MS > self._minute:
                self._minute = tick.time_msc // _MINUTE_MS
                self.seen_ns.append((self._minute, self._monotonic_ns()))
            return tick

        def order_send(*args: Any, **request: Any) -> Any:
            self.sent_ns.append(self._monotonic_ns())
            return send(*args, **request)

        terminal.symbol_info_tick, terminal.order_send = symbol_info_tick, order_send

    def stop(self, terminal: Any) -> None:
        """Take the wrappers away."""
        del terminal.symbol_info_tick, terminal.order_send
