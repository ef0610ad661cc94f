"""Where snapshots come from and commands go: the engine's socket, on two connections.

Commands have connections of their own, so that a kill never waits for a fetch that hangs.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from engine.control.client import ControlClient
from engine.control.messages import Role
from engine.model.views.details import Detail, Question
from engine.model.views.snapshot import Command, Reply, Snapshot

_FETCH_S = 2.0
_COMMAND_S = 6.0
"""Longer than the engine takes to say that it is busy."""


class EngineFeed(Protocol):
    """What the console needs of an engine; each method may block, up to its own deadline.

    `poll_s` is the pause between two looks; `theme` and `zone` are how the screen begins;
    `wants_token`: an admin's commands need the operator's personal `token`.
    """

    poll_s: float
    theme: str
    zone: str
    token: str
    wants_token: bool

    def snapshot(self, since: int, *, events_after: int) -> Snapshot | None:
        """Return the newest snapshot, None if it is still `since`; raises PmproError."""
        ...

    def send(self, command: Command) -> Reply:
        """Have a command run once; raises PmproError."""
        ...

    def ask(self, question: Question) -> Detail:
        """Return details; raises PmproError."""
        ...

    def close(self) -> None:
        """Let go of the engine."""
        ...


class SocketFeed:
    """The engine behind a control socket; mode and account guard against another one's."""

    def __init__(
        self,
        path: Path,
        *,
        mode: str,
        role: Role | None = None,
        account: int | None = None,
        owners: Collection[int] = (),
        poll_s: float = 0.25,
        theme: str = "dark",
        zone: str = "UTC",
    ) -> None:
        self.poll_s = poll_s
        self.theme = theme
        self.zone = zone
        self._path = path
        self._mode = mode
        self._role = role
        self._client = os.urandom(8).hex()
        self._account = account
        self._owners = owners
        self._poll = self._connection(_FETCH_S)
        self.token = os.environ.get("PMPRO_TOKEN", "")
        self.wants_token = False

    def snapshot(self, since: int, *, events_after: int) -> Snapshot | None:
        """See Feed."""
        now = self._poll.snapshot(since, events_after=events_after)
        if now is not None and now.account and self._account is None:
            self._account = now.account
            self._poll.account = now.account
        if self._poll.welcome is not None:
            self.wants_token = self._poll.welcome.wants_token
        return now

    def send(self, command: Command) -> Reply:
        """See Feed."""
        with self._connection(_COMMAND_S) as client:
            return client.send(command, token=self.token)

    def ask(self, question: Question) -> Detail:
        """See Feed."""
        with self._connection(_COMMAND_S) as client:
            return client.ask(question)

    def close(self) -> None:
        """See Feed."""
        self._poll.close()

    def _connection(self, timeout_s: float) -> ControlClient:
        return ControlClient(
            self._path,
            role=self._role,
            mode=self._mode,
            account=self._account,
            client=self._client,
            owners=self._owners,
            timeout_s=timeout_s,
        )
