"""Strategy files that were written while the engine runs: tried in a host, then put in place.

The strategies of a changed file's kinds are made anew and fed from history; all others go on
undisturbed. A file that is wrong changes nothing, but what was made of it enters nothing until the
file on the disk is what runs again.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from engine.hosts.contract import Prepared
from engine.hosts.pool import StrategyHosts
from engine.hosts.running_code import RunningCode
from engine.model.errors import TryAgain
from engine.runtime.inbox import Inbox
from engine.trading.events import EventLog
from engine.trading.trader import Trader

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
        code: RunningCode,
    ) -> None:
        self._code = code
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
            self._refuse(fault, path)
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
                self._refuse(f"strategy file {path}: {'; '.join(faults)}", path)
                return
            try:
                self._inbox.run(partial(self._install, path, content, prepared)).result()
            except TryAgain:
                continue
            self._hosts.kinds[path] = defined
            names = f"; made anew: {', '.join(again)}" if again else ""
            self._events.add("info", SOURCE, f"{Path(path).name}: {', '.join(defined)}{names}")
            return
        self._refuse(f"{path}: not taken, too many changes at once; save it again", path)

    def _install(self, path: str, content: bytes, prepared: Prepared) -> None:
        """Put the hosts in place, on the engine thread."""
        trader = self._trader()
        if trader is None:
            self._hosts.discard(prepared)
            return
        faults = self._hosts.install(prepared)
        for name, fault in faults.items():
            trader.quarantine_member(name, fault)
        for name in (*self._made_of(path), *prepared.fresh):
            trader.pauses.outdated.pop(name, None)
        trader.code = self._code.name()
        trader.recorder.audit(
            "STRATEGY",
            {
                "file": path,
                "sha256": hashlib.sha256(content).hexdigest(),
                "made_anew": sorted(prepared.fresh),
                "code": trader.code,
                "runs": self._code.parts(),
            },
        )
        trader.save()

    def _refuse(self, fault: str, path: str) -> None:
        """Say why a file was not taken; what was made of it enters nothing until one is."""
        names, trader = self._made_of(path), self._trader()
        end = "what runs goes on as it was"
        if names and trader is not None:
            reason = f"no entries: {Path(path).name} on the disk is not what runs"
            trader.pauses.outdated |= dict.fromkeys(names, reason)
            end += f", and {', '.join(names)} enters nothing until the file is right"
        self._events.add("error", SOURCE, f"{fault}; {end}")

    def _made_of(self, path: str) -> list[str]:
        """Return the strategies that were made of a file."""
        kinds = self._hosts.kinds.get(path, ())
        return [spec.name for spec in self._hosts.strategies if spec.kind in kinds]
