"""The moments at which somebody may be killed: calls to the host, commits, evaluations."""

from collections.abc import Callable
from typing import Any

from engine.child.parent import Child
from engine.execution.journal import Journal
from engine.hosts.pool import StrategyHosts
from engine.terminal import protocol
from tests.faults.campaign.plan import Kill


class Moments:
    """The moments that the engine comes to, and who is killed at which."""

    def __init__(self, kill: Callable[[Kill], None]) -> None:
        self._kill = kill
        self._armed: list[tuple[Kill, int]] = []

    def arm(self, kill: Kill) -> None:
        """Have a kill happen at its moment."""
        self._armed.append((kill, kill.nth))

    def disarm(self) -> None:
        """Let nobody be killed any more."""
        self._armed.clear()

    def come(self, point: str) -> None:
        """Be at a moment."""
        armed, self._armed = self._armed, []
        for kill, left in armed:
            if kill.point != point:
                self._armed.append((kill, left))
            elif left > 1:
                self._armed.append((kill, left - 1))
            else:
                self._kill(kill)

    def watch(self) -> None:
        """Have calls to the host, journal commits and evaluations come here."""
        call, commit, evaluate = Child.call, Journal.commit, StrategyHosts.evaluate

        def watched_call(child: Child, body: bytes, **how: Any) -> bytes:
            on_frame = how.pop("on_frame", None)

            def noted(frame: bytes) -> None:
                on_frame(frame)
                if frame == protocol.SENDING:
                    self.come("sending")

            if child.name != "terminal host":
                return call(child, body, on_frame=on_frame, **how)
            self.come("call")
            answer = call(child, body, on_frame=noted, **how)
            self.come("called")
            return answer

        def watched_commit(journal: Journal, **what: Any) -> None:
            self.come("commit")
            commit(journal, **what)
            self.come("committed")

        def watched_evaluate(hosts: StrategyHosts, *batch: Any) -> Any:
            self.come("evaluate")
            return evaluate(hosts, *batch)

        Child.call = watched_call  # type: ignore[method-assign]
        Journal.commit = watched_commit  # type: ignore[method-assign]
        StrategyHosts.evaluate = watched_evaluate  # type: ignore[method-assign]
