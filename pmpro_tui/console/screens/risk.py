"""The screen of risk: limits, what the rules last said, how the symbols move together."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

from textual.app import ComposeResult

from engine.model.views.details import Correlation, Correlations, Rules, RulesOf, SlotView
from engine.model.views.snapshot import Snapshot
from pmpro_tui.console.context import Runs, known
from pmpro_tui.console.draw import panels
from pmpro_tui.console.draw.dialogs import Confirm, TypedWord
from pmpro_tui.console.draw.form import Field, Form, Values
from pmpro_tui.console.draw.heatmap import heat_lines
from pmpro_tui.console.draw.lines import Painted
from pmpro_tui.console.draw.table import Table, title_line
from pmpro_tui.console.draw.text import Line, Span, line
from pmpro_tui.console.facts import limit_facts
from pmpro_tui.console.hub import Notice
from pmpro_tui.console.limit_words import LIMIT_WORDS
from pmpro_tui.console.screens import risk_rows
from pmpro_tui.console.screens.log_rows import RecordLine, slot_lines
from pmpro_tui.console.screens.page import Box, Readable, Stack
from pmpro_tui.console.screens.risk_rows import LimitRow, limit_text, loosens

RULES_EVERY_S = 2.0
CORRELATION_EVERY_S = 30.0
_NO_MATCH = "nothing matches: esc shows all"


class RiskPage(Readable):
    """Limits beside the slots and the map; enter shows a limit whole, or a slot's rules."""

    PANELS: ClassVar[dict[str, str]] = {
        "limits": "Limits",
        "slots": "Last decisions",
        "matrix": "Correlation",
    }
    FILTER: ClassVar[str] = "limits and slots"
    DEFAULT_CSS = """
    RiskPage #limits { width: 5fr; }
    RiskPage #beside { width: 4fr; margin-left: 1; }
    """

    def compose(self) -> ComposeResult:
        """Lay out the panels."""
        with Box():
            yield Table[LimitRow]("Limits", risk_rows.LIMITS, key=lambda row: row.name, id="limits")
            with Stack(id="beside"):
                yield Table[SlotView](
                    "Last decisions", risk_rows.SLOTS, key=lambda s: s.name, id="slots"
                )
                yield Painted(self._paint_matrix, id="matrix", classes="panel")
        yield self.record()

    def draw(self, now: Snapshot | None) -> None:
        """Draw the limits of the picture, and what was told beside it."""
        if now is None:
            return
        if self.opened:
            self.draw_record()
            return
        table = self.query_one("#limits", Table)
        rows = risk_rows.limit_rows(now.risk) if known(now) else []
        table.say(_NO_MATCH if rows else panels.UNKNOWN)
        names = LIMIT_WORDS
        self.fill(
            table, [row for row in rows if self._matches(f"{row.name} {names.get(row.name, '')}")]
        )
        self._name_option()
        self._draw_slots()
        self.paint("matrix")

    def _name_option(self) -> None:
        """Name the marked limit as it is written: its column is the first to go."""
        table = self.query_one("#limits", Table)
        table.title = f"Limits: {table.selected.name}" if table.selected else "Limits"
        table.draw()

    def note(self) -> str:
        """Name the marked limit's option on a small screen too, whose panels have no titles."""
        row = self._marked_limit() if self.narrow and not self.opened else None
        return " ".join(part for part in (super().note(), row.name if row else "") if part)

    def moved(self, move: Callable[[Table[Any]], None]) -> None:
        """Move the cursor, and name the limit under it."""
        super().moved(move)
        if not self.opened:
            self._name_option()
        self.screen.query_one("#tabs", Painted).draw()

    def _draw_slots(self) -> None:
        told = self.hub.detail(RulesOf(slot=""), every_s=RULES_EVERY_S)
        table = self.query_one("#slots", Table)
        if not isinstance(told.answer, Rules):
            table.say(told.fault or "asking the engine …")
            self.fill(table, ())
            return
        remark = self.hub.inquiries.remark(told)
        table.title = f"Last decisions {remark}".strip()
        table.say(_NO_MATCH if told.answer.slots else "no book trades anything")
        self.fill(table, [s for s in told.answer.slots if self._matches(s.name)])

    def _rules_of(self, slot: str) -> list[RecordLine]:
        """Return every rule of a slot's last decision, as the engine has them now."""
        told = self.hub.detail(RulesOf(slot=slot), every_s=RULES_EVERY_S)
        if not isinstance(told.answer, Rules):
            return [RecordLine(0, told.fault or "asking the engine …", "muted")]
        chosen = next((s for s in told.answer.slots if s.name == slot), SlotView(name=slot))
        if not told.answer.rules:
            nothing = "no entry of this slot was decided since the engine's start"
            return [
                RecordLine(0, f"Rules of {slot}", "title"),
                RecordLine(0, f"  {nothing}", "muted"),
            ]
        when = f" at {self.hub.zone.stamp(chosen.decided_ns)}" if chosen.decided_ns else ""
        remark = self.hub.inquiries.remark(told)
        title = f"Rules of {slot}, last decision{when} {remark}".strip()
        return slot_lines(title, told.answer.rules)

    def _matches(self, name: str) -> bool:
        return all(word in name.casefold() for word in self.words.casefold().split())

    def _paint_matrix(self, width: int, height: int) -> list[Line]:
        told = self.hub.detail(Correlations(), every_s=CORRELATION_EVERY_S)
        remark = self.hub.inquiries.remark(told)
        title = [] if self.narrow else [title_line("Correlation", remark, width, active=False)]
        if not isinstance(told.answer, Correlation):
            return [*title, line(Span(f"  {told.fault or 'asking the engine …'}", "muted"))]
        return [*title, *heat_lines(told.answer, width, height - len(title))]

    # -- actions --------------------------------------------------------------------------

    def runs(self) -> Runs:
        """Return the actions that this screen runs itself."""
        return super().runs() | {"open": self.do_open, "limit": self.do_limit}

    def why_not(self, name: str) -> str | None:
        """Return why an action has nothing to act on."""
        if self.opened and name in ("open", "limit"):
            return "esc leaves the record first"
        if name == "open" and (self.table is None or self.table.selected is None):
            return "mark a limit or a book's last decision first"
        if name == "limit" and self._marked_limit() is None:
            return "mark a limit first"
        return super().why_not(name)

    def do_open(self) -> None:
        """Show the marked limit whole, or the rules of the marked slot."""
        row: LimitRow | SlotView | None = None if self.table is None else self.table.selected
        if isinstance(row, LimitRow):
            limit = row
            self.read(lambda width: limit_facts(self._now(limit), width))
        elif row is not None:
            slot = row.name
            self.read(lambda _: self._rules_of(slot))

    def _now(self, row: LimitRow) -> LimitRow:
        """Return a limit as the picture has it now."""
        now = self.hub.shown
        rows = risk_rows.limit_rows(now.risk) if now is not None else []
        return next((one for one in rows if one.name == row.name), row)

    def do_limit(self) -> None:
        """Ask for the marked limit's new value."""
        row = self._marked_limit()
        if row is None:
            return
        body = (
            f"{LIMIT_WORDS.get(row.name, '')}.\n"
            f"It is {limit_text(row.name, row.limit)} ({row.limit:g}), "
            f"in the file {row.of_file:g}, now {limit_text(row.name, row.now)}."
        )
        field = Field("value", "New value", hint=f"a number as in the file, such as {row.limit:g}")
        self.app.push_screen(
            Form(f"Set {row.name}", body, [field], verb="Next", check=_is_number),
            lambda values: self._ask_again(row, values),
        )

    def _ask_again(self, row: LimitRow, values: Values | None) -> None:
        """Have the value confirmed: by a typed word where it lets more risk through."""
        if values is None:
            return
        value = float(values["value"])
        if value == row.limit:
            self.hub.tell(Notice(f"it is {value:g} already", row.name, "information", 4.0))
            return
        now = self.hub.shown
        where = f"{now.mode.upper()} account {now.account} on {now.server}\n" if now else ""
        before, after = limit_text(row.name, row.limit), limit_text(row.name, value)
        body = f"{where}{row.name}: {before} → {after}, from the next decision on."
        asked = (
            TypedWord("Raise a limit?", f"{body}\nThis adds risk.", "limit")
            if loosens(row.name, row.limit, value)
            else Confirm("Tighten a limit?", body, "Set")
        )

        def send(yes: bool | None) -> None:
            if yes:
                self.hub.tell(self.hub.send("limit", row.name, value=value))

        self.app.push_screen(asked, send)

    def _marked_limit(self) -> LimitRow | None:
        if self.active != "limits":
            return None
        row: LimitRow | None = self.query_one("#limits", Table).selected
        return row


def _is_number(values: Values) -> str | None:
    try:
        value = float(values["value"])
    except ValueError:
        return f"{values['value']!r} is no number"
    return None if math.isfinite(value) else "a limit is finite"
