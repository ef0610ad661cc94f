"""The last line: what a key would hit, and the keys, from the action table."""

from pmpro_tui.console.actions import ACTIONS, Context, why_not
from pmpro_tui.console.text import Line, Span, fit, line_width


def footer_line(context: Context, pending: str, width: int) -> Line:
    """Return the footer: the target first, then as many keys as fit; impossible ones muted."""
    name = context.target or "nothing selected"
    head = Span(
        f" … {pending} " if pending else f" ▸ {name} ", "accent" if context.target else "muted"
    )
    if len(head.text) > width // 3:
        head = Span(fit(head.text, width // 3), head.tone)
    left = width - line_width(Line((head,)))
    chosen = []
    ranked = sorted((a for a in ACTIONS if a.rank is not None), key=lambda a: a.rank or 0)
    for action in ranked:
        size = len(action.shown) + len(action.label) + 3
        if size > left:
            break
        chosen.append(action)
        left -= size
    parts = [head]
    for action in chosen:
        able = why_not(action, context) is None
        parts += [
            Span(f" {action.shown}", "accent" if able else "muted"),
            # Brackets tell a disabled action where there is no colour.
            Span(f" {action.label} " if able else f"({action.label})", "" if able else "muted"),
        ]
    return Line(tuple(parts))
