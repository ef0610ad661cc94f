"""Watch the terminal between requests: changed quotes at once, closed bars as batches.

Batch T (a minute boundary) holds every watched symbol's quote and the closed M1 bars not sent
before, from the terminal's own `copy_rates`. It is due when every symbol with a forming bar has
ticked at T or later, or T + grace has passed by the terminal's clock; and only if some bar closed
at T or some symbol has a tick at T or later. A minute that was slept through gives no batch of its
own: its bars come with the next one. While the server's clock is known not to be the rule's there
is none at all: its bars would be shifted.
"""

import time
from collections.abc import Callable
from typing import Final, TypeVar

import numpy as np
import structlog

from engine.model.backoff import Backoff
from engine.model.bars import BAR_DTYPE
from engine.model.broker import MarketUpdate, Quote
from engine.model.errors import BrokerError
from engine.model.times import NS_PER_MINUTE, NS_PER_MS
from engine.terminal.host.session import TerminalSession
from engine.terminal.protocol import CallFailed, HostConfig

# A tick this far ahead of the terminal's clock cannot announce a minute.
_SKEW_NS: Final = NS_PER_MINUTE
# What one read may ask for; terminals keep about as many.
_BARS_MOST: Final = 100_000
_RECONNECT_FIRST_S: Final = 2.0
_RECONNECT_MOST_S: Final = 30.0
# After a connection that was made.
_RECONNECT_REST_S: Final = 1.0
_log = structlog.get_logger(__name__)
T = TypeVar("T")


class Watcher:
    """What has been told of the watched symbols, and what is new.

    `clock`: monotonic, nanoseconds; between tries to reconnect.
    """

    def __init__(
        self,
        session: TerminalSession,
        config: HostConfig,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._session = session
        self._grace_ns = int(config.batch_grace_ms * NS_PER_MS)
        self._heartbeat_s = config.heartbeat_ms / 1000
        self._stepped = config.stepped
        self._quotes: dict[str, Quote | None] = {}
        self._next_open_ns: dict[str, int] = {}
        self._batch_ns = 0
        self._looked_ns = 0
        self._told_s = time.monotonic()
        self._reconnects = Backoff(_RECONNECT_FIRST_S, _RECONNECT_MOST_S, clock)

    def watch(self, names: list[str], from_ns: int) -> None:
        """Watch these symbols; bars of new ones from `from_ns` on come with the batches."""
        for name in names:
            self._session.facts(name)
        if not self._next_open_ns:
            self._batch_ns = _minute(self._session.now_ns())
        self._quotes = {name: self._quotes.get(name) for name in names}
        self._next_open_ns = {name: self._next_open_ns.get(name, from_ns) for name in names}

    def poll(self) -> list[MarketUpdate]:
        """Return what is new; at least a heartbeat once in a while."""
        if not self._quotes:
            return []
        if not self._session.connected:
            self._reconnect()
        if self._stepped:
            return []
        update = self._tried(self._look)
        self._tried(self._session.renew_facts)  # that fails alone: a batch was looked for before
        silent_s = time.monotonic() - self._told_s
        if update is None and silent_s < self._heartbeat_s:
            return []
        if update is None:
            update = self._update([], connected=self._session.online())
        self._told_s = time.monotonic()
        return [update]

    def _tried(self, what: Callable[[], T]) -> T | None:
        """Return what it returns; None where it fails, or there is no connection."""
        try:
            return what() if self._session.connected else None
        except BrokerError as error:
            _log.warning("terminal_poll_failed", error=str(error))
            return None

    def batch(self, batch_ns: int) -> MarketUpdate:
        """Return batch T, whatever has ticked: the one way a batch is made."""
        return self._commit(batch_ns, self._new_bars(batch_ns), self._all_quotes())

    def _look(self) -> MarketUpdate | None:
        changed = self._changed_quotes()
        if self._session.shifted:
            return self._update(changed) if changed else None
        now_ns = self._session.now_ns()
        ticks_ns = [q.time_ns for q in self._quotes.values() if q is not None]
        newest_ns = max((t for t in ticks_ns if t <= now_ns + _SKEW_NS), default=0)
        batch_ns = _minute(max(now_ns, newest_ns))
        if batch_ns > self._batch_ns:
            ticked = newest_ns >= batch_ns
            waiting = any(batch_ns - NS_PER_MINUTE <= t < batch_ns for t in ticks_ns)
            late = now_ns >= batch_ns + self._grace_ns
            if ticked and (late or not waiting):
                return self.batch(batch_ns)
            if late and self._looked_ns != batch_ns:
                self._looked_ns = batch_ns
                bars = self._new_bars(batch_ns)
                if bars:
                    return self._commit(batch_ns, bars, self._all_quotes())
        return self._update(changed) if changed else None

    def _changed_quotes(self) -> list[Quote]:
        changed = []
        for name, before in self._quotes.items():
            quote = self._session.quote(name)
            if quote != before and quote.time_ns:  # zero right after a symbol was selected
                self._quotes[name] = quote
                changed.append(quote)
        return changed

    def _all_quotes(self) -> list[Quote]:
        self._changed_quotes()
        return [quote for quote in self._quotes.values() if quote is not None]

    def _new_bars(self, batch_ns: int) -> dict[str, bytes]:
        """Return closed bars not sent before; a symbol that cannot be read has none for now."""
        found = {}
        for name, next_ns in self._next_open_ns.items():
            if next_ns >= batch_ns:
                continue
            count = min((batch_ns - next_ns) // NS_PER_MINUTE + 2, _BARS_MOST)
            try:
                bars = self._session.newest_rates(name, count, batch_ns)
            except CallFailed as error:
                if not self._session.connected:
                    raise
                _log.warning("terminal_rates_failed", symbol=name, error=str(error))
                continue
            bars = bars[bars["time_ns"] >= next_ns]
            if len(bars):
                found[name] = bars.tobytes()
        return found

    def _commit(self, batch_ns: int, bars: dict[str, bytes], quotes: list[Quote]) -> MarketUpdate:
        for name, data in bars.items():
            last_open_ns = int(np.frombuffer(data, BAR_DTYPE)["time_ns"][-1])
            self._next_open_ns[name] = last_open_ns + NS_PER_MINUTE
        self._batch_ns = batch_ns
        return self._update(quotes, batch_ns=batch_ns, bars=bars)

    def _update(
        self,
        quotes: list[Quote],
        *,
        batch_ns: int = 0,
        bars: dict[str, bytes] | None = None,
        connected: bool = True,
    ) -> MarketUpdate:
        return MarketUpdate(
            market_ns=max(self._session.now_ns(), batch_ns),
            batch_ns=batch_ns,
            quotes=quotes,
            bars=bars or {},
            connected=connected,
            doubt=self._session.clock().problem if connected else "",
        )

    def _reconnect(self) -> None:
        """The module never reconnects by itself after the terminal restarted."""
        if not self._reconnects.may_try():
            return
        try:
            self._session.connect()
            self._reconnects.succeeded(_RECONNECT_REST_S)
            _log.info("terminal_reconnected")
        except BrokerError as error:
            _log.warning("terminal_reconnect_failed", error=str(error))
            self._reconnects.failed()


def _minute(time_ns: int) -> int:
    return time_ns - time_ns % NS_PER_MINUTE
