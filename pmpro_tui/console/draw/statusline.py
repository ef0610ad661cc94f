"""The first line of every screen: which engine, in which state, and how true it still is."""

from typing import Final

from engine.model.views.freshness import Word
from engine.model.views.snapshot import Snapshot
from pmpro_tui.console.draw.text import Line, Span, age, line, line_width, spread
from pmpro_tui.console.draw.zone import Zone
from pmpro_tui.console.link import Link

_MODE_TONES: Final = {"live": "live", "demo": "demo"}
_STATE_TONES: Final = {
    "STARTING": "warn",
    "ACTIVE": "good",
    "REDUCING": "warn",
    "HALTED": "bad",
    "STOPPING": "warn",
}
_LINK_TONES: Final[dict[Word, str]] = {
    "CONNECTING": "warn",
    "FRESH": "good",
    "STALE": "bad",
    "LOST": "bad",
}


def status_line(
    now: Snapshot | None,
    link: Link,
    *,
    mode: str,
    frozen_s: float | None,
    readonly: bool,
    zone: Zone,
    width: int,
) -> Line:
    """Return the status line; what matters least goes first when there is no room."""
    truth = _truth(link, frozen_s)
    if now is None:
        return spread(line(_chip(mode), " ", *truth), line(), width)
    marks = [Span("  READ-ONLY", "warn")] if readonly else []
    account = Span(f" {now.account} " if now.account else " no account yet ")
    state = Span(now.state, _STATE_TONES[now.state] if link.word == "FRESH" else "muted")
    short = line(_chip(now.mode), account, state, " ", *truth, *marks)
    server = Span(f"{now.server}  ", "muted")
    left = line(_chip(now.mode), account, server, state, "  ", *truth, *marks)
    named, bare = _measures(now, link, named=True), _measures(now, link, named=False)
    day, time = _clocks(now, zone)
    for head, tail in (
        (left, (*named, *_store(now), day)),
        (left, (*named, *_store(now), time)),
        (left, (*named, time)),
        (short, (*bare, *_store(now), time)),
    ):
        if line_width(head) + line_width(Line(tail)) < width:
            return spread(head, Line(tail), width)
    return spread(short, Line((*bare, time)), width)


def _measures(now: Snapshot, link: Link, *, named: bool) -> list[Span]:
    """Return data age, engine latency and speed, with or without their names."""
    if now.connected or now.state == "STARTING":
        values = [("data", Span(age(data_age_s(now, link))))]
    else:
        values = [("terminal", Span("TERMINAL LOST", "bad"))]
    values.append(("engine", Span(f"{now.latency_ms:.0f}ms")))
    if now.mode in ("demo", "replay"):
        values.append(("speed", Span(f"{now.speed:g}×")))
    spans = []
    for name, value in values:
        spans += [Span(f"  {name} " if named and value.tone != "bad" else " ", "muted"), value]
    return spans


def _clocks(now: Snapshot, zone: Zone) -> tuple[Span, Span]:
    """Return the market's clock with and without its date."""
    if not now.market_ns:
        return Span("  --:--:-- ", "muted"), Span("  --:--:-- ", "muted")
    label, time = zone.label(now.market_ns), zone.at(now.market_ns)
    short = "Z" if label == "UTC" else f" {label}"
    return (
        Span(f"  {time:%Y-%m-%d %H:%M:%S} {label} ", "bold"),
        Span(f"  {time:%H:%M:%S}{short} ", "bold"),
    )


def _truth(link: Link, frozen_s: float | None) -> list[Span]:
    word = link.word
    spans = [Span(f"{word} {age(link.age_s())}", _LINK_TONES[word])]
    if frozen_s is not None:
        spans.insert(0, Span(f"FROZEN {age(frozen_s)} ", "warn"))
    return spans


def _chip(mode: str) -> Span:
    return Span(f" {mode.upper() or '…'} ", _MODE_TONES.get(mode, "other-mode"))


def data_age_s(now: Snapshot, link: Link) -> float:
    """Return how old the prices are."""
    # Between snapshots the data goes on ageing; under a second that is only noise.
    return now.data_age_s + (link.age_s() if link.word in ("STALE", "LOST") else 0.0)


def _store(now: Snapshot) -> list[Span]:
    if now.database in ("", "ok"):
        return []
    backlog = f" {now.journal_backlog:,}" if now.journal_backlog else ""
    return [Span(f"  db {now.database}{backlog}", "warn")]
