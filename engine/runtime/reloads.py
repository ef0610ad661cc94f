"""Strategy files that were written while the engine runs: tried in a host, then put in place.

The strategies of a changed file's kinds are made anew and fed from history; all others go on
undisturbed. A file that is wrong changes nothing.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from engine.model.errors import TryAgain
from engine.runtime.events import EventLog
from engine.runtime.host_contract import Prepared
from engine.runtime.hosts import StrategyHosts
from engine.runtime.inbox import Inbox
from engine.runtime.trader import Trader

SOURCE = "strategies"
_TRIES = 5


class Reloads:
    """Takes new contents of files into the running hosts; called on the watching thread."""

    def __init__(
        self,
        hosts: StrategyHosts,
        inbox: Inbox,
        events: EventLog,
        trader: Callable[[], Trader | None],
    ) -> None:
        self._hosts = hosts
        self._inbox = inbox
        self._events = events
        self._trader = trader

    def take(self, news: Mapping[str, bytes | None]) -> None:
        """Try each file by itself, so that a wrong one holds no other up."""
        for path, content in news.items():
            if content is None:
                self._events.add("warning", SOURCE, f"{path} is gone; what was made of it goes on")
            else:
                self._take(path, content)

    def _take(self, path: str, content: bytes) -> None:
        found = self._hosts.probe({**self._hosts.files, path: content})
        if fault := found.file_faults.get(path):
            self._refuse(fault)
            return
        defined = found.kinds.get(path, [])
        kinds = {*defined, *self._hosts.kinds.get(path, ())}
        for _ in range(_TRIES):  # other changes may come in between
            strategies = self._hosts.strategies
            again = [spec.name for spec in strategies if spec.kind in kinds]
            prepared = self._hosts.prepare(
                strategies, files={**self._hosts.files, path: content}, again=again
            )
            faults = [f"{n}: {prepared.faults[n]}" for n in again if n in prepared.faults]
            if faults:
                self._hosts.discard(prepared)
                self._refuse(f"strategy file {path}: {'; '.join(faults)}")
                return
            try:
                self._inbox.run(partial(self._install, path, content, prepared)).result()
            except TryAgain:
                continue
            self._hosts.kinds[path] = defined
            names = f"; made anew: {', '.join(again)}" if again else ""
            self._events.add("info", SOURCE, f"{Path(path).name}: {', '.join(defined)}{names}")
            return
        self._refuse(f"{path}: not taken, too many changes at once; save it again")

    def _install(self, path: str, content: bytes, prepared: Prepared) -> None:
        """Put the hosts in place, on the engine thread."""
        trader = self._trader()
        if trader is None:
            self._hosts.discard(prepared)
            return
        faults = self._hosts.install(prepared)
        for name, fault in faults.items():
            trader.quarantine_member(name, fault)
        digest = hashlib.sha256(content).hexdigest()
        trader.recorder.audit(
            "STRATEGY", {"file": path, "sha256": digest, "made_anew": sorted(prepared.fresh)}
        )
        trader.save()

    def _refuse(self, fault: str) -> None:
        self._events.add("error", SOURCE, f"{fault}; what runs goes on as it was")
