"""Questions before what cannot be taken back."""

from string import ascii_lowercase
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label

from pmpro_tui.console.draw.text import shown, shown_lines


class Confirm(ModalScreen[bool]):
    """One question; starts on Cancel, `y` confirms at once."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n,q", "answer(False)", "Cancel"),
        Binding("y", "answer(True)", "Yes"),
        Binding("left,up", "app.focus_previous", "Back", show=False),
        Binding("right,down", "app.focus_next", "Next", show=False),
    ]

    def __init__(self, heading: str, body: str, verb: str) -> None:
        super().__init__()
        self._heading = heading
        self._body = body
        self._verb = verb

    def compose(self) -> ComposeResult:
        """Lay out the question."""
        with Vertical(classes="dialog"):
            yield Label(shown(self._heading), classes="heading", markup=False)
            yield Label(shown_lines(self._body), classes="body", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="cancel")
                yield Button(self._verb, id="confirm")
            yield Label(f"y: {self._verb} · esc: cancel", classes="hint")

    def on_mount(self) -> None:
        """Start on Cancel."""
        self.query_one("#cancel").focus()

    @on(Button.Pressed)
    def pressed(self, event: Button.Pressed) -> None:
        """Answer with the button."""
        self.dismiss(event.button.id == "confirm")

    def action_answer(self, yes: bool) -> None:
        """Answer with a key."""
        self.dismiss(yes)


class TypedWord(ModalScreen[bool]):
    """A question that only a typed word affirms; starts on Cancel, typing goes to the word."""

    # Taken before a button or the field sees them, so that what is typed at once, however fast,
    # arrives in its order: letters make the word, enter after them never hits Cancel.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel"),
        Binding("enter", "enter", "Confirm", show=False, priority=True),
        *(
            Binding(letter, f"type('{letter}')", show=False, priority=True)
            for letter in ascii_lowercase
        ),
    ]

    def __init__(self, heading: str, body: str, word: str) -> None:
        super().__init__()
        self._heading = heading
        self._body = body
        self._word = word

    def compose(self) -> ComposeResult:
        """Lay out the question."""
        with Vertical(classes="dialog"):
            yield Label(shown(self._heading), classes="heading", markup=False)
            yield Label(shown_lines(self._body), classes="body", markup=False)
            hint = f"type {self._word} to confirm"
            field = Input(placeholder=hint, id="word", select_on_focus=False)
            field.cursor_blink = False
            yield field
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="cancel")
                yield Button(self._word.capitalize(), id="confirm", disabled=True)
            yield Label("esc: cancel", classes="hint")

    def on_mount(self) -> None:
        """Start on Cancel."""
        self.set_focus(self.query_one("#cancel"))  # at once: letters may be on their way

    def action_type(self, letter: str) -> None:
        """Take a letter to the word, wherever the focus is."""
        field = self.query_one(Input)
        self.set_focus(field)
        field.insert_text_at_cursor(letter)

    def action_enter(self) -> None:
        """Press the button; in the field, confirm after the right word only."""
        if isinstance(self.focused, Button):
            self.focused.press()
        elif self.focused is not None:
            self.focused.call_later(self._confirm)  # after the letters that it still has to take

    def _confirm(self) -> None:
        if self._is_typed():
            self.dismiss(True)

    @on(Input.Changed)
    def changed(self) -> None:
        """Allow the button once the word is right."""
        self.query_one("#confirm", Button).disabled = not self._is_typed()

    @on(Button.Pressed)
    def pressed(self, event: Button.Pressed) -> None:
        """Answer with the button."""
        self.dismiss(event.button.id == "confirm" and self._is_typed())

    def action_cancel(self) -> None:
        """Leave without doing anything."""
        self.dismiss(False)

    def _is_typed(self) -> bool:
        return self.query_one(Input).value.strip() == self._word
