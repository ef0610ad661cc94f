"""Commands given to a bench as a client of the control socket gives them."""

import threading
from typing import Any

from engine.control.messages import Actor
from engine.model.errors import PmproError
from engine.model.views.snapshot import Command, Reply
from engine.runtime.accepted import Keeper
from engine.runtime.commands import Commands
from engine.runtime.inbox import Inbox
from tests.faults.bench import Bench

ACTOR = Actor(uid=0, user="root", role="admin")


def commands_of(bench: Bench, inbox: Inbox) -> Commands:
    """Return what runs a bench's commands; its orders wait in `inbox` for the engine's thread."""
    return Commands(
        inbox,
        trader=lambda: bench.trader,
        hosts=lambda: None,
        set_speed=lambda speed: None,
        stop=lambda reason: None,
        keep=Keeper(bench.journal).keep,
    )


def order(
    bench: Bench,
    name: Any,
    target: str = "",
    value: float = 0.0,
    *,
    text: str = "",
    actor: Actor = ACTOR,
) -> Reply:
    """Give a command from a client's thread while this one is the engine's.

    Raises:
        PmproError: what the client was told.
    """
    inbox = Inbox()
    commands = commands_of(bench, inbox)
    replies: list[Reply | PmproError] = []

    def ask() -> None:
        command = Command(id="1", name=name, target=target, value=value, text=text)
        try:
            replies.append(commands.execute(command, actor))
        except PmproError as error:
            replies.append(error)

    client = threading.Thread(target=ask)
    client.start()
    while client.is_alive():
        for job in inbox.take(0.01).jobs:
            job()
        if bench.trader.recorder.waits:  # as the engine's turn does
            bench.trader.save()
    if isinstance(replies[0], PmproError):
        raise replies[0]
    return replies[0]
