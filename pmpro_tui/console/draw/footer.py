"""The last line: what a key would hit, and the keys, from the action table."""

from pmpro_tui.console.actions import ACTIONS, TARGETED
from pmpro_tui.console.context import ConsoleAction, Context, why_not
from pmpro_tui.console.draw.text import Line, Span, fit, line_width

_ROOMY = 100


def footer_line(context: Context, pending: str, width: int) -> Line:
    """Return the footer: the target first, then as many keys as fit; impossible ones muted."""
    name = context.target or "nothing selected"
    head = Span(
        f" … {pending} " if pending else f" ▸ {name} ", "accent" if context.target else "muted"
    )
    if len(head.text) > width // 3:
        head = Span(fit(head.text, width // 3), head.tone)
    left = width - line_width(Line((head,)))
    roomy = width >= _ROOMY
    parts = [head]
    for action in _offered(context, roomy=roomy):
        able = why_not(action, context) is None
        # Brackets tell a disabled action where there is no colour.
        gap, joint = ("  ", " ") if roomy else (" ", ":")
        key = Span(
            f"{gap}{action.shown.split()[0]}{joint if able else ''}", "accent" if able else "muted"
        )
        label = Span(action.label) if able else Span(f"({action.label})", "muted")
        size = line_width(Line((key, label)))
        if size > left:
            break
        parts += [key, label]
        left -= size
    return Line(tuple(parts))


def _offered(context: Context, *, roomy: bool) -> list[ConsoleAction]:
    """Return what the screen knows; where room is short, nothing that wants a target in vain."""
    offered = [
        a for a in ACTIONS if a.rank is not None and (not a.screens or context.screen in a.screens)
    ]
    if not roomy and not context.target:
        offered = [a for a in offered if a.name not in TARGETED]
    return sorted(offered, key=lambda a: a.rank or 0)
