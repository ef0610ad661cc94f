"""What alerts are made of: rules and channels as configured, alerts as they are kept."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec
from pydantic import SecretStr

from engine.model.times import NS_PER_MINUTE, NS_PER_S
from engine.notify.quiet import NEVER, Quiet

Level = Literal["debug", "info", "warning", "error", "critical"]
RANKS: Final[Mapping[str, int]] = MappingProxyType(
    {"debug": 0, "info": 1, "warning": 2, "error": 3, "critical": 4}
)
CRITICAL: Final = "critical"


class AlertRule(msgspec.Struct, frozen=True, kw_only=True):
    """Which events raise an alert, and where it goes.

    `level`: at least; `source`, `text`: shell patterns. Below critical it takes `count` events
    within `within_s`. `channels`, `escalate`: names, None for all.
    """

    name: str
    level: Level = "error"
    source: str = "*"
    text: str = "*"
    count: int = 1
    within_s: float = 60.0
    channels: tuple[str, ...] | None = None
    escalate: tuple[str, ...] | None = None


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """Where alerts go: a name for people and a URL of apprise's, which holds secrets."""

    name: str
    url: SecretStr
    quiet: Quiet = NEVER


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """When alerts go out.

    `digest_ns` lies between two messages of a channel, `repeat_ns` before an alert that went on
    is sent again, `escalate_ns` before a critical one that nobody acknowledged is; the last at
    most `escalations` times.
    """

    digest_ns: int = 20 * NS_PER_S
    repeat_ns: int = 10 * NS_PER_MINUTE
    escalate_ns: int = 15 * NS_PER_MINUTE
    escalations: int = 4
    deadline_s: float = 20.0


class AlertConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything configured. Without rules, errors and worse go to all channels."""

    rules: tuple[AlertRule, ...] = ()
    channels: tuple[Channel, ...] = ()
    policy: Policy = Policy()


class Delivery(msgspec.Struct):
    """An alert on its way through one channel. Times are the box's clock.

    `due_ns`: not before; `sent_ns`: when it last got through, 0 for never.
    """

    state: Literal["PENDING", "SENT", "FAILED"] = "PENDING"
    due_ns: int = 0
    tries: int = 0
    sent_ns: int = 0
    detail: str = ""


class Alert(msgspec.Struct, kw_only=True):
    """Events of one kind, the newest's text and time; `shape` is the text without its numbers.

    `last_ns`, `escalate_ns` and `acked_ns` are the box's clock, `time_ns` the engine's.
    """

    id: int
    rule: str
    level: Level
    source: str
    text: str
    shape: str
    n: int
    time_ns: int
    last_ns: int
    escalate_ns: int = 0
    escalations: int = 0
    acked_by: str = ""
    acked_ns: int = 0
    deliveries: dict[str, Delivery] = msgspec.field(default_factory=dict)

    @property
    def unacked_critical(self) -> bool:
        """Whether it is critical and nobody has acknowledged it."""
        return self.level == CRITICAL and not self.acked_by
