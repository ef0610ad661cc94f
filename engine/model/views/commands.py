"""The one table of commands: who may give one, when it is too late, and what it may do to risk.

The control socket, the engine, the command line, the console and the comparison with backtests
read it. What a command does is in `engine.runtime.handlers`.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

CommandName = Literal[
    "kill",
    "enable",
    "disable",
    "halt",
    "resume",
    "flatten",
    "speed",
    "stop",
    "add",
    "remove",
    "allocate",
    "limit",
    "adopt",
    "ack",
    "close",
    "backtest",
    "cancel",
]


class CommandKind(NamedTuple):
    """What is true of every command of one name.

    `role`: the lowest role that may give it. An admin's adds risk or leaves positions unattended,
    and needs a personal token where these are used.
    `ages`: it is refused where it is old or a newer command of the same client came before it.
    What does not age is a goal that is obeyed however late it arrives, in a lane of its own.
    `reduces_risk`: it only reduces risk, so that no doubt about the configuration file stops it.
    `at_once`: it is in force and on disk before the engine's thread has a turn.
    `needs_target`: it names a strategy, book, symbol, limit, position, alert or job.
    `explains`: whose live results a backtest may not have afterwards: those of the command's
    target, of the book in its text, of all, or of nobody.
    """

    name: CommandName
    role: Literal["operator", "admin"] = "operator"
    ages: bool = True
    reduces_risk: bool = False
    at_once: bool = False
    needs_target: bool = False
    explains: Literal["nothing", "target", "text", "all"] = "nothing"


_KINDS: Final = (
    CommandKind(
        "kill",
        ages=False,
        reduces_risk=True,
        at_once=True,
        needs_target=True,
        explains="target",
    ),
    CommandKind("halt", ages=False, reduces_risk=True, at_once=True, explains="all"),
    CommandKind("flatten", ages=False, reduces_risk=True, at_once=True, explains="all"),
    CommandKind("close", reduces_risk=True, at_once=True, needs_target=True, explains="target"),
    CommandKind("disable", reduces_risk=True, needs_target=True, explains="target"),
    CommandKind("enable", needs_target=True, explains="target"),
    CommandKind("resume", role="admin", explains="all"),
    CommandKind("add", role="admin", explains="all"),
    CommandKind("remove", needs_target=True, explains="target"),
    CommandKind("allocate", needs_target=True, explains="target"),
    CommandKind("limit", role="admin", needs_target=True, explains="all"),
    CommandKind("adopt", role="admin", needs_target=True, explains="text"),
    CommandKind("stop", role="admin"),
    CommandKind("speed"),
    CommandKind("ack", needs_target=True),
    CommandKind("backtest"),
    CommandKind("cancel", needs_target=True),
)

COMMANDS: Final[Mapping[str, CommandKind]] = {kind.name: kind for kind in _KINDS}
