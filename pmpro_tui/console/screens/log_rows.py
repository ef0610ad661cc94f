"""The tables of the audit trail and of orders, and one record told line by line."""

import json
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from engine.model.views.details import AuditEntry, OrderDetail, OrderView, RecordDetail, RuleView
from engine.model.views.snapshot import EventView
from pmpro_tui.console.draw.columns import Column
from pmpro_tui.console.draw.text import NONE, Line, Span, aligned, fit, full_price, gain, line_text

_Entry = Column[AuditEntry]
_Order = Column[OrderView]

Clock = Callable[[int], str]
_SIDES: Final = {"BUY": Span("▲ BUY", "good"), "SELL": Span("▼ SELL", "bad")}
_DIRECTIONS: Final = {1: "▲ long", 0: "● flat", -1: "▼ short"}


def audit_columns(clock: Clock) -> tuple[_Entry, ...]:
    """Return the columns of the audit trail."""
    return (
        _Entry(header="Time", cell=lambda e: Span(clock(e.time_ns), "muted"), least=14, most=14),
        _Entry(
            header="",
            cell=lambda e: Span("✗" if e.status == "FAILED" else "✓", _status_tone(e)),
            least=1,
            most=1,
            rank=1,
        ),
        _Entry(header="Event", cell=lambda e: Span(e.event_type), least=10, most=10, rank=2),
        _Entry(header="Who", cell=lambda e: Span(e.actor), least=6, most=14, rank=4, measured=True),
        _Entry(
            header="Details",
            cell=lambda e: Span(summary(e), _status_tone(e) if e.status == "FAILED" else ""),
            least=24,
            most=1000,
            rank=3,
        ),
    )


def _status_tone(entry: AuditEntry) -> str:
    return "bad" if entry.status == "FAILED" else "good"


def summary(entry: AuditEntry) -> str:
    """Return an entry's details in short: a command as it was given, else keys and values."""
    details = json.loads(entry.details)
    if entry.event_type == "COMMAND" and "command" in details:
        given = " ".join(str(details.get(k) or "") for k in ("command", "target")).strip()
        result = details.get("result")
        return f"{given}: {result}" if result else given
    return ", ".join(f"{key} {_short(value)}" for key, value in details.items())


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def order_columns(clock: Clock) -> tuple[_Order, ...]:
    """Return the columns of orders."""
    return (
        _Order(header="Time", cell=lambda o: Span(clock(o.time_ns), "muted"), least=14, most=14),
        _Order(
            header="Book",
            cell=lambda o: Span(o.book),
            least=10,
            most=24,
            need=24,
            rank=1,
            measured=True,
        ),
        _Order(header="Symbol", cell=lambda o: Span(o.symbol), least=6, most=8, rank=3),
        _Order(header="What", cell=lambda o: Span(o.action), least=5, most=6, rank=5),
        _Order(
            header="Side",
            cell=lambda o: _SIDES.get(o.direction, Span(o.direction)),
            least=6,
            most=6,
            rank=7,
        ),
        _Order(
            header="Lots",
            cell=lambda o: Span(f"{o.lots:.2f}"),
            least=5,
            most=7,
            rank=6,
            align="right",
        ),
        _Order(header="State", cell=lambda o: Span(o.state), least=8, most=10, rank=4),
        _Order(
            header="Price",
            cell=lambda o: Span(full_price(o.price)),
            least=11,
            most=14,
            rank=8,
            align="right",
        ),
        _Order(
            header="Ticket",
            cell=lambda o: Span(str(o.order or NONE), "muted"),
            least=9,
            most=12,
            rank=9,
            align="right",
        ),
        _Order(
            header="Why",
            cell=lambda o: Span(o.detail, "muted"),
            least=0,
            most=60,
            need=28,
            rank=2,
            measured=True,
        ),
    )


class RecordLine(NamedTuple):
    """A line of a record."""

    number: int
    text: str
    tone: str = ""


def told(number: int, shown: Line) -> RecordLine:
    """Return a line that was painted, in its first tone."""
    return RecordLine(number, line_text(shown), next((s.tone for s in shown.spans if s.tone), ""))


TOLD: Final = (
    Column[RecordLine](header="", cell=lambda one: Span(one.text, one.tone), least=20, most=1000),
)


def event_lines(event: EventView, clock: Clock, width: int) -> list[RecordLine]:
    """Return everything about an event."""
    return _numbered(
        [
            (f"{clock(event.time_ns)}  {event.level}  {event.source}", "title"),
            ("", ""),
            *((part, "") for part in textwrap.wrap(event.text, max(20, width - 4))),
        ]
    )


