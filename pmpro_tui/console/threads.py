"""The console's threads: one at most that fetches, one for each command, a few that ask.

They are daemon threads, so that leaving never waits for an engine that hangs, and they touch the
screen only by posting messages.
"""

import threading
from collections.abc import Callable

from textual.message import Message

from engine.model.errors import PmproError
from engine.model.views.details import Detail, Question
from engine.model.views.snapshot import Command, Reply, Snapshot
from pmpro_tui.console.feed import EngineFeed
from pmpro_tui.console.messages import Answered, DetailReceived, Fetched, Opened, StartStep

Opener = Callable[[Callable[[str], None]], EngineFeed]
"""Finds or starts the engine, reporting each step; raises PmproError."""

Post = Callable[[Message], object]


def open_feed(opener: Opener, post: Post) -> None:
    """Find or start the engine; posts Steps, then Opened."""

    def report(text: str) -> None:
        post(StartStep(text))

    def run() -> None:
        try:
            post(Opened(opener(report)))
        except Exception as error:
            post(Opened(error))

    _start("open", run)


def fetch(feed: EngineFeed, since: int, events_after: int, post: Post) -> None:
    """Ask for news; posts Fetched."""

    def run() -> None:
        result: Snapshot | Exception | None
        try:
            result = feed.snapshot(since, events_after=events_after)
        except Exception as error:
            result = error
        post(Fetched(result))

    _start("fetch", run)


def send(feed: EngineFeed, command: Command, post: Post) -> None:
    """Send a command; posts Answered."""

    def run() -> None:
        try:
            reply = feed.send(command)
        except PmproError as error:
            reply = Reply(ok=False, text=f"{error}")
        except Exception as error:
            reply = Reply(ok=False, text=f"{type(error).__name__}: {error}")
        post(Answered(command, reply))

    _start("command", run)


def ask(feed: EngineFeed, question: Question, post: Post) -> None:
    """Ask for details; posts Told."""

    def run() -> None:
        result: Detail | Exception
        try:
            result = feed.ask(question)
        except Exception as error:
            result = error
        post(DetailReceived(question, result))

    _start("ask", run)


def _start(name: str, run: Callable[[], None]) -> None:
    threading.Thread(target=run, name=f"console-{name}", daemon=True).start()
