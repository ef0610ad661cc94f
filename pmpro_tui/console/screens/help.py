"""The screen of help: every key, and why one does nothing now."""

from typing import ClassVar

from textual.app import ComposeResult

from engine.model.snapshot import Snapshot
from pmpro_tui.console.actions import ACTIONS
from pmpro_tui.console.columns import Column
from pmpro_tui.console.context import Action, Context, why_not
from pmpro_tui.console.hub import Hub
from pmpro_tui.console.screens.page import Page
from pmpro_tui.console.table import Table
from pmpro_tui.console.text import Span


class Help(Page):
    """The table of actions, as the screen that asked for help has them."""

    PANELS: ClassVar[dict[str, str]] = {"keys": "Keys"}
    FILTER: ClassVar[str] = "key, name, text"

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._asked: Context | None = None

    def come(self, asked: Context) -> None:
        """Explain the keys of the screen before."""
        self._asked = asked

    def compose(self) -> ComposeResult:
        """Lay out the table."""
        columns = (
            Column[Action](header="Key", cell=lambda a: Span(a.shown, "accent"), least=11, most=11),
            Column[Action](header="Action", cell=lambda a: Span(a.label), least=10, most=10),
            Column[Action](header="Does", cell=self._does, least=30, most=1000, rank=1),
        )
        yield Table[Action]("Keys", columns, key=lambda a: a.name, id="keys")

    def draw(self, now: Snapshot | None) -> None:  # noqa: ARG002
        """Draw the actions that match."""
        table = self.query_one("#keys", Table)
        table.say("nothing matches: esc shows all")
        terms = self.words.casefold().split()
        self.fill(
            table,
            [
                action
                for action in ACTIONS
                if all(
                    t in f"{action.shown} {action.label} {action.help}".casefold() for t in terms
                )
            ],
        )

    def _does(self, action: Action) -> Span:
        reason = why_not(action, self._asked) if self._asked is not None else None
        asks = f"; asks {action.asks}" if action.asks else ""
        if reason is None:
            return Span(f"{action.help}{asks}")
        return Span(f"not now: {reason} · {action.help}", "muted")
