"""Commands in the order in which they were sent, although each may come over its own connection.

Without this a console's *enable*, sent first and delayed, would undo the *kill* sent after it.
"""

import threading
from collections import OrderedDict

from engine.control.messages import AGELESS_COMMANDS, COMMAND_AGE_MAX_S
from engine.model.snapshot import Command
from engine.model.times import NS_PER_S

CLIENTS_KEPT = 1000

Sender = tuple[int, str]
"""(uid, client id)."""


class SendOrder:
    """The newest command of each client, by its own clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest_ns: OrderedDict[Sender, int] = OrderedDict()

    def overtaken(self, sender: Sender, command: Command, now_ns: int) -> bool:
        """Tell whether a newer command of the same client came before; note this one otherwise.

        A goal that only reduces risk is never overtaken. A time that cannot be is not noted: it
        would keep the client's next commands out.
        """
        with self._lock:
            if command.sent_ns < self._newest_ns.get(sender, command.sent_ns):
                return command.name not in AGELESS_COMMANDS
            if abs(now_ns - command.sent_ns) <= COMMAND_AGE_MAX_S * NS_PER_S:
                self._newest_ns[sender] = command.sent_ns
                self._newest_ns.move_to_end(sender)
                while len(self._newest_ns) > CLIENTS_KEPT:
                    self._newest_ns.popitem(last=False)
            return False
