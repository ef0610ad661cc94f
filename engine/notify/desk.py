"""What becomes of alerts: raised, gathered, sent, tried again, escalated, acknowledged.

No I/O and no thread: `AlertService` calls it under its lock, saves what `take_changes` returns and
hands over what `turn` returns. Time is the box's clock, injected.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from engine.model.backoff import Backoff
from engine.model.errors import UserError
from engine.model.times import NS_PER_S
from engine.model.views.snapshot import EventView
from engine.notify.records import CRITICAL, Alert, AlertConfig, AlertRule, Channel, Delivery
from engine.notify.rules import Rulebook

GATHER_NS: Final = 2 * NS_PER_S
RETRY_FIRST_S: Final = 5.0
RETRY_MOST_S: Final = 15 * 60.0
TRIES_MAX: Final = 20
KEPT: Final = 1_000
# Forgetting sorts: so many at once.
_KEPT_SLACK: Final = 100
TEXT_MAX: Final = 500

_NUMBER = re.compile(r"\d+([.,:]\d+)*")


class Batch(NamedTuple):
    """Alerts that are to go through a channel in one message."""

    channel: str
    alerts: Sequence[Alert]


class ChannelState:
    """A channel's state: what is on its way, when it sent, how often it has failed in a row."""

    def __init__(self, channel: Channel, now_ns: Callable[[], int]) -> None:
        self.channel = channel
        self.in_flight: dict[int, int] = {}
        self.sent_ns = 0
        self.backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S, now_ns)
        self.detail = ""

    def free(self, now_ns: int, digest_ns: int, *, hurry: bool) -> bool:
        """Tell whether a message may go now."""
        if self.in_flight or not self.backoff.may_try():
            return False
        return hurry or not waits(self.sent_ns + digest_ns, now_ns, digest_ns)


