"""What every screen draws from: the feed, its picture and log, the freeze, commands under way.

One request is in flight at most. Switching screens asks the engine nothing: all draw from here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from engine.control.client import new_command
from engine.control.messages import ASKS_WHO
from engine.model.errors import PmproError
from engine.model.times import NS_PER_S
from engine.model.views.commands import COMMANDS, CommandName
from engine.model.views.details import Question
from engine.model.views.snapshot import Command, Reply, Snapshot
from pmpro_tui.console import threads
from pmpro_tui.console.draw.statusline import data_age_s
from pmpro_tui.console.draw.zone import Zone
from pmpro_tui.console.farewell import farewell
from pmpro_tui.console.inquiries import Inquiries, Known
from pmpro_tui.console.link import Link
from pmpro_tui.console.screens import event_rows

if TYPE_CHECKING:
    from pmpro_tui.console.feed import EngineFeed

HANDS_OFF_AFTER_S = 2.0


class Notice(NamedTuple):
    """What the operator is told at once."""

    text: str
    title: str
    severity: str = "error"
    timeout_s: float = 12.0


class Hub:
    """The console's one copy of the engine's state.

    Args:
        mode: shown until the engine tells its own.
        readonly: refuse every command.
        inline: the engine runs in this process and ends with it.
        now_ns: the box's wall clock.
        monotonic_ns: a clock nobody sets.
    """

    def __init__(
        self,
        *,
        mode: str,
        readonly: bool,
        now_ns: Callable[[], int],
        monotonic_ns: Callable[[], int],
        inline: bool = False,
    ) -> None:
        self.mode = mode
        self.inline = inline
        self.readonly = readonly
        self.now_ns = now_ns
        self.monotonic_ns = monotonic_ns
        self.feed: EngineFeed | None = None
        self.shown: Snapshot | None = None
        self.latest: Snapshot | None = None
        self.link = Link(now_ns, monotonic_ns)
        self.zone = Zone()
        self.history = event_rows.EventList()
        self.steps: list[str] = []
        self.fetching = False
        self.stopping = False
        self.post: threads.Post = lambda _: None
        self.tell: Callable[[Notice | None], None] = lambda _: None
        self.want_token: Callable[[Command], None] = lambda _: None
        self.inquiries = Inquiries(monotonic_ns)
        self._frozen_ns: int | None = None
        self._key_ns = -int(HANDS_OFF_AFTER_S * NS_PER_S)
        self._sent: dict[str, Command] = {}

    # -- the picture ----------------------------------------------------------------------

    def look(self) -> None:
        """Ask for news, unless that is under way or a lost engine is given its pause."""
        if self.feed is not None and not self.fetching and self.link.may_try():
            self.fetching = True
            since = self.latest.version if self.latest else 0
            threads.fetch(self.feed, since, self.history.last_seq, self.post)

    def take(self, result: Snapshot | Exception | None) -> Notice | None:
        """Take what a poll brought; returns what the operator must hear of it."""
        self.fetching = False
        if isinstance(result, Exception):
            return self._lost(result)
        self.link.arrived(None if result is None else result.taken_ns)
        if result is None:
            return None
        first = result.events[0].seq if result.events else 0
        self.history.add(result.events, restarted=0 < first <= self.history.last_seq)
        before, self.latest = self.latest, result
        if self._frozen_ns is None:
            self.shown = result
        if before is None or before.state == result.state:
            return None
        if result.state not in ("HALTED", "REDUCING"):
            return None
        return Notice(result.state_reason or "no reason given", result.state)

    def _lost(self, error: Exception) -> Notice | None:
        text = str(error) if isinstance(error, PmproError) else f"{type(error).__name__}: {error}"
        first = self.link.word != "LOST" and self.latest is not None
        self.link.failed(text)
        return Notice(text, "Connection lost", timeout_s=5.0) if first else None

    @property
    def data_age_s(self) -> float:
        """How old the shown prices are."""
        return data_age_s(self.shown, self.link) if self.shown is not None else math.nan

    @property
    def frozen_s(self) -> float | None:
        """How long the picture has been held, None if it moves."""
        if self._frozen_ns is None:
            return None
        return (self.monotonic_ns() - self._frozen_ns) / NS_PER_S

    def toggle_freeze(self) -> None:
        """Hold the picture, or catch up."""
        if self._frozen_ns is None:
            self._frozen_ns = self.monotonic_ns()
        else:
            self._frozen_ns = None
            self.shown = self.latest

    def detail(self, question: Question, *, every_s: float) -> Known:
        """Return what is known of a question; asked anew if that is older, unless it is frozen."""
        return self.inquiries.want(question, self._ask, every_s=every_s)

    def _ask(self, question: Question) -> bool:
        if self.feed is None or self._frozen_ns is not None or self.link.word == "LOST":
            return False
        threads.ask(self.feed, question, self.post)
        return True

    @property
    def farewell(self) -> str:
        """What becomes of the engine when this console is left now."""
        link = self.link
        return farewell(link.word, link.age_s(), inline=self.inline, stopping=self.stopping)

    # -- the operator ---------------------------------------------------------------------

    def touched(self) -> None:
        """Note a key: rows keep their places for a while after it."""
        self._key_ns = self.monotonic_ns()

    @property
    def hands_on(self) -> bool:
        """Whether a key was pressed within the last moments."""
        return self.monotonic_ns() - self._key_ns < HANDS_OFF_AFTER_S * NS_PER_S

    @property
    def pending(self) -> str:
        """The last command that is not answered yet, in words."""
        return words(next(reversed(self._sent.values()))) if self._sent else ""

    def send(
        self, name: CommandName, target: str = "", *, value: float = 0.0, text: str = ""
    ) -> Notice | None:
        """Send a command that names the picture on the screen; returns why it cannot be sent."""
        command = new_command(
            name,
            target,
            value=value,
            text=text,
            seen_version=self.shown.version if self.shown else 0,
            now_ns=self.now_ns,
        )
        if self.feed is None:
            return Notice("no engine is connected yet", words(command).capitalize())
        if self.feed.wants_token and not self.feed.token and COMMANDS[name].role == "admin":
            self.want_token(command)
        else:
            self.dispatch(command)
        return None

    def dispatch(self, command: Command, token: str | None = None) -> None:
        """Send a command, as of now; with a personal token that was just typed."""
        if self.feed is None:
            return
        if token is not None:
            self.feed.token = token
            command = msgspec.structs.replace(command, sent_ns=self.now_ns())
        self._sent[command.id] = command
        threads.send(self.feed, command, self.post)

    def answered(self, command: Command, reply: Reply) -> Notice:
        """Name what a command hit and what the engine said."""
        self._sent.pop(command.id, None)
        if self.feed is not None and not reply.ok and ASKS_WHO in reply.text:
            if not self.feed.token:  # it is not known of every command that it needs one
                self.want_token(msgspec.structs.replace(command, id=os.urandom(8).hex()))
            self.feed.token = ""  # it was not the right one
        if command.name == "stop" and reply.ok:
            self.stopping = True
        long = reply.positions or not reply.ok  # what happens to positions wants to be read
        severity, timeout_s = ("information" if reply.ok else "error"), 12.0 if long else 4.0
        return Notice(reply.text or "done", words(command).capitalize(), severity, timeout_s)


def words(command: Command) -> str:
    """Return a command as the operator would say it."""
    if command.name == "speed":
        return f"speed {command.value:g}×"
    if command.name == "kill" and command.text:
        return f"kill and {command.text} {command.target}"
    return f"{command.name} {command.target}".strip()
