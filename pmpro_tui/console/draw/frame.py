"""The lines around every screen: the screens' names, a small screen's panels, the first steps."""

from collections.abc import Mapping, Sequence

from engine.model.views.snapshot import Snapshot
from pmpro_tui.console.actions import BY_NAME, SCREENS
from pmpro_tui.console.context import known
from pmpro_tui.console.draw.text import Line, Span, fit, line, line_width, spread


def names(now: Snapshot | None, shown: str, width: int) -> Line:
    """Return the screens' names with their keys; brackets mark the one that is shown."""
    counts = {}
    if now is not None and known(now):
        counts = {"strategies": len(now.strategies), "positions": len(now.positions)}
    for numbers, gap in ((counts, " "), ({}, "")):
        parts = []
        for name in SCREENS:
            action = BY_NAME[name]
            text = f"{action.keys[0]} {action.label} {numbers.get(name, '')}".strip()
            on = name == shown
            parts.append(Span(f"[{text}]" if on else f"{gap}{text}{gap}", "tab" if on else "muted"))
            parts.append(Span("" if gap else " "))
        full = Line(tuple(parts[:-1]))
        if line_width(full) <= width:
            break
    return full


def name_at(of: Line, x: int) -> str:
    """Return the screen whose name covers a cell of the line of names, "" for none."""
    left = 0
    for span in of.spans:
        if left <= x < left + len(span.text) and span.text.strip(" []"):
            key = span.text.strip(" []")[0]
            return next(name for name in SCREENS if BY_NAME[name].keys[0] == key)
        left += len(span.text)
    return ""


def tabs(
    panels: Mapping[str, str], counts: Mapping[str, int], active: str, remark: str, width: int
) -> Line:
    """Return the small screen's panel names; brackets mark the one that is shown."""
    parts = []
    for name, title in panels.items():
        text = f"{title} {counts.get(name, '')}".strip()
        on = name == active
        parts.append(Span(f"[{text}]" if on else f" {text} ", "tab" if on else "muted"))
    full = Line(tuple(parts))
    room = width - line_width(full) - 2
    right = fit(remark, room, "right") if room > 0 else ""
    return spread(full, line(Span(f"{right} ", "accent")), width)


def steps(done: Sequence[str], height: int) -> list[Line]:
    """Return how far the start of the engine is."""
    texts = ("the engine", "", *done[-max(1, height - 3) :])
    return [Line(), *(line(Span(f"  {text}", "muted")) for text in texts)]