class AlertRegister:
    """All alerts, by id, and the channels they go through."""

    def __init__(self, config: AlertConfig, now_ns: Callable[[], int]) -> None:
        self.alerts: dict[int, Alert] = {}
        self.lines = {channel.name: ChannelState(channel, now_ns) for channel in config.channels}
        self.rulebook = Rulebook(config.rules)
        self.n_forgotten = 0
        self.n_changes = 0
        self._policy = config.policy
        self._now_ns = now_ns
        self._last_id = 0
        self._open: dict[tuple[str, str, str], int] = {}
        self._live: set[int] = set()
        self._changed: set[int] = set()

    def load(self, alerts: Iterable[Alert]) -> None:
        """Go on with the alerts of an earlier life; what was on its way goes out again."""
        for alert in sorted(alerts, key=lambda a: a.id):
            kept = alert.deliveries.items()
            alert.deliveries = {
                name: delivery
                for name, delivery in kept
                if name in self.lines and not (alert.acked_by and delivery.state == "PENDING")
            }
            self.alerts[alert.id] = alert
            self._last_id = alert.id
            if not alert.acked_by:
                self._open[_key(alert)] = alert.id
            self._touch(alert)
        self._changed.clear()

    def take(self, event: EventView) -> None:
        """Raise an alert for an event, or add it to one of its kind."""
        now_ns, rule = self._now_ns(), self.rulebook.match(event)
        if rule is None:
            return
        shape = _NUMBER.sub("#", event.text)[:TEXT_MAX]
        alert = self._of_its_kind(event, shape, now_ns)
        n = 1 if alert is not None else self.rulebook.reached(rule, event, now_ns)
        if n == 0:
            return
        if alert is None:
            alert = self._raise(rule, event, shape, now_ns)
        else:
            self._repeat(alert, now_ns)
        alert.n += n
        alert.text, alert.time_ns, alert.last_ns = event.text[:TEXT_MAX], event.time_ns, now_ns
        self._touch(alert)

    def _of_its_kind(self, event: EventView, shape: str, now_ns: int) -> Alert | None:
        """Return the alert that an event adds to: not acknowledged, and critical or young."""
        alert = self.alerts.get(self._open.get((event.level, event.source, shape), 0))
        if alert is None or alert.level == CRITICAL:
            return alert
        return alert if waits(alert.last_ns + self._policy.repeat_ns, now_ns) else None

    def _raise(self, rule: AlertRule, event: EventView, shape: str, now_ns: int) -> Alert:
        if len(self.alerts) >= KEPT + _KEPT_SLACK:
            self._forget(_KEPT_SLACK)
        self._last_id += 1
        due_ns = now_ns + GATHER_NS
        alert = Alert(
            id=self._last_id,
            rule=rule.name,
            level=event.level,  # type: ignore[arg-type]  # the event log knows no others
            source=event.source,
            text="",
            shape=shape,
            n=0,
            time_ns=event.time_ns,
            last_ns=now_ns,
            escalate_ns=now_ns + self._policy.escalate_ns,
            deliveries={name: Delivery(due_ns=due_ns) for name in self._named(rule.channels)},
        )
        self.alerts[alert.id] = alert
        self._open[_key(alert)] = alert.id
        return alert

    def _repeat(self, alert: Alert, now_ns: int) -> None:
        """Have an alert that got out, or was given up, go out again with its new count."""
        for delivery in alert.deliveries.values():
            if delivery.state != "PENDING":
                delivery.state, delivery.tries = "PENDING", 0
                delivery.due_ns = max(now_ns, delivery.sent_ns + self._policy.repeat_ns)

    def turn(self, *, hurry: bool = False) -> list[Batch]:
        """Return what is to be sent now; each is answered by `done`. `hurry`: gather no longer."""
        now_ns = self._now_ns()
        for alert_id in tuple(self._live):
            self._escalate(self.alerts[alert_id], now_ns)
        batches = []
        for name, line in self.lines.items():
            if not line.free(now_ns, self._policy.digest_ns, hurry=hurry):
                continue
            quiet = bool(line.channel.quiet.until(now_ns))
            due = [a for a in self._waiting(name) if not (quiet and a.level != CRITICAL)]
            if not hurry:
                repeat_ns = self._policy.repeat_ns
                due = [a for a in due if not waits(a.deliveries[name].due_ns, now_ns, repeat_ns)]
            if due:
                self._dispatch(line, due)
                batches.append(Batch(name, due))
        return batches

    def n_waiting(self, channel: str) -> int:
        """Return how many alerts have not got through a channel yet."""
        return sum(not a.deliveries[channel].sent_ns for a in self._waiting(channel))

    def _waiting(self, channel: str) -> list[Alert]:
        alerts = [self.alerts[alert_id] for alert_id in sorted(self._live)]
        return [a for a in alerts if _pending(a.deliveries.get(channel))]

    def _dispatch(self, line: ChannelState, alerts: Sequence[Alert]) -> None:
        # Counted before it goes: a crash in between must not make the tries endless.
        for alert in alerts:
            alert.deliveries[line.channel.name].tries += 1
            line.in_flight[alert.id] = alert.n
            self._changed.add(alert.id)

    def _escalate(self, alert: Alert, now_ns: int) -> None:
        policy = self._policy
        if not alert.unacked_critical or alert.escalations >= policy.escalations:
            return
        if waits(alert.escalate_ns, now_ns, policy.escalate_ns):
            return
        alert.escalations += 1
        alert.escalate_ns = now_ns + policy.escalate_ns
        rule = self.rulebook.rule(alert.rule)
        for name in dict.fromkeys((*self._named(rule.channels), *self._named(rule.escalate))):
            delivery = alert.deliveries.setdefault(name, Delivery())
            delivery.state, delivery.tries, delivery.due_ns = "PENDING", 0, now_ns
        self._touch(alert)

    def done(self, channel: str, *, ok: bool, detail: str) -> None:
        """Take what became of a channel's message."""
        now_ns, line = self._now_ns(), self.lines[channel]
        in_flight, line.in_flight = line.in_flight, {}
        line.detail = detail
        self.n_changes += 1
        if ok:
            line.sent_ns = now_ns
            line.backoff.succeeded()
        else:
            line.backoff.failed()
        for alert_id, n_sent in in_flight.items():
            alert = self.alerts.get(alert_id)
            delivery = None if alert is None else alert.deliveries.get(channel)
            if alert is None or delivery is None:  # forgotten, or acknowledged, on its way
                continue
            delivery.detail = detail
            if not ok and alert.acked_by:
                del alert.deliveries[channel]
            elif ok:
                delivery.state, delivery.tries, delivery.sent_ns = "SENT", 0, now_ns
                if alert.n > n_sent:
                    self._repeat(alert, now_ns)
            elif delivery.tries >= TRIES_MAX:
                delivery.state = "FAILED"
            self._touch(alert)

    def ack(self, target: str, who: str, up_to: int = 0) -> str:
        """Acknowledge one alert, or all with an id up to `up_to` (0: all); say which.

        Raises:
            UserError: there is none with this id, or it is acknowledged.
        """
        if target == "all":
            ids = [a.id for a in self.alerts.values() if not a.acked_by]
            ids = [i for i in ids if not up_to or i <= up_to]
        else:
            ids = [self._acknowledgeable(target)]
        n_critical = sum(self.alerts[i].level == CRITICAL for i in ids)
        for alert_id in ids:
            alert = self.alerts[alert_id]
            alert.acked_by, alert.acked_ns = who, self._now_ns()
            self._recall(alert)
            self._open.pop(_key(alert), None)
            self._touch(alert)
        if target != "all":
            return f"acknowledged alert {target}"
        return f"acknowledged {len(ids)} alert(s), {n_critical} critical"

    def _recall(self, alert: Alert) -> None:
        """Take an alert's deliveries back that have not begun."""
        for name, delivery in tuple(alert.deliveries.items()):
            if delivery.state == "PENDING" and alert.id not in self.lines[name].in_flight:
                if delivery.sent_ns:  # it got out before; only its new count did not
                    delivery.state = "SENT"
                else:
                    del alert.deliveries[name]

    def _acknowledgeable(self, target: str) -> int:
        alert = self.alerts.get(int(target)) if target.isdecimal() else None
        if alert is None:
            raise UserError(f"there is no alert {target!r}: `pmpro alert list` shows them")
        if alert.acked_by:
            raise UserError(f"alert {target} was acknowledged by {alert.acked_by}")
        return alert.id

    @property
    def sending(self) -> bool:
        """Whether a message is on its way."""
        return any(line.in_flight for line in self.lines.values())

    def take_changes(self) -> tuple[list[Alert], list[int]]:
        """Return alerts to be saved and ids to be forgotten, since the last call."""
        changed, self._changed = self._changed, set()
        kept = [self.alerts[i] for i in sorted(changed) if i in self.alerts]
        return kept, sorted(changed - self.alerts.keys())

    def keep_changes(self, alerts: Iterable[Alert], forgotten: Iterable[int]) -> None:
        """Take changes back that could not be saved."""
        self._changed.update((alert.id for alert in alerts), forgotten)

    def _named(self, names: tuple[str, ...] | None) -> list[str]:
        return list(self.lines) if names is None else [n for n in names if n in self.lines]

    def _touch(self, alert: Alert) -> None:
        self.n_changes += 1
        self._changed.add(alert.id)
        pending = any(_pending(delivery) for delivery in alert.deliveries.values())
        if pending or alert.unacked_critical:
            self._live.add(alert.id)
        else:
            self._live.discard(alert.id)

    def _forget(self, n: int) -> None:
        """Forget the `n` least worth keeping: acknowledged, harmless and old ones first."""
        least = sorted(
            self.alerts.values(), key=lambda a: (a.unacked_critical, a.id in self._live, a.last_ns)
        )
        for alert in least[:n]:
            self.n_forgotten += alert.id in self._live
            del self.alerts[alert.id]
            self._live.discard(alert.id)
            if self._open.get(_key(alert)) == alert.id:
                del self._open[_key(alert)]
            self._changed.add(alert.id)


def waits(due_ns: int, now_ns: int, most_ns: int | None = None) -> bool:
    """Tell whether a time is still to come, but no further than `most_ns`: clocks are set back."""
    return now_ns < due_ns and (most_ns is None or due_ns - now_ns <= most_ns)


def _pending(delivery: Delivery | None) -> bool:
    return delivery is not None and delivery.state == "PENDING"


def _key(alert: Alert) -> tuple[str, str, str]:
    return alert.level, alert.source, alert.shape
