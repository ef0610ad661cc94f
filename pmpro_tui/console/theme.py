"""Colours and layout. One accent; green and red only for gain and loss, with glyphs beside them."""

from typing import Final

from rich.style import Style
from textual.theme import Theme

_INK, _PAPER, _PANEL = "#c8cdd3", "#0e1216", "#1d252d"
_ACCENT, _MUTED, _RULE, _PLOT = "#d7a65f", "#7d8893", "#36414c", "#79a8c9"
_GOOD, _WARN, _BAD = "#6fb98f", "#e0b050", "#e06c6c"

THEME = Theme(
    name="pmpro",
    primary=_ACCENT,
    accent=_ACCENT,
    foreground=_INK,
    background=_PAPER,
    surface="#151b21",
    panel=_PANEL,
    success=_GOOD,
    warning=_WARN,
    error=_BAD,
    dark=True,
    variables={"muted": _MUTED, "rule": _RULE},
)

# Plain styles, not component classes: the latter cost a tenth of the time to the first paint.
TONES: Final = {
    "accent": Style(color=_ACCENT),
    "alarm": Style(color="#ffffff", bgcolor="#b3261e", bold=True),
    "bad": Style(color=_BAD),
    "bold": Style(bold=True),
    "cursor": Style(bgcolor=_PANEL, bold=True),
    "demo": Style(color=_PAPER, bgcolor=_PLOT, bold=True),
    "good": Style(color=_GOOD),
    "header": Style(color=_MUTED),
    "live": Style(color="#ffffff", bgcolor="#b3261e", bold=True),
    "muted": Style(color=_MUTED),
    "other-mode": Style(color=_PAPER, bgcolor=_INK, bold=True),
    "plot": Style(color=_PLOT),
    "rule": Style(color=_RULE),
    "tab": Style(color=_PAPER, bgcolor=_ACCENT, bold=True),
    "title": Style(color=_INK, bold=True),
    "track": Style(color=_RULE),
    "warn": Style(color=_WARN),
}

CSS = """
Screen { background: $background; color: $foreground; }

Lines { background: $background; color: $foreground; }

#status, #alarm, #names, #tabs, #footer { height: 1; }
#status, #footer { background: $surface; }
#tabs, #alarm { display: none; }
#steps { display: none; height: 1fr; }
.-waiting #steps { display: block; }
.-waiting #pages { display: none; }
#filter {
    height: 1; display: none; border: none; padding: 0 1;
    background: $surface; color: $foreground;
}
#filter.-open { display: block; }
#pages { height: 1fr; }
MainScreen.-narrow .small-only { display: block; }
MainScreen.-narrow .panel, MainScreen.-narrow Box, MainScreen.-narrow Stack {
    width: 1fr; height: 1fr; margin: 0;
}

ModalScreen { align: center middle; background: $background 60%; }
.dialog {
    width: 66; max-width: 95%; height: auto; max-height: 95%; padding: 1 2;
    background: $surface; border: round $accent;
}
.dialog Label { width: 100%; }
.dialog .heading { text-style: bold; margin-bottom: 1; }
.dialog .body { margin-bottom: 1; }
.dialog .hint { color: $muted; margin-top: 1; }
.dialog Input { border: tall $rule; background: $background; height: 3; margin-bottom: 1; }
.dialog Input:focus { border: tall $accent; }
.dialog .field { height: 1; }
.dialog .field .label { width: 22; color: $muted; }
.dialog .field Input, .dialog .field Input:focus { border: none; height: 1; margin: 0; padding: 0; }
.dialog .field Input:focus { background: $panel; }
.dialog #fault { color: $error; height: auto; margin-top: 1; }
.dialog .buttons { height: 1; width: 100%; align-horizontal: right; }
.dialog Button {
    height: 1; min-width: 12; border: none; margin-left: 2;
    background: $panel; color: $foreground; text-style: none;
}
.dialog Button:focus { background: $accent; color: $background; text-style: bold; }
.dialog Button:hover { border: none; }
Toast { background: $panel; max-width: 60; }
"""
