"""Commands in the order in which they were sent, although each may come over its own connection.

Without this a console's *enable*, sent first and delayed, would undo the *kill* sent after it.
"""

import threading

from engine.control.kept import KeptByUser
from engine.control.messages import COMMAND_AGE_MAX_S
from engine.model.times import NS_PER_S
from engine.model.views.commands import COMMANDS
from engine.model.views.snapshot import Command

CLIENTS_KEPT = 1000
"""Of each user."""

Sender = tuple[int, str]
"""(uid, client id)."""


class SendOrder:
    """The newest command of each client, by its own clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest_ns: KeptByUser[str, int] = KeptByUser()

    def overtaken(self, sender: Sender, command: Command, now_ns: int) -> bool:
        """Tell whether a newer command of the same client came before; note this one otherwise.

        A goal that only reduces risk is never overtaken. A time that cannot be is not noted: it
        would keep the client's next commands out.
        """
        uid, client = sender
        with self._lock:
            newest_ns = self._newest_ns.of(uid)
            if command.sent_ns < newest_ns.get(client, command.sent_ns):
                return COMMANDS[command.name].ages
            if abs(now_ns - command.sent_ns) <= COMMAND_AGE_MAX_S * NS_PER_S:
                newest_ns[client] = command.sent_ns
                newest_ns.move_to_end(client)
                while len(newest_ns) > CLIENTS_KEPT:
                    newest_ns.popitem(last=False)
            return False
