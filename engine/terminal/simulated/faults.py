"""Scripted misbehaviour of the simulated terminal, for tests; set beside the module's functions.

`kind`:
- "delay": wait `delay_s`, for ever if it is None; a hung terminal.
- "error": the call answers None (or False) with `code` as its last error. With `when` "after"
  it was executed all the same: a lost reply.
- "retcode": `order_send` executes nothing and answers `retcode` (10004: a requote).
- "restart": the terminal restarts: this call fails with −10002, later ones with −10004 until
  `initialize`.
- "exit": the process ends at once, as if killed.
- "lag": after `order_send`, positions and history show the state before it for `delay_s`.
"""

import os
import threading
from typing import Literal

import msgspec

from engine.terminal.simulated import constants as c
from engine.terminal.simulated.arguments import CallFailed

_EXIT_CODE = 70


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the next `count` calls of the function `call` do, before or after executing."""

    call: str
    kind: Literal["delay", "error", "retcode", "restart", "exit", "lag"]
    when: Literal["before", "after"] = "before"
    delay_s: float | None = None
    code: int = c.RES_E_INTERNAL_FAIL_TIMEOUT
    retcode: int = c.TRADE_RETCODE_REQUOTE
    count: int = 1


class Switches(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """States of the terminal that are not the module's to set.

    `connected`: to the trade server; prices stand still without. `algo_trading`: the terminal's
    button. `api_enabled`: its option for Python. `investor`: logged in with the investor's
    password. `trade_modes`: SYMBOL_TRADE_MODE_* by symbol. `sessions` False: orders fill at the
    last quote in a closed market too, as a replay's last closes do.
    """

    connected: bool = True
    algo_trading: bool = True
    api_enabled: bool = True
    investor: bool = False
    trade_modes: dict[str, int] = {}
    sessions: bool = True


class Faults:
    """The faults still to come, in the order they were set."""

    def __init__(self) -> None:
        self._pending: list[Fault] = []
        self._never = threading.Event()

    def add(self, fault: Fault) -> None:
        """Script a fault."""
        self._pending.append(fault)

    def clear(self) -> None:
        """Forget all faults."""
        self._pending.clear()

    def pending(self) -> list[Fault]:
        """Return the faults still to come."""
        return list(self._pending)

    def take(self, call: str, *kinds: str, when: str = "before") -> Fault | None:
        """Take the next fault of these kinds for a function, if there is one."""
        for index, fault in enumerate(self._pending):
            if fault.call == call and fault.kind in kinds and fault.when == when:
                rest = msgspec.structs.replace(fault, count=fault.count - 1)
                self._pending[index : index + 1] = [rest] if rest.count > 0 else []
                return fault
        return None

    def strike(self, call: str, when: str) -> Fault | None:
        """Do what the next fault of a function says; an error raises CallFailed."""
        fault = self.take(call, "delay", "error", "restart", "exit", when=when)
        if fault is None:
            return None
        if fault.kind == "delay":
            self._never.wait(fault.delay_s)
        elif fault.kind == "exit":
            os._exit(_EXIT_CODE)
        elif fault.kind == "error":
            raise CallFailed(fault.code)
        return fault
