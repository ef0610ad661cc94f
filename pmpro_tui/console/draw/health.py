"""What the engine depends on, a line each: a word, and what there is to know. Pure."""

from textwrap import wrap

from rich.cells import cell_len

from engine.model.views.snapshot import Snapshot
from pmpro_tui.console.draw.text import Line, Span, age, fit, line

_WORD_WIDTH = 8


def health_lines(now: Snapshot, data_age_s: float, width: int, *, silence: str = "") -> list[Line]:
    """Return feed, terminal, database, strategies' hosts, engine, consoles and alerts.

    `silence`: that the engine says nothing, and for how long; "" while it speaks.
    """
    return [
        shown
        for name, word, tone, rest in facts(now, data_age_s, silence=silence)
        for shown in _fact(name, Span(word, tone), rest, width)
    ]


def _fact(name: str, word: Span, rest: str, width: int) -> list[Line]:
    """Return a fact's line; why something is not well goes on below, never cut."""
    room = max(1, width - 11 - max(_WORD_WIDTH, cell_len(word.text)))
    trouble = word.tone in ("bad", "warn")
    first, *more = (wrap(rest, max(8, room)) if trouble else [rest]) or [""]
    head = (Span(f" {name:<9}", "muted"), Span(f"{word.text:<{_WORD_WIDTH}}", word.tone))
    indent = " " * (width - room)
    return [line(*head, fit(f" {first}", room + 1)), *(line(f"{indent}{part}") for part in more)]


def worries(now: Snapshot, data_age_s: float, *, silence: str = "") -> list[str]:
    """Return what is not as it should be, in words."""
    if silence:
        return [f"engine {silence}: nothing here is newer"]
    return [
        f"{name.lower()} {word}"
        for name, word, tone, _ in facts(now, data_age_s)
        if tone in ("bad", "warn")
    ]


def facts(
    now: Snapshot, data_age_s: float, *, silence: str = ""
) -> list[tuple[str, str, str, str]]:
    """Return (name, word, tone, what there is to know); of a silent engine, what it last said."""
    if silence:
        said = facts(now, data_age_s)
        was = [(name, f"was {word}", "muted", rest) for name, word, _, rest in said]
        engine = ("Engine", silence, "bad", "silent: the rest was then")
        return [engine, *(fact for fact in was if fact[0] != "Engine")]
    return [
        _feed(now, data_age_s),
        _terminal(now),
        _database(now),
        _hosts(now),
        _engine(now),
        _consoles(now),
        _alerts(now),
    ]


def _feed(now: Snapshot, data_age_s: float) -> tuple[str, str, str, str]:
    if not now.connected:
        return ("Feed", "LOST", "bad", "no prices: the terminal does not answer")
    return ("Feed", "OK", "good", f"prices {age(data_age_s)} old")


def _terminal(now: Snapshot) -> tuple[str, str, str, str]:
    terminal = now.terminal
    rest = f"{terminal.call_ms:.1f} ms, worst {terminal.call_worst_ms:.0f}"
    if terminal.n_failed:
        rest += f", {terminal.n_failed:,} failed"
    if not now.connected:
        return ("Terminal", "LOST", "bad", rest)
    if terminal.doubt:
        return ("Terminal", "DOUBT", "bad", f"no entries: {terminal.doubt}")
    if terminal.host_restarts:
        return ("Terminal", "RESTARTS", "warn", f"{terminal.host_restarts} lately; {rest}")
    return ("Terminal", "OK", "good", rest)


def _database(now: Snapshot) -> tuple[str, str, str, str]:
    rest = f"{now.journal_backlog:,} rows wait" if now.journal_backlog else "all written"
    if now.database in ("", "ok"):
        return ("Database", "OK", "good", rest)
    return ("Database", now.database.upper(), "warn", rest)


def _hosts(now: Snapshot) -> tuple[str, str, str, str]:
    out = [s.name for s in now.strategies if s.state == "QUARANTINED"]
    n_on = sum(s.state == "ON" for s in now.strategies)
    if out:
        return ("Hosts", f"{len(out)} OUT", "bad", f"quarantined: {', '.join(out)}")
    return ("Hosts", "OK", "good", f"{n_on} of {len(now.strategies)} strategies on")


def _engine(now: Snapshot) -> tuple[str, str, str, str]:
    if now.log.trouble:
        return ("Engine", "NO LOG", "warn", f"{now.log.name}: {now.log.trouble}")
    return ("Engine", "OK", "good", f"last batch {now.latency_ms:.1f} ms")


def _consoles(now: Snapshot) -> tuple[str, str, str, str]:
    n, refused = now.control.n_clients, sum(now.control.refused.values())
    rest = f"{n} attached" + (f", {refused:,} requests refused" if refused else "")
    return ("Consoles", "OK", "good", rest)


def _alerts(now: Snapshot) -> tuple[str, str, str, str]:
    failing = [c.name for c in now.channels if c.state == "FAILING"]
    rest = "; ".join(
        part
        for part in (
            f"failing: {', '.join(failing)}" if failing else "",
            f"{now.n_alerts_lost:,} lost" if now.n_alerts_lost else "",
            f"{sum(1 for a in now.alerts if not a.acked_ns)} not seen" if now.alerts else "none",
        )
        if part
    )
    if now.n_unacked_critical:
        return ("Alerts", "CRITICAL", "bad", rest)
    return ("Alerts", "FAILING", "warn", rest) if failing else ("Alerts", "OK", "good", rest)
