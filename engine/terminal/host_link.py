"""The engine's end of the terminal host: deadlines, restarts, and what a failure means.

A host that misses a deadline is dead when its caller hears of it. A supervisor thread starts the
next one, which waits for the old one's lock file; calls wait for it inside their own deadline.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import structlog

from engine.child.parent import Child, ChildError, ChildFailed, ChildGone, ChildTimeout
from engine.model.backoff import Backoff
from engine.model.errors import BrokerError, NotSent, OutcomeUnknown, PmproError, StateError
from engine.model.printable import printable, printable_value
from engine.model.times import NS_PER_S
from engine.terminal import protocol as p
from engine.terminal.turnstile import Turnstile

T = TypeVar("T")
Ask = Callable[[Any, type[Any], float], Any]
"""(operation, type of its result, deadline in seconds) -> result."""

_BACKOFF_FIRST_S: Final = 0.25
_BACKOFF_MOST_S: Final = 30.0
_BACKOFF_WINDOW_NS: Final = 300 * NS_PER_S
_log = structlog.get_logger(__name__)
_encode = msgspec.msgpack.Encoder().encode
_decode_reply = msgspec.msgpack.Decoder(p.TerminalReply).decode


class HostLink:
    """Exactly one terminal host at a time, and calls to it.

    `prepare` brings a new host to where the old one was, before others may call it. `on_event`
    and `on_lost` run on the reader thread. `clock`: monotonic, nanoseconds.
    """

    def __init__(
        self,
        config: p.HostConfig,
        *,
        start_s: float,
        prepare: Callable[[Ask], None],
        on_event: Callable[[bytes], None],
        on_lost: Callable[[], None],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._config = config
        self._remote = config.remote is not None
        self._start_s = start_s
        self._prepare = prepare
        self._on_event = on_event
        self._on_lost = on_lost
        self._turnstile = Turnstile()
        self._state_lock = threading.Lock()
        self._child: Child | None = None
        self._ready = threading.Event()
        self._lost = threading.Event()
        self._closing = threading.Event()
        self._clock = clock
        self._backoff = Backoff(_BACKOFF_FIRST_S, _BACKOFF_MOST_S, clock)
        self._starts_ns: deque[int] = deque()
        self._supervisor = threading.Thread(
            target=self._supervise, name="terminal-supervisor", daemon=True
        )

    @property
    def pid(self) -> int:
        """The present host's process id, 0 while there is none."""
        child = self._child
        return child.pid if child is not None and child.alive else 0

    @property
    def restarts(self) -> int:
        """Hosts started lately, the present one not counted."""
        return max(0, len(self._starts_ns) - 1)

    @property
    def n_waiting(self) -> int:
        """Calls that wait for another one to end."""
        return self._turnstile.n_waiting

    def start(self) -> None:
        """Start the first host; what it cannot do is raised here."""
        self._launch()
        self._supervisor.start()

    def close(self, grace_s: float) -> None:
        """Let the call under way end, inside the grace, then end the host."""
        self._closing.set()
        self._lost.set()
        child = self._child
        try:
            with self._turnstile.turn(-1, timeout_s=grace_s):
                if child is not None:
                    child.close(grace_s)
        except TimeoutError:
            if child is not None:
                child.kill()
                child.close(0.0)
        if self._supervisor.is_alive():
            self._supervisor.join(grace_s)

    def ask(self, op: Any, result_type: type[T], *, timeout_s: float, priority: int) -> T:
        """Do one operation inside the deadline, waiting for a host and for more urgent calls.

        NotSent: the host has certainly not seen it. OutcomeUnknown: an order it may have sent.
        """
        deadline_s = time.monotonic() + timeout_s
        if self._closing.is_set():
            raise NotSent("the gateway is closed")
        if not self._ready.wait(timeout_s):
            raise NotSent(f"no terminal host within {timeout_s:g} s; it is being restarted")
        try:
            with self._turnstile.turn(priority, timeout_s=deadline_s - time.monotonic()):
                child = self._child
                if child is None or not self._ready.is_set():
                    raise NotSent("the terminal host has ended; it is being restarted")
                try:
                    return self._call(child, op, result_type, deadline_s - time.monotonic())
                finally:
                    if child.killed or not child.alive:  # the next caller shall wait for the next
                        self._ended(child)
        except TimeoutError as error:
            raise NotSent(f"terminal host busy: {error}") from None

    def _ended(self, child: Child) -> None:
        """Drop a host, once, and wake the supervisor; a killed one may still be ending."""
        with self._state_lock:
            if child is not self._child or self._closing.is_set():
                return
            self._child = None
            self._ready.clear()
            self._lost.set()
        _log.error("terminal_host_lost", pid=child.pid, exit_code=child.exit_code)
        self._on_lost()

    def _supervise(self) -> None:
        while True:
            self._lost.wait()
            if self._closing.wait(self._pause_s()):
                return
            self._lost.clear()
            try:
                self._launch()
            except PmproError as error:
                _log.error("terminal_host_failed", error=str(error), starts=len(self._starts_ns))
                self._lost.set()
            except Exception:
                _log.exception("terminal_host_failed", starts=len(self._starts_ns))
                self._lost.set()

    def _pause_s(self) -> float:
        """Return how long to wait before the next start, by the starts of the last minutes."""
        since_ns = self._clock() - _BACKOFF_WINDOW_NS
        while self._starts_ns and self._starts_ns[0] < since_ns:
            self._starts_ns.popleft()
        return self._backoff.pause_s(len(self._starts_ns) - 1)

    def _launch(self) -> None:
        """Start a host and prepare it; publish it only when it is where the old one was."""
        self._starts_ns.append(self._clock())
        holder: list[Child] = []
        child = Child(
            "engine.terminal.link.bridge" if self._remote else "engine.terminal.host.process",
            [] if self._remote else [str(self._config.poll_ms)],
            name="terminal host",
            log_path=Path(self._config.log_path) if self._config.log_path else None,
            on_event=self._on_event,
            on_exit=lambda _code: self._ended(holder[0]) if holder else None,
        )
        holder.append(child)
        try:
            open_s = self._start_s + self._config.lock_wait_s
            self._call(child, p.Open(config=self._config), type(None), open_s)
            self._prepare(lambda op, result, timeout_s: self._call(child, op, result, timeout_s))
            with self._state_lock:
                # One that ends from here on is noticed by `_ended`.
                if not child.alive:
                    raise BrokerError(f"terminal host ended at once with code {child.exit_code}")
                self._child = child
                self._ready.set()
        except BaseException:
            child.kill()
            child.close(0.0)
            raise
        _log.info("terminal_host_started", pid=child.pid, starts=len(self._starts_ns))

    def _call(self, child: Child, op: Any, result_type: type[T], timeout_s: float) -> T:
        """Call the host and say in broker's terms what went wrong."""
        is_order = isinstance(op, p.ORDER_OPS)
        parts: list[bytes] = []
        try:
            body = child.call(_encode(op), timeout_s=timeout_s, on_frame=parts.append)
            reply = _decode_reply(parts[-1] if is_order else body)
            if reply.failure is None:
                result = msgspec.msgpack.decode(reply.result, type=result_type)
                # Another box may run another version, or lie.
                return printable_value(result) if self._remote else result
        except (ChildError, msgspec.MsgspecError) as error:
            if is_order and not _certainly_unsent(error, parts, remote=self._remote):
                raise OutcomeUnknown(str(error)) from None
            if is_order or (isinstance(error, ChildGone) and not error.sent):
                raise NotSent(str(error)) from None
            raise BrokerError(str(error)) from None
        raise _meaning(reply.failure, is_order=is_order)


def _certainly_unsent(error: Exception, parts: list[bytes], *, remote: bool) -> bool:
    """A host that has ended without saying that it was sending has not sent.

    Of a remote one only the link has ended: what it did not say may have been lost on the way.
    """
    if p.SENDING in parts:
        return False
    if isinstance(error, ChildFailed) or (isinstance(error, ChildGone) and not error.sent):
        return True
    ended = isinstance(error, ChildGone) or (isinstance(error, ChildTimeout) and error.ended)
    return ended and not remote


def _meaning(failure: p.Failure, *, is_order: bool) -> BrokerError | StateError:
    """A failure record is made before anything is sent: for an order it means "not sent"."""
    text = printable(failure.text)
    if failure.kind == "locked":
        return StateError(text)
    if failure.kind == "call":
        error = p.CallFailed(failure.function, failure.code, text)
        return NotSent(str(error)) if is_order else error
    if is_order or failure.kind == "refused":
        return NotSent(text)
    return BrokerError(text)
