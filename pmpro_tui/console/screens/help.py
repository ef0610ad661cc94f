"""The screen of help: every key, and why one does nothing now."""

from collections.abc import Callable
from textwrap import wrap
from typing import Any, ClassVar

from textual.app import ComposeResult

from engine.model.views.snapshot import Snapshot
from pmpro_tui.console.actions import ACTIONS
from pmpro_tui.console.context import ConsoleAction, Context, why_not
from pmpro_tui.console.draw.columns import Column
from pmpro_tui.console.draw.lines import Painted
from pmpro_tui.console.draw.table import Table, title_line
from pmpro_tui.console.draw.text import Line, Span, line
from pmpro_tui.console.hub import Hub
from pmpro_tui.console.screens.page import Page


class HelpPage(Page):
    """The table of actions, as the screen that asked for help has them."""

    PANELS: ClassVar[dict[str, str]] = {"keys": "Keys"}
    FILTER: ClassVar[str] = "key, name, text"
    DEFAULT_CSS = "HelpPage #marked { height: 4; }"

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._asked: Context | None = None

    def come(self, asked: Context) -> None:
        """Explain the keys of the screen before."""
        self._asked = asked

    def compose(self) -> ComposeResult:
        """Lay out the table."""
        columns = (
            Column[ConsoleAction](
                header="Key", cell=lambda a: Span(a.shown, "accent"), least=11, most=11
            ),
            Column[ConsoleAction](header="Action", cell=lambda a: Span(a.label), least=10, most=10),
            Column[ConsoleAction](header="Does", cell=self._does, least=30, most=1000, rank=1),
        )
        yield Table[ConsoleAction]("Keys", columns, key=lambda a: a.name, id="keys")
        yield Painted(self._paint_marked, id="marked")

    def moved(self, move: Callable[[Table[Any]], None]) -> None:
        """Explain the marked action."""
        super().moved(move)
        self.paint()

    def draw(self, now: Snapshot | None) -> None:  # noqa: ARG002
        """Draw the actions that match, and the marked one in full."""
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
        self.paint()

    def _does(self, action: ConsoleAction) -> Span:
        text, reason = self._words_of(action)
        return Span(text) if reason is None else Span(f"not now: {reason} · {text}", "muted")

    def _words_of(self, action: ConsoleAction) -> tuple[str, str | None]:
        reason = why_not(action, self._asked) if self._asked is not None else None
        asks = f"; asks {action.asks}" if action.asks else ""
        return f"{action.help}{asks}", reason

    def _paint_marked(self, width: int, _: int) -> list[Line]:
        action: ConsoleAction | None = self.query_one("#keys", Table).selected
        if action is None:
            return []
        text, reason = self._words_of(action)
        lines = [line(Span(f"  {part}")) for part in wrap(text, max(20, width - 4))]
        if reason is not None:
            lines.append(line(Span(f"  not now: {reason}", "warn")))
        return [title_line(f"{action.label} ({action.shown})", "", width, active=False), *lines]
