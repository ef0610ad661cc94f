"""Colours and layout. One accent; green and red only for gain and loss, with glyphs beside them."""

from textual.theme import Theme

THEME = Theme(
    name="pmpro",
    primary="#d7a65f",
    accent="#d7a65f",
    foreground="#c8cdd3",
    background="#0e1216",
    surface="#151b21",
    panel="#1d252d",
    success="#6fb98f",
    warning="#e0b050",
    error="#e06c6c",
    dark=True,
    variables={"muted": "#7d8893", "rule": "#36414c", "plot": "#79a8c9"},
)

CSS = """
Screen { background: $background; color: $foreground; }

Lines { background: $background; color: $foreground; }
Lines > .lines--accent { color: $accent; }
Lines > .lines--bad { color: $error; }
Lines > .lines--bold { text-style: bold; }
Lines > .lines--cursor { background: $panel; text-style: bold; }
Lines > .lines--demo { color: $background; background: $plot; text-style: bold; }
Lines > .lines--good { color: $success; }
Lines > .lines--header { color: $muted; }
Lines > .lines--live { color: #ffffff; background: #b3261e; text-style: bold; }
Lines > .lines--muted { color: $muted; }
Lines > .lines--other-mode { color: $background; background: $foreground; text-style: bold; }
Lines > .lines--plot { color: $plot; }
Lines > .lines--rule { color: $rule; }
Lines > .lines--tab { color: $background; background: $accent; text-style: bold; }
Lines > .lines--title { color: $foreground; text-style: bold; }
Lines > .lines--track { color: $rule; }
Lines > .lines--warn { color: $warning; }

#status { height: 1; background: $surface; }
#brief, #tabs { height: 1; display: none; }
#footer { height: 1; background: $surface; }
#filter {
    height: 1; display: none; border: none; padding: 0 1;
    background: $surface; color: $foreground;
}
#filter.-open { display: block; }
#body { height: 1fr; }
#upper { height: 1fr; }
#lower { height: 11; }
#side { width: 36; margin-left: 1; }
#risk { height: 13; }
#equity { height: 1fr; }
#strategies { width: 1fr; height: 1fr; }
#positions { width: 55%; height: 1fr; }
#events { width: 1fr; height: 1fr; margin-left: 1; }
#recent { height: 4; display: none; }

.-wide #side { width: 56; }
.-wide #lower { height: 15; }
.-wide #positions { width: 3fr; }
.-wide #events { width: 2fr; }

.-narrow #brief, .-narrow #tabs, .-narrow #recent { display: block; }
.-narrow .panel, .-narrow #side, .-narrow #upper, .-narrow #lower { display: none; }
.-narrow #side { width: 1fr; margin-left: 0; }
.-narrow #events { margin-left: 0; }
.-narrow #positions { width: 1fr; }
.-narrow #lower { height: 1fr; }
.-narrow.-on-strategies #upper, .-narrow.-on-strategies #strategies { display: block; }
.-narrow.-on-risk #upper, .-narrow.-on-risk #side, .-narrow.-on-risk #risk { display: block; }
.-narrow.-on-risk #risk { height: 1fr; }
.-narrow.-on-equity #upper, .-narrow.-on-equity #side, .-narrow.-on-equity #equity {
    display: block;
}
.-narrow.-on-positions #lower, .-narrow.-on-positions #positions { display: block; }
.-narrow.-on-events #lower, .-narrow.-on-events #events { display: block; }
.-narrow.-on-events #recent { display: none; }

ModalScreen { align: center middle; background: $background 60%; }
.dialog {
    width: 66; max-width: 95%; height: auto; max-height: 95%; padding: 1 2;
    background: $surface; border: round $accent;
}
.dialog.-help { width: 96; }
.dialog Label { width: 100%; }
.dialog .heading { text-style: bold; margin-bottom: 1; }
.dialog .body { margin-bottom: 1; }
.dialog .hint { color: $muted; margin-top: 1; }
.dialog Input { border: tall $rule; background: $background; height: 3; margin-bottom: 1; }
.dialog Input:focus { border: tall $accent; }
.dialog .buttons { height: 1; width: 100%; align-horizontal: right; }
.dialog Button {
    height: 1; min-width: 12; border: none; margin-left: 2;
    background: $panel; color: $foreground; text-style: none;
}
.dialog Button:focus { background: $accent; color: $background; text-style: bold; }
.dialog Button:hover { border: none; }
Toast { background: $panel; max-width: 60; }
"""
