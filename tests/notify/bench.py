"""A desk on a clock of its own."""

import itertools
from collections.abc import Iterable
from typing import Any

from pydantic import SecretStr

from engine.model.times import NS_PER_MINUTE, NS_PER_S
from engine.model.views.snapshot import AlertView, EventView
from engine.notify.desk import GATHER_NS, AlertRegister, Batch
from engine.notify.quiet import NEVER, Quiet
from engine.notify.records import Alert, AlertConfig, AlertRule, Channel, Policy
from engine.notify.views import seen

# 2026-11-25 12:00 UTC
NOON_NS = 1_795_608_000 * NS_PER_S
POLICY = Policy(
    digest_ns=20 * NS_PER_S,
    repeat_ns=10 * NS_PER_MINUTE,
    escalate_ns=15 * NS_PER_MINUTE,
    escalations=3,
)


def channel(name: str, quiet: Quiet = NEVER, url: str = "json://127.0.0.1:9/none") -> Channel:
    return Channel(name=name, url=SecretStr(url), quiet=quiet)


class DeskBench:
    """Drives a desk second by second; `sent` has what went out and was said to have arrived."""

    def __init__(
        self, *channels: Channel, rules: Iterable[AlertRule] = (), kept: Iterable[Alert] = ()
    ) -> None:
        self.now_ns = NOON_NS
        self.desk = AlertRegister(
            AlertConfig(rules=tuple(rules), channels=channels or (channel("mail"),), policy=POLICY),
            lambda: self.now_ns,
        )
        self.desk.load(kept)
        self.sent: list[tuple[float, str, list[str]]] = []
        self.broken: set[str] = set()
        self._seq = itertools.count(1)

    @property
    def at_s(self) -> float:
        """Seconds since the start."""
        return (self.now_ns - NOON_NS) / NS_PER_S

    def event(self, level: str, source: str = "risk", text: str = "bad", n: int = 1) -> None:
        for _ in range(n):
            self.desk.take(
                EventView(
                    seq=next(self._seq), time_ns=self.now_ns, level=level, source=source, text=text
                )
            )

    def run(self, seconds: float) -> None:
        """Let time pass in steps of a second; a broken channel fails, the others deliver."""
        for _ in range(int(seconds)):
            self.now_ns += NS_PER_S
            for batch in self.desk.turn():
                self._deliver(batch)

    def _deliver(self, batch: Batch) -> None:
        ok = batch.channel not in self.broken
        if ok:
            texts = [f"{alert.n} {alert.text}" for alert in batch.alerts]
            self.sent.append((self.at_s, batch.channel, texts))
        self.desk.done(batch.channel, ok=ok, detail="E-Mail" if ok else "no")

    def gather(self) -> None:
        """Let just enough time pass for a first message."""
        self.run(GATHER_NS // NS_PER_S)

    def views(self) -> tuple[AlertView, ...]:
        return seen(self.desk, self.now_ns, 0).alerts

    def channels_sent(self) -> list[str]:
        return [name for _, name, _ in self.sent]

    def saved(self) -> list[Any]:
        """All alerts, as they would be on the disk."""
        import msgspec

        body = msgspec.msgpack.encode(list(self.desk.alerts.values()))
        return msgspec.msgpack.decode(body, type=list[Alert])
