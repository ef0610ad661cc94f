"""The screen of the past: what the engine did, the audit trail, the orders, any of them in full."""

import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol, TypedDict, cast

from textual.app import ComposeResult

from engine.model.views.details import (
    AuditEntry,
    AuditOf,
    AuditPage,
    Orders,
    OrdersOf,
    OrderView,
    Question,
    RecordOf,
)
from engine.model.views.snapshot import EventView, Snapshot
from pmpro_tui.console.context import Runs
from pmpro_tui.console.draw.form import Field, Form, Values
from pmpro_tui.console.draw.table import Table
from pmpro_tui.console.hub import Hub
from pmpro_tui.console.screens import event_rows, log_rows
from pmpro_tui.console.screens.page import FOREVER_S, Readable, Stack


class Bounds(TypedDict, total=False):
    """What a question is bounded by; nothing for the newest."""

    before_id: int
    after_id: int
    after_ns: int


class Row(Protocol):
    """Anything that pages are made of."""

    @property
    def id(self) -> int:
        """Its place in the database."""
        ...


class Paging:
    """The bounds that a table asks with."""

    def __init__(self) -> None:
        self.bounds: Bounds = {}

    @property
    def at_newest(self) -> bool:
        """Whether the newest rows are shown, as they come."""
        return not self.bounds

    def newest(self) -> None:
        """Show the newest."""
        self.bounds = {}

    def at(self, time_ns: int) -> None:
        """Show what begins at a time."""
        self.bounds = {"after_ns": time_ns}

    def older(self, rows: Sequence[Row]) -> None:
        """Show the page before these rows."""
        if rows:
            self.bounds = {"before_id": rows[0].id}

    def newer(self, rows: Sequence[Row]) -> None:
        """Show the page after these rows."""
        if rows:
            self.bounds = {"after_id": rows[-1].id}


EVERY_S = 2.0
LEVELS = ("debug", "info", "warning", "error", "critical")


