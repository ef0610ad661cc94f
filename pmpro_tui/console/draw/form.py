"""A dialog of a few fields; a wrong value is said in words and keeps it open."""

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label

from pmpro_tui.console.draw.text import shown, shown_lines

Values = dict[str, str]
Check = Callable[[Values], str | None]


class Field(NamedTuple):
    """One field: its name in the answer, its label, what it begins with, what may stand there."""

    name: str
    label: str
    value: str = ""
    hint: str = ""
    secret: bool = False


class Form(ModalScreen[Values | None]):
    """Asks for values; enter goes on to the next field, in the last one it confirms."""

    # Before the fields see them: what is typed after one of these keys, however fast, goes where
    # that key leads.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel"),
        Binding("enter", "enter", "Next", priority=True),
        Binding("tab", "app.focus_next", "Next", priority=True),
        Binding("shift+tab", "app.focus_previous", "Back", priority=True),
    ]

    def __init__(
        self,
        heading: str,
        body: str,
        fields: Sequence[Field],
        *,
        verb: str,
        check: Check = lambda _: None,
    ) -> None:
        super().__init__()
        self._heading = heading
        self._body = body
        self._fields = fields
        self._verb = verb
        self._check = check

    def compose(self) -> ComposeResult:
        """Lay out the fields."""
        with Vertical(classes="dialog -form"):
            yield Label(shown(self._heading), classes="heading", markup=False)
            if self._body:
                yield Label(shown_lines(self._body), classes="body", markup=False)
            for field in self._fields:
                with Horizontal(classes="field"):
                    yield Label(field.label, classes="label", markup=False)
                    entry = Input(
                        field.value,
                        placeholder=field.hint,
                        password=field.secret,
                        id=field.name,
                        select_on_focus=False,
                    )
                    entry.cursor_blink = False
                    yield entry
            yield Label("", id="fault", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="cancel-form")
                yield Button(self._verb, id="confirm-form")
            yield Label("enter: next, then confirm · tab: fields · esc: cancel", classes="hint")

    def on_mount(self) -> None:
        """Start in the first field."""
        self.query(Input).first().focus()

    def on_key(self, event: events.Key) -> None:
        """Take what was typed before a field had the focus: a fast hand loses no letter."""
        if event.is_printable and event.character and not isinstance(self.focused, Button):
            event.stop()
            self.query(Input).first().insert_text_at_cursor(event.character)

    def action_enter(self) -> None:
        """Press the button, or go on; after the last field confirm what was typed before."""
        at = self.focused
        if isinstance(at, Button):
            at.press()
        elif at is not None and at.id == self._fields[-1].name:
            at.call_later(self._confirm)
        else:
            self.focus_next(Input)

    @on(Button.Pressed)
    def pressed(self, event: Button.Pressed) -> None:
        """Answer with the button."""
        if event.button.id == "confirm-form":
            self._confirm()
        else:
            self.dismiss(None)

    def action_cancel(self) -> None:
        """Leave without doing anything."""
        self.dismiss(None)

    def _confirm(self) -> None:
        values = {f.name: self.query_one(f"#{f.name}", Input).value.strip() for f in self._fields}
        fault = self._check(values)
        if fault is None:
            self.dismiss(values)
        else:
            self.query_one("#fault", Label).update(shown_lines(fault))
