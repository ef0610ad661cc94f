"""Layout of the frame and of dialogs; each screen has its own beside it."""

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
.dialog.-form { width: 96; }
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
Toast { background: $panel; }
ToastRack { width: 100%; max-height: 9; margin: 0 0 1 0; overflow: hidden hidden; }
MainScreen > ToastRack { layer: default; margin: 0; }
Toast { width: 100%; max-width: 100%; margin: 0; padding: 0 1; }
"""
