"""What the console's threads post to its screen."""

from textual.message import Message

from engine.model.views.details import Detail, Question
from engine.model.views.snapshot import Command, Reply, Snapshot
from pmpro_tui.console.feed import EngineFeed


class StartStep(Message):
    """One step of finding or starting the engine."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class Opened(Message):
    """The engine's feed, or the reason why there is none."""

    def __init__(self, result: EngineFeed | Exception) -> None:
        super().__init__()
        self.result = result


class Fetched(Message):
    """What one poll brought: a snapshot, None for nothing new, or an error."""

    def __init__(self, result: Snapshot | Exception | None) -> None:
        super().__init__()
        self.result = result


class Answered(Message):
    """The engine's reply to a command."""

    def __init__(self, command: Command, reply: Reply) -> None:
        super().__init__()
        self.command = command
        self.reply = reply


class DetailReceived(Message):
    """Details that were asked for, or why there are none."""

    def __init__(self, question: Question, result: Detail | Exception) -> None:
        super().__init__()
        self.question = question
        self.result = result
