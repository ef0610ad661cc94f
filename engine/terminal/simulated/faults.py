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
- "late": the same, but positions show it at once: its deal comes late.
- "placed": `order_send` answers 10008 without a deal. The order is rejected, as the history says
  (`delay_s` later), or with `when` "after" it was executed and is shown `delay_s` later.
- "partial": `order_send` fills `fill_frac` of the volume, rounded down, and answers 10010.
- "empty": the call answers without content: no bars, no positions, a tick of zeros.
- "duplicate": the call's newest item comes twice.

As text (`read_faults`): engine/terminal/simulated/fault_text.py.
"""

import os
import random
import threading
from typing import Any, Literal

import msgspec
import numpy as np
import structlog

from engine.terminal.simulated.module import constants as c
from engine.terminal.simulated.module.arguments import SimCallFailed
from engine.terminal.simulated.module.structs import StructSequence, build

_EXIT_CODE = 70
_log = structlog.get_logger(__name__)


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the next `count` calls of the function `call` do, before or after executing.

    The first `skip` calls pass; each one after them is struck with a chance of `chance_frac`.
    `name` is for the log alone.
    """

    call: str
    kind: Literal[
        "delay",
        "error",
        "retcode",
        "restart",
        "exit",
        "lag",
        "late",
        "placed",
        "partial",
        "empty",
        "duplicate",
    ]
    when: Literal["before", "after"] = "before"
    delay_s: float | None = None
    code: int = c.RES_E_INTERNAL_FAIL_TIMEOUT
    retcode: int = c.TRADE_RETCODE_REQUOTE
    fill_frac: float = 0.5
    count: int = 1
    skip: int = 0
    chance_frac: float = 1.0
    name: str = ""


class Switches(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """States of the terminal that are not the module's to set.

    `connected`: to the trade server; without, prices stand still in real time, and positions and
    history are shown as they were last known. `algo_trading`: the terminal's button.
    `api_enabled`: its option for Python. `investor`: logged in with the investor's password.
    `other_login`: somebody has logged in to another account, without positions and read-only;
    0 is the own one, as is after `login`. `clock_off_s`: the server's clock is off its rule by so
    much, from the half hour on in which it is set. `trade_modes`: SYMBOL_TRADE_MODE_* by symbol.
    `sessions` False: orders fill at the last quote in a closed market too, as a replay's last
    closes do.
    """

    connected: bool = True
    algo_trading: bool = True
    api_enabled: bool = True
    investor: bool = False
    other_login: int = 0
    clock_off_s: int = 0
    trade_modes: dict[str, int] = {}
    sessions: bool = True


class Faults:
    """The faults still to come, in the order they were set. `seed` decides chances."""

    def __init__(self, seed: int = 0) -> None:
        self._pending: list[Fault] = []
        self._never = threading.Event()
        self._random = random.Random(seed)

    def seed(self, seed: int) -> None:
        """Begin the chances anew."""
        self._random.seed(seed)

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
            if fault.call != call or fault.kind not in kinds or fault.when != when:
                continue
            if fault.skip > 0:
                self._pending[index] = msgspec.structs.replace(fault, skip=fault.skip - 1)
            elif self._random.random() < fault.chance_frac:
                rest = msgspec.structs.replace(fault, count=fault.count - 1)
                self._pending[index : index + 1] = [rest] if rest.count > 0 else []
                _log.info("fault_struck", name=fault.name or fault.kind, call=call, when=when)
                return fault
        return None

    def disturb(self, call: str, result: Any) -> Any:
        """Return a call's result as the next fault of what it shows makes it."""
        if self.take(call, "empty"):
            return _emptied(result)
        if isinstance(result, tuple) and self.take(call, "duplicate"):
            return result + result[-1:]
        return result

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
            raise SimCallFailed(fault.code)
        return fault


def _emptied(result: Any) -> Any:
    """Return what an answer without content looks like."""
    if isinstance(result, StructSequence):
        return build(type(result))
    if isinstance(result, np.ndarray | tuple):
        return result[:0]
    return type(result)()
