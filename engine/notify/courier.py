"""The engine's side of delivery: a child a channel, started when needed, killed when late."""

import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog

from engine.child.parent import Child, ChildError
from engine.notify.delivery import DeliveryResult, Request
from engine.notify.message import Message
from engine.notify.records import Channel
from engine.notify.redact import Redactor

# A new process loads apprise first; this is not the channel's fault.
START_S: Final = 30.0
# Kept for the next message for so long.
KEEP_S: Final = 60.0
JOIN_S: Final = 3.0
MODULE: Final = "engine.notify.delivery"

log = structlog.get_logger(__name__)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(DeliveryResult).decode


class Carrier:
    """Sends through one channel, one message at a time, each within its deadline.

    The URL travels in the request alone: neither arguments nor environment hold it. What the
    child writes goes to `log_path`, None for nowhere.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        deadline_s: float,
        log_path: Path | None = None,
        module: str = MODULE,
    ) -> None:
        self._channel = channel
        self._deadline_s = deadline_s
        self._log_path = log_path
        self._module = module
        self._redactor = Redactor([channel.url.get_secret_value()])
        self._child: Child | None = None
        self._closed = False

    def check(self) -> DeliveryResult:
        """Tell whether apprise knows the URL; nothing is sent."""
        return self._ask(check=True)

    def send(self, message: Message) -> DeliveryResult:
        """Send a message; a channel that hangs has the child killed."""
        return self._ask(message=message)

    def kill(self) -> None:
        """End the child at once and start none anew; any thread."""
        self._closed = True
        if self._child is not None:
            self._child.kill()

    def close(self) -> None:
        """Let the child end; the next message starts another."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def _ask(self, *, message: Message | None = None, check: bool = False) -> DeliveryResult:
        try:
            child = self._ready()
            if check:
                return self._call(child, Request(url=self._url(), check=True), START_S)
            assert message is not None
            request = Request(
                url=self._url(), title=message.title, body=message.body, level=message.level
            )
            return self._call(child, request, self._deadline_s)
        except (ChildError, OSError) as error:
            return DeliveryResult(ok=False, detail=self._redactor(str(error)))

    def _ready(self) -> Child:
        """Return a child that has loaded apprise."""
        if self._closed:
            raise ChildError("the engine is stopping")
        if self._child is None or not self._child.alive:
            name = f"alerts-{self._channel.name}"
            self._child = Child(
                self._module, name=name, log_path=self._log_path or Path(os.devnull)
            )
            self._call(self._child, Request(url=self._url(), check=True), START_S)
        return self._child

    def _call(self, child: Child, request: Request, timeout_s: float) -> DeliveryResult:
        return _decode(child.call(_encode(request), timeout_s=timeout_s))

    def _url(self) -> str:
        return self._channel.url.get_secret_value()


class Courier:
    """A thread with a carrier: takes a message, tells what became of it, takes the next.

    `done` runs on this thread. At most one message is with it: the desk sees to that.
    """

    def __init__(
        self, name: str, carrier: Carrier, done: Callable[[str, DeliveryResult], None]
    ) -> None:
        self._name = name
        self._carrier = carrier
        self._done = done
        self._messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"alerts-{name}", daemon=True)
        self._thread.start()

    def post(self, message: Message) -> None:
        """Hand a message over; never waits."""
        self._messages.put(message)

    def close(self) -> None:
        """End at once; a message on its way is given up."""
        self._messages.put(None)
        self._carrier.kill()
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        while True:
            try:
                message = self._messages.get(timeout=KEEP_S)
            except queue.Empty:
                self._carrier.close()
                continue
            if message is None:
                self._carrier.close()
                return
            self._done(self._name, self._send(message))

    def _send(self, message: Message) -> DeliveryResult:
        try:
            return self._carrier.send(message)
        except Exception as error:  # border: thread
            log.error("courier_failed", channel=self._name, error=type(error).__name__)
            return DeliveryResult(ok=False, detail=f"internal error, {type(error).__name__}")
