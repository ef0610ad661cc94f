"""Builds that are broken on purpose: each patches the engine's process before it starts."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from engine.execution.router import Router
from engine.model.errors import BrokerError, NotSent, OutcomeUnknown
from engine.model.orders import Intent, Outcome
from engine.terminal.gateway import Gateway
from engine.trading.recorder import Recorder

# A terminal that has lost its link is back by then.
PATIENCE_S = 5.0


def journal_after_send() -> None:
    """Write intents down when their outcomes are known."""
    execute, begin = Router.execute, Recorder.begin

    def late(self: Router, intents: Sequence[Intent], **how: Any) -> list[tuple[Intent, Outcome]]:
        write, self._begin = self._begin, lambda _: True
        try:
            outcomes = execute(self, intents, **how)
        finally:
            self._begin = write
        if intents:
            begin(write.__self__, intents)  # type: ignore[attr-defined]
        return outcomes

    Router.execute = late  # type: ignore[method-assign]


def retry_on_timeout() -> None:
    """Send an order again, once the terminal is there, when nobody can tell what became of it."""
    send = Gateway.send

    def again(self: Gateway, request: Any) -> Any:
        with contextlib.suppress(OutcomeUnknown):
            result = send(self, request)
            if result.retcode:
                return result
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            with contextlib.suppress(NotSent):
                return send(self, request)
        raise NotSent("no terminal")

    Gateway.send = again  # type: ignore[method-assign]


def none_is_flat() -> None:
    """Take a failed question for positions, orders or deals as "there are none"."""

    def empty(ask: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        def asked(self: Gateway, *args: Any) -> list[Any]:
            try:
                return ask(self, *args)
            except BrokerError:
                return []

        return asked

    for name in ("positions", "orders", "deals", "order_history"):
        setattr(Gateway, name, empty(getattr(Gateway, name)))


BREAKS: Mapping[str, Callable[[], None]] = MappingProxyType(
    {
        "journal after send": journal_after_send,
        "retry on timeout": retry_on_timeout,
        "none is flat": none_is_flat,
    }
)
