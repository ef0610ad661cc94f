"""What a channel is sent: one alert, or a digest of many with counts. Plain text."""

from collections.abc import Sequence
from typing import Final

import msgspec

from engine.model.times import NS_PER_S, iso_utc
from engine.notify.records import CRITICAL, RANKS, Alert

LINES_MAX: Final = 15
LINE_MAX: Final = 220


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it is handed over."""

    title: str
    body: str
    level: str


def compose(head: str, alerts: Sequence[Alert]) -> Message:
    """Return one message about alerts, the worst first; `head` says whose they are."""
    ordered = sorted(alerts, key=lambda a: (-RANKS[a.level], -a.last_ns, -a.id))
    lines = [_line(alert) for alert in ordered[:LINES_MAX]]
    if len(ordered) > LINES_MAX:
        lines.append(f"and {len(ordered) - LINES_MAX} more: `pmpro alert list` shows them")
    if waiting := [alert.id for alert in ordered if alert.unacked_critical]:
        lines.append(f"acknowledge: `pmpro alert ack {waiting[0] if len(waiting) == 1 else 'all'}`")
    return Message(
        title=f"{head}: {_counts(ordered)}", body="\n".join(lines), level=ordered[0].level
    )


def _line(alert: Alert) -> str:
    time = iso_utc(alert.time_ns - alert.time_ns % NS_PER_S)
    times = f" ({alert.n} times)" if alert.n > 1 else ""
    again = " NOT ACKNOWLEDGED" if alert.escalations and alert.level == CRITICAL else ""
    text = " ".join(alert.text.split())
    if len(text) > LINE_MAX:
        text = text[: LINE_MAX - 1] + "…"
    return f"{alert.level.upper()}{again} {time} {alert.source}: {text}{times}"


def _counts(alerts: Sequence[Alert]) -> str:
    if len(alerts) == 1:
        return f"{alerts[0].level} {alerts[0].source}"
    words = []
    for level in sorted({alert.level for alert in alerts}, key=lambda word: -RANKS[word]):
        n = sum(alert.level == level for alert in alerts)
        plural = "s" if n > 1 and level in ("error", "warning") else ""
        words.append(f"{n} {level}{plural}")
    return ", ".join(words)
