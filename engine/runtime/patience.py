"""A start outlives a terminal host that dies under it: bounded tries, then one line."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from engine.model.errors import BrokerError
from engine.terminal.gateway import Gateway
from engine.terminal.protocol import CallFailed

T = TypeVar("T")
# A new host needs a moment, a terminal that restarts some more.
WAITS_S: Final = (0.5, 1.0, 2.0, 4.0)


def patiently(
    gateway: Gateway,
    ask: Callable[[], T],
    *,
    wait: Callable[[float], object],
    say: Callable[[str], None],
) -> T:
    """Return what was asked of the terminal, asking again where its host or a call failed.

    What a terminal says that works (no such symbol, another account) is raised at once.

    Raises:
        BrokerError: it was asked in vain.
    """
    for wait_s in WAITS_S:
        pid = gateway.host_pid
        try:
            return ask()
        except BrokerError as e:
            if pid and gateway.host_pid == pid and not isinstance(e, CallFailed):
                raise
            say(f"{e}; trying again in {wait_s:g} s")
        wait(wait_s)
        with suppress(BrokerError):  # then the next try says so
            gateway.connect()
    try:
        return ask()
    except BrokerError as e:
        text = f"{e}; asked {len(WAITS_S) + 1} times: see logs/terminal-host.log, then start again"
        raise BrokerError(text) from e