class LogPage(Readable):
    """Events above the audit trail above the orders; enter shows one record in full."""

    PANELS: ClassVar[dict[str, str]] = {"events": "Events", "audit": "Audit", "orders": "Orders"}
    FILTER: ClassVar[str] = "a regular expression, such as kill|halt"

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._level = LEVELS[0]
        self._refused_only = False
        self._paging = {"audit": Paging(), "orders": Paging()}
        self._pages: dict[str, AuditPage | Orders] = {}

    def compose(self) -> ComposeResult:
        """Lay out the tables."""
        zone = self.hub.zone
        with Stack():
            yield Table[EventView](
                "Events", event_rows.columns(zone), key=lambda e: e.seq, id="events", follow=True
            )
            yield Table[AuditEntry](
                "Audit", log_rows.audit_columns(zone.stamp), key=_id, id="audit", follow=True
            )
            yield Table[OrderView](
                "Orders", log_rows.order_columns(zone.stamp), key=_id, id="orders", follow=True
            )
        yield self.record()

    # -- drawing --------------------------------------------------------------------------

    def draw(self, now: Snapshot | None) -> None:  # noqa: ARG002
        """Draw what is shown: the detail, or each table that has room."""
        if self.opened:
            self.draw_record()
            return
        if self.shows("events"):
            self._draw_events()
        for name in ("audit", "orders"):
            if self.shows(name):
                self._draw_page(name)

    def _draw_events(self) -> None:
        table = self.query_one("#events", Table)
        least = LEVELS.index(self._level)
        rows = [e for e in self.hub.history.rows if _rank(e.level) >= least]
        table.say("nothing has happened yet" if not self.hub.history.rows else "nothing matches")
        matches = self._matcher(table)
        shown = [e for e in rows if matches(f"{e.level} {e.source} {e.text}")]
        table.title = self._title("Events", table, "" if not least else f"{self._level} and above")
        self.fill(table, shown)

    def _draw_page(self, name: str) -> None:
        table, paging = self.query_one(f"#{name}", Table), self._paging[name]
        known = self.hub.detail(
            self._asked(name), every_s=EVERY_S if paging.at_newest else FOREVER_S
        )
        if known.answer is not None:
            self._pages[name] = cast(AuditPage | Orders, known.answer)
        page = self._pages.get(name)
        nothing = (
            "nothing matches" if paging.at_newest else "nothing there: f returns to the newest"
        )
        table.say(known.fault or (nothing if page is not None else "asking the engine …"))
        place = "" if paging.at_newest else "further back: f returns"
        remark = "refused only" if name == "audit" and self._refused_only else ""
        parts = (self.hub.inquiries.remark(known), remark, place)
        table.title = self._title(self.PANELS[name], table, " · ".join(p for p in parts if p))
        rows: list[Any] = [] if page is None else list(page.entries)
        if name == "orders":
            matches = self._matcher(table)
            rows = [o for o in rows if matches(f"{o.book} {o.symbol} {o.state} {o.order}")]
        self.fill(table, rows)

    def _asked(self, name: str) -> Question:
        bounds = self._paging[name].bounds
        if name == "orders":
            return OrdersOf(**bounds)
        pattern = self.words.strip() if _compiled(self.words) is not None else ""
        return AuditOf(pattern=pattern, status="FAILED" if self._refused_only else "", **bounds)

    def _title(self, name: str, table: Table[Any], remark: str) -> str:
        held = "" if table.follows or not table.rows else "held"
        words = " · ".join(part for part in (remark, held) if part)
        return f"{name}: {words}" if words else name

    def _matcher(self, table: Table[Any]) -> Callable[[str], bool]:
        pattern = _compiled(self.words)
        if pattern is None:
            table.say("this is no regular expression yet: esc shows all")
            return lambda _: False
        return lambda text: pattern.search(text) is not None

    # -- actions --------------------------------------------------------------------------

    def runs(self) -> Runs:
        """Return the actions that this screen runs itself."""
        return super().runs() | {
            "open": self.do_open,
            "find": self.do_find,
            "follow": self.do_follow,
            "level": self.do_level,
            "jump": self.do_jump,
        }

    def why_not(self, name: str) -> str | None:
        """Return why an action has nothing to act on."""
        if self.opened and name in ("open", "follow", "level", "jump"):
            return "esc leaves the record first"
        if name == "open" and self._marked() is None:
            return "nothing is marked: k goes to the last row"
        return super().why_not(name)

    def do_open(self) -> None:
        """Show the marked row in full."""
        row, stamp = self._marked(), self.hub.zone.stamp
        if isinstance(row, EventView):
            self.read(lambda width: log_rows.event_lines(row, stamp, width))
        elif isinstance(row, AuditEntry):
            self.read(question=RecordOf(audit_id=row.id))
        elif row is not None:
            self.read(question=RecordOf(order=row.order or row.magic))

    def do_find(self) -> None:
        """Ask for an order's number."""
        field = Field("order", "Ticket or magic", hint="a whole number")

        def found(values: Values | None) -> None:
            if values is not None:
                self.read(question=RecordOf(order=int(values["order"])))

        self.app.push_screen(Form("Which order?", "", [field], verb="Open", check=_whole), found)

    def do_follow(self) -> None:
        """Hold, or follow the end; a page further back returns to the newest."""
        table = self.table
        if table is None:
            return
        paging = self._paging.get(self.active)
        if paging is not None and not paging.at_newest:
            paging.newest()
            if not table.follows:
                table.toggle_follow()
        else:
            table.toggle_follow()
        self.draw(self.hub.shown)

    def do_level(self) -> None:
        """Show less, then everything again."""
        if self.active == "audit":
            self._refused_only = not self._refused_only
            self._paging["audit"].newest()
        else:
            self._level = LEVELS[(LEVELS.index(self._level) + 1) % len(LEVELS)]
        self.draw(self.hub.shown)

    def do_jump(self) -> None:
        """Ask for a time, in the zone that times are shown in."""
        now, zone = self.hub.shown, self.hub.zone
        now_ns = now.market_ns if now is not None else 0
        field = Field("time", f"Time, {zone.name}", hint="13:05, 13:05:30 or 2026-06-10T13:05")

        def fault(values: Values) -> str | None:
            try:
                zone.moment_ns(values["time"], now_ns)
            except ValueError:
                return f"{values['time']!r} is no time"
            return None

        def go(values: Values | None) -> None:
            if values is not None:
                self._jump(zone.moment_ns(values["time"], now_ns))

        self.app.push_screen(Form("Jump to", "", [field], verb="Jump", check=fault), go)

    def _jump(self, time_ns: int) -> None:
        if self.active in self._paging:
            self._paging[self.active].at(time_ns)
            self._pages.pop(self.active, None)
        else:
            table = self.query_one("#events", Table)
            later = [e for e in table.rows if e.time_ns >= time_ns]
            if later:
                table.mark(later[0])
        self.draw(self.hub.shown)

    def moved(self, move: Callable[[Table[Any]], None]) -> None:
        """Move the cursor; beyond a page's end the next one is asked for."""
        table, paging = self.table, self._paging.get(self.active)
        before = None if table is None else table.selected
        super().moved(move)
        page = self._pages.get(self.active)
        if table is None or paging is None or page is None or not page.entries:
            return
        if before is page.entries[0] and table.selected is before and page.older:
            paging.older(page.entries)
        elif before is None and table.follows and page.newer and not paging.at_newest:
            paging.newer(page.entries)
        else:
            return
        self.draw(self.hub.shown)

    def _marked(self) -> EventView | AuditEntry | OrderView | None:
        table = self.table
        if table is None or not table.rows:
            return None
        row: EventView | AuditEntry | OrderView = table.selected or table.rows[-1]
        return row


def _whole(values: Values) -> str | None:
    return None if values["order"].isdecimal() else f"{values['order']!r} is no whole number"


def _compiled(words: str) -> re.Pattern[str] | None:
    try:
        return re.compile(words.strip(), re.IGNORECASE)
    except re.error:
        return None


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


def _id(row: AuditEntry | OrderView) -> int:
    return row.id