def record_lines(record: RecordDetail, clock: Clock, width: int) -> list[RecordLine]:
    """Return everything about a record: the audit entry, the order from its end to its signals."""
    lines: list[tuple[str, str]] = []
    if record.audit is not None:
        lines += _audit_lines(record.audit, clock, width)
    if record.order is not None:
        lines += _order_lines(record.order, clock)
    return _numbered([(part, tone) for text, tone in lines for part in _wrapped(text, width - 4)])


def _wrapped(text: str, width: int) -> list[str]:
    """Return a line as it fits; what goes on stands under the values."""
    indent = " " * 20
    return textwrap.wrap(text, max(40, width), subsequent_indent=indent) or [""]


def _numbered(lines: list[tuple[str, str]]) -> list[RecordLine]:
    return [RecordLine(number, *said) for number, said in enumerate(lines)]


def _audit_lines(entry: AuditEntry, clock: Clock, width: int) -> Iterator[tuple[str, str]]:
    yield f"Audit entry {entry.id}: {entry.event_type} {entry.status} by {entry.actor}", "title"
    box = f"  {clock(entry.box_ns)} on the box" if entry.box_ns else ""
    yield f"{clock(entry.time_ns)}{box}", "muted"
    for key, value in json.loads(entry.details).items():
        text = _short(value)
        first, *rest = textwrap.wrap(text, max(20, width - 24)) or [""]
        yield f"  {key:<16}  {first}", ""
        yield from ((f"  {'':<16}  {part}", "") for part in rest)
    yield "", ""


def _order_lines(order: OrderDetail, clock: Clock) -> Iterator[tuple[str, str]]:
    number = order.order or "without a ticket"
    what = f"{order.action} {order.direction} {order.lots:g} {order.symbol} for {order.book}"
    yield f"Order {number}: {what}", "title"
    yield f"{clock(order.time_ns)}  magic {order.magic}", "muted"
    yield f"  {'state':<16}  {order.state} {order.detail} (code {order.retcode})".rstrip(), ""
    yield f"  {'price':<16}  {full_price(order.price).strip()}", ""
    levels = ", ".join(full_price(level).strip() for level in (order.stop, order.target))
    yield f"  {'stop, target':<16}  {levels}", ""
    closing = f"; closed by order {order.close_order}, deal {order.close_deal}"
    opening = f"deal {order.deal}" if order.deal else "none"
    yield f"  {'deals':<16}  {opening}{closing if order.close_deal else ''}", ""
    if order.result:
        yield f"  {'result':<16}  {order.result}", ""
    for name, part_ccy in order.parts.items():
        yield f"  {'':<16}  {name} {gain(part_ccy).text}", gain(part_ccy).tone
    if not order.rules:
        yield "  no decision is recorded for it", "muted"
        return
    yield from _decision_lines(order, clock)


def _decision_lines(order: OrderDetail, clock: Clock) -> Iterator[tuple[str, str]]:
    yield "", ""
    verdict = f"refused by {order.refusal}" if order.refusal else "accepted"
    yield f"Decision: {verdict}; its size", "title"
    yield from ((f"  {name:<24}  {value:>14}", "") for name, value in order.steps)
    yield "", ""
    yield "Votes and the signals behind them", "title"
    signals = {signal.strategy: signal for signal in order.signals}
    for vote in order.votes:
        word = _DIRECTIONS.get(vote.direction, "") if vote.votes else "no vote"
        signal = signals.get(vote.strategy)
        since = f"  {signal.signal} since {clock(signal.time_ns)}" if signal is not None else ""
        yield (
            (
                f"  {fit(vote.strategy, 24)}  {word:<8}  confidence {vote.confidence:.2f}"
                f"  share {vote.share:.2f}  of the entry {100.0 * vote.entry_share:.1f}%{since}"
            ),
            "",
        )
    yield "", ""
    yield "Rules", "title"
    yield from _rule_lines(order.rules)
    yield "", ""
    yield f"decided by code {order.code}", "muted"


def slot_lines(title: str, rules: Sequence[RuleView]) -> list[RecordLine]:
    """Return every rule of a slot's last decision."""
    return _numbered([(title, "title"), *_rule_lines(rules)])


def _rule_lines(rules: Sequence[RuleView]) -> Iterator[tuple[str, str]]:
    yield f"  {'rule':<20}{'value':>14}{'limit':>14}{'headroom':>14}", "header"
    for rule in rules:
        yield (
            (
                f"  {rule.name:<20}{aligned(rule.value):>14}{aligned(rule.limit):>14}"
                f"{aligned(rule.headroom):>14}  {'✓ ok' if rule.ok else '✗ REFUSED'}"
            ),
            "" if rule.ok else "bad",
        )
