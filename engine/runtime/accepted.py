"""What reduces risk at once is on disk before anybody hears that it is in force.

The command is written down by a thread of its own, beside the engine's: neither a batch nor a disk
that hangs keeps the client waiting for longer than `WAIT_S`. Once a saved state of the core has the
command in it, its row is gone; a start that finds a row has it obeyed again.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, NamedTuple

from engine.execution.journal import Accepted, Journal
from engine.model.errors import PmproError, UserError
from engine.model.records import AuditRow
from engine.model.views.snapshot import Command
from engine.runtime.handlers import HANDLERS

if TYPE_CHECKING:
    from engine.trading.trader import Trader

WAIT_S: Final = 2.0
WRITERS_MAX: Final = 4


class Kept(NamedTuple):
    """`fault`: why a command is not on disk, "" where it is; `audited`: its audit entry is, too."""

    audited: bool
    fault: str = ""


Keep = Callable[[Command, str, AuditRow | None], Kept]
"""Of a command, the name of who sent it, and its audit entry if it has one of its own."""


def not_kept(_command: Command, _user: str, _audit: AuditRow | None) -> Kept:
    """Stand where there is no journal to write to: the engine thread's own is all there is."""
    return Kept(audited=False)


class Keeper:
    """Writes accepted commands down; any thread."""

    def __init__(self, journal: Journal, *, wait_s: float = WAIT_S) -> None:
        self._journal = journal
        self._wait_s = wait_s
        self._free = threading.BoundedSemaphore(WRITERS_MAX)

    def keep(self, command: Command, user: str, audit: AuditRow | None) -> Kept:
        """Write a command that is in force down, with its audit entry if it has one."""
        accepted = Accepted(name=command.name, target=command.target, text=command.text, user=user)
        if not self._free.acquire(blocking=False):
            return Kept(audited=False, fault=f"{self._journal.path}: the disk does not answer")
        done: Future[bool] = Future()

        def write() -> None:
            try:
                done.set_result(self._journal.accept(accepted, audit, wait_s=self._wait_s))
            except Exception as error:  # border: the thread's result is its future
                done.set_exception(error)
            finally:
                self._free.release()

        try:
            threading.Thread(target=write, name="accepted", daemon=True).start()
            return Kept(audited=done.result(self._wait_s))
        except TimeoutError:
            text = f"{self._journal.path}: no answer within {self._wait_s:g} s"
            return Kept(audited=False, fault=f"{text}, it is still tried")
        except Exception as error:  # border: the flag holds; who asked must hear of it either way
            return Kept(audited=False, fault=str(error) or type(error).__name__)


def obey_accepted(trader: "Trader", journal: Journal) -> None:
    """Have the commands obeyed again that were accepted and in no saved state, after a restart."""
    for accepted in journal.accepted():
        command = Command(
            id="",
            name=accepted.name,  # type: ignore[arg-type]  # it was one when it was accepted
            target=accepted.target,
            text=accepted.text,
        )
        what = f"{accepted.name} {accepted.target}".strip()
        said = f"{what} of {accepted.user}, accepted before the engine ended"
        try:
            if (handler := HANDLERS.get(accepted.name)) is None:
                raise UserError("this version does not know it")
            result = handler.now(trader, command, accepted.user)
            result = handler.AFTER_RESTART or result
            trader.events.add("warning", "engine", f"{said}: {result}")
        except PmproError as error:
            result = f"not obeyed: {error}"
            trader.events.add("critical", "engine", f"{said}, cannot be obeyed: {error}")
        details = {"command": accepted.name, "target": accepted.target, "after_restart": result}
        trader.recorder.audit("COMMAND", details, actor=accepted.user)
