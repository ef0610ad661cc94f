"""Alerts and channels as consoles see them."""

import msgspec

from engine.model.views.snapshot import AlertView, ChannelView
from engine.notify.desk import TRIES_MAX, AlertRegister
from engine.notify.records import CRITICAL, Alert, Delivery

SHOWN = 200
_TEXT_MAX = 300
# What the operator should hear first where channels differ.
_WORST_FIRST = ("FAILED", "PENDING", "HELD", "SENT")


class AlertsView(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot shows of alerts."""

    alerts: tuple[AlertView, ...] = ()
    n_unacked_critical: int = 0
    n_lost: int = 0
    channels: tuple[ChannelView, ...] = ()


def seen(register: AlertRegister, now_ns: int, n_lost: int) -> AlertsView:
    """Return the newest alerts, newest first, and the channels."""
    quiet = {name: line.channel.quiet.until(now_ns) for name, line in register.lines.items()}
    newest = sorted(register.alerts.values(), key=lambda a: (a.last_ns, a.id), reverse=True)
    return AlertsView(
        alerts=tuple(_alert(alert, quiet) for alert in newest[:SHOWN]),
        n_unacked_critical=sum(alert.unacked_critical for alert in newest),
        n_lost=n_lost + register.n_forgotten,
        channels=tuple(_channel(register, name, until) for name, until in quiet.items()),
    )


def _alert(alert: Alert, quiet: dict[str, str]) -> AlertView:
    return AlertView(
        id=alert.id,
        time_ns=alert.time_ns,
        level=alert.level,
        source=alert.source,
        text=alert.text[:_TEXT_MAX],
        n=alert.n,
        acked_by=alert.acked_by,
        acked_ns=alert.acked_ns,
        delivery=_delivery(alert, quiet),
    )


def _delivery(alert: Alert, quiet: dict[str, str]) -> str:
    told = [_of_channel(alert, name, d, quiet) for name, d in alert.deliveries.items()]
    of_word = {
        word: ", ".join(f"{name} {text}".strip() for said, name, text in told if said == word)
        for word in _WORST_FIRST
    }
    return "; ".join(f"{word} {names}" for word, names in of_word.items() if names) or "NONE"


def _of_channel(
    alert: Alert, name: str, delivery: Delivery, quiet: dict[str, str]
) -> tuple[str, str, str]:
    if delivery.state == "SENT":
        return "SENT", name, ""
    if delivery.state == "FAILED":
        return "FAILED", name, f"after {TRIES_MAX} tries: {delivery.detail}"
    if quiet.get(name) and alert.level != CRITICAL:
        return "HELD", name, f"until {quiet[name]}"
    if delivery.sent_ns:
        return "SENT", name, ""  # it goes again, with its new count
    tried = f"try {delivery.tries}: {delivery.detail}" if delivery.detail else ""
    return "PENDING", name, tried


def _channel(register: AlertRegister, name: str, until: str) -> ChannelView:
    line = register.lines[name]
    n_waiting = register.n_waiting(name)
    if n_failed := line.backoff.n_failed:
        detail = f"{n_failed} failed in a row: {line.detail}"
        return ChannelView(name=name, state="FAILING", n_waiting=n_waiting, detail=detail)
    if until:
        return ChannelView(name=name, state="QUIET", n_waiting=n_waiting, detail=f"until {until}")
    return ChannelView(name=name, state="OK", n_waiting=n_waiting)
