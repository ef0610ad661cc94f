"""The first line of every screen: which engine, in which state, and how true it still is."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from engine.model.snapshot import Snapshot
from engine.model.times import NS_PER_S
from pmpro_tui.console.link import Link, Word
from pmpro_tui.console.text import Line, Span, age, line, line_width, spread

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
    width: int,
) -> Line:
    """Return the status line; what matters least goes first when there is no room."""
    truth = _truth(link, frozen_s)
    if now is None:
        return spread(line(_chip(mode), " ", *truth), line(), width)
    marks = [Span(" READ-ONLY", "warn")] if readonly else []
    left = line(
        _chip(now.mode),
        f" {now.account} ",
        Span(f"{now.server}  ", "muted"),
        Span(now.state, _STATE_TONES[now.state]),
        "  ",
        *truth,
        *marks,
    )
    clock = datetime.fromtimestamp(now.market_ns // NS_PER_S, UTC)
    broker = (
        [Span("  data ", "muted"), Span(age(now.data_age_s + _added_s(link)))]
        if now.connected
        else [Span("  TERMINAL LOST", "bad")]
    )
    speed = [Span("  speed ", "muted"), Span(f"{now.speed:g}×")] if _is_played(now) else []
    engine = [Span("  engine ", "muted"), Span(f"{now.latency_ms:.0f}ms")]
    return _fit(
        left,
        broker,
        engine,
        speed,
        _store(now),
        (f"  {clock:%H:%M:%S}Z ", f"  {clock:%Y-%m-%d %H:%M:%S} UTC "),
        width,
    )


def _fit(
    left: Line,
    broker: Sequence[Span],
    engine: Sequence[Span],
    speed: Sequence[Span],
    store: Sequence[Span],
    clocks: tuple[str, str],
    width: int,
) -> Line:
    short, full = clocks
    for parts in (
        (*broker, *engine, *speed, *store, Span(full, "bold")),
        (*broker, *engine, *speed, *store, Span(short, "bold")),
        (*broker, *engine, *speed, Span(short, "bold")),
    ):
        right = Line(tuple(parts))
        if line_width(left) + line_width(right) <= width:
            break
    else:
        # The words before the numbers go, never the numbers themselves.
        right = Line(tuple(s for s in right.spans if s.tone != "muted" or not s.text.strip()))
        right = Line(tuple(Span(" " + s.text.strip(), s.tone) for s in right.spans))
        left = Line(tuple(s for s in left.spans if s.tone != "muted"))
    return spread(left, right, width)


def _truth(link: Link, frozen_s: float | None) -> list[Span]:
    word = link.word
    spans = [Span(f"{word} {age(link.age_s())}", _LINK_TONES[word])]
    if frozen_s is not None:
        spans.insert(0, Span(f"FROZEN {age(frozen_s)} ", "warn"))
    return spans


def _chip(mode: str) -> Span:
    return Span(f" {mode.upper()} ", _MODE_TONES.get(mode, "other-mode"))


def _added_s(link: Link) -> float:
    # Between snapshots the data goes on ageing; under a second that is only noise.
    return link.age_s() if link.word in ("STALE", "LOST") else 0.0


def _is_played(now: Snapshot) -> bool:
    return now.mode in ("demo", "replay")


def _store(now: Snapshot) -> list[Span]:
    if now.database in ("", "ok"):
        return []
    backlog = f" {now.journal_backlog:,}" if now.journal_backlog else ""
    return [Span(f"  db {now.database}{backlog}", "warn")]
