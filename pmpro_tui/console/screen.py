"""The console's screen: polls the engine, draws what arrived, sends what keys mean."""

from collections.abc import Callable
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Input

from engine.model.errors import PmproError
from engine.model.snapshot import PositionView, Snapshot, StrategyView
from engine.model.times import NS_PER_S
from pmpro_tui.console import eventlog, panels, positions, strategies, worker
from pmpro_tui.console.actions import ACTIONS, Context, known
from pmpro_tui.console.commands import Commands
from pmpro_tui.console.feed import Feed
from pmpro_tui.console.footer import footer_line
from pmpro_tui.console.lines import Lines, Painted
from pmpro_tui.console.link import Link
from pmpro_tui.console.messages import Answered, Fetched, Opened, Step
from pmpro_tui.console.statusline import status_line
from pmpro_tui.console.table import Table
from pmpro_tui.console.text import Line

RESORT_AFTER_S = 2.0
CURVE_EVERY_S = 2.0
NARROW = (104, 30)
WIDE = (160, 45)


class MainScreen(Screen[None]):
    """Everything the operator sees.

    Args:
        opener: finds or starts the engine, in a thread.
        mode: shown until the engine tells its own.
        readonly: refuse every command.
        poll_s: pause between two looks at the engine.
        now_ns: the box's wall clock.
        monotonic_ns: a clock nobody sets.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(",".join(action.keys), f"do('{action.name}')", action.label, show=False)
            for action in ACTIONS
        ),
        Binding("escape", "close_filter", "Clear filter", show=False),
    ]

    # Nothing has the focus but an open filter: keys are the screen's.
    AUTO_FOCUS = ""

    def __init__(
        self,
        opener: worker.Opener,
        *,
        mode: str,
        readonly: bool,
        poll_s: float,
        now_ns: Callable[[], int],
        monotonic_ns: Callable[[], int],
    ) -> None:
        super().__init__(classes="-on-strategies")
        self.now_ns = now_ns
        self.readonly = readonly
        self.shown: Snapshot | None = None
        self.active = "strategies"
        self.feed: Feed | None = None
        self.link = Link(now_ns, monotonic_ns)
        self.commands = Commands(self)
        self._opener = opener
        self._mode = mode
        self._poll_s = poll_s
        self._monotonic_ns = monotonic_ns
        self._latest: Snapshot | None = None
        self._frozen_ns: int | None = None
        self._fetching = False
        self._history = eventlog.EventLog()
        self._ordering = strategies.Ordering()
        self._words = ""
        self._key_ns = -int(RESORT_AFTER_S * NS_PER_S)
        self._curve_ns: int | None = None
        self._curve_point: tuple[int, float] | None = None
        self._steps: list[str] = []

    # -- layout ---------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Lay out the panels; CSS places them by size class."""
        yield Painted(self._paint_status, id="status")
        yield Painted(self._paint_brief, id="brief")
        yield Painted(self._paint_tabs, id="tabs")
        with Vertical(id="body"):
            with Horizontal(id="upper"):
                yield Table[StrategyView](
                    "Strategies",
                    strategies.COLUMNS,
                    key=lambda s: s.id,
                    id="strategies",
                )
                with Vertical(id="side"):
                    yield Painted(self._paint_risk, id="risk", classes="panel")
                    yield Painted(self._paint_curve, id="equity", classes="panel")
            with Horizontal(id="lower"):
                yield Table[PositionView](
                    "Positions",
                    positions.columns(lambda: self.shown.market_ns if self.shown else 0),
                    key=lambda p: p.ticket,
                    id="positions",
                )
                yield Table[Any](
                    "Events",
                    eventlog.COLUMNS,
                    key=lambda e: e.seq,
                    id="events",
                    follow=True,
                )
        yield Painted(self._paint_recent, id="recent")
        words = "filter: words of name, kind, symbol, book, state"
        field = Input(placeholder=words, id="filter", disabled=True)
        field.cursor_blink = False
        yield field
        yield Painted(self._paint_footer, id="footer")

    def on_mount(self) -> None:
        """Find the engine and start looking at it."""
        self._timer = self.set_interval(self._poll_s, self.tick)
        # After the first paint: reading settings would hold it up.
        self.call_after_refresh(worker.open_feed, self._opener, self.post_message)

    def on_resize(self, event: events.Resize) -> None:
        """Choose the layout by size."""
        width, height = event.size
        self.set_class(width < NARROW[0] or height < NARROW[1], "-narrow")
        self.set_class(width >= WIDE[0] and height >= WIDE[1], "-wide")
        self._panel_changed()

    @property
    def narrow(self) -> bool:
        """Whether one panel is shown at a time."""
        return self.has_class("-narrow")

    # -- the engine -----------------------------------------------------------------------

    def tick(self) -> None:
        """Let the ages advance even when nothing arrives, and look for news."""
        self._draw_truth()
        if self.feed is not None and not self._fetching and self.link.may_try():
            self._fetching = True
            since = self._latest.version if self._latest else 0
            worker.fetch(self.feed, since, self._history.last_seq, self.post_message)

    @on(Step)
    def stepped(self, message: Step) -> None:
        """Show how far the start of the engine is."""
        self._steps.append(message.text)
        self.strategies.say("the engine", "", *self._steps[-12:])
        self.strategies.draw()

    @on(Opened)
    def opened(self, message: Opened) -> None:
        """Start polling, or leave with the reason."""
        if isinstance(message.result, Exception):
            self.app.exit(message.result)
            return
        self.feed = message.result
        self._timer.stop()
        self._timer = self.set_interval(self.feed.poll_s, self.tick)
        self.tick()

    @on(Fetched)
    def fetched(self, message: Fetched) -> None:
        """Take what a poll brought."""
        self._fetching = False
        result = message.result
        if isinstance(result, Exception):
            self._lost(result)
        elif result is None:
            self.link.arrived(None)
        else:
            first = result.events[0].seq if result.events else 0
            self._history.add(result.events, restarted=0 < first <= self._history.last_seq)
            self.link.arrived(result.taken_ns)
            self._tell_state(self._latest, result)
            self._latest = result
            if self._frozen_ns is None:
                self.shown = result
                self.draw()
        self._draw_truth()

    def _tell_state(self, before: Snapshot | None, now: Snapshot) -> None:
        if before is not None and before.state != now.state and now.state in ("HALTED", "REDUCING"):
            reason = now.state_reason or "no reason given"
            self.notify(reason, title=now.state, severity="error", timeout=12.0, markup=False)

    def _lost(self, error: Exception) -> None:
        known = isinstance(error, PmproError)
        text = str(error) if known else f"{type(error).__name__}: {error}"
        if self.link.word != "LOST" and self.shown is not None:
            if self.commands.stopping:
                self.app.exit("the engine has stopped")
                return
            self.notify(text, title="Connection lost", severity="error", markup=False)
        self.link.failed(text)

    @on(Answered)
    def answered(self, message: Answered) -> None:
        """Say what a command hit."""
        self.commands.answered(message.command, message.reply)
        self.draw_footer()

    # -- keys -----------------------------------------------------------------------------

    def on_key(self) -> None:
        """Note the last key: rows keep their places for a while after it."""
        self._key_ns = self._monotonic_ns()

    def action_do(self, name: str) -> None:
        """Run an action of the table, or say why not."""
        self._key_ns = self._monotonic_ns()
        self.commands.do(name)

    def context(self) -> Context:
        """Return what decides about actions now."""
        target, state = self._target()
        return Context(
            snapshot=self.shown,
            target=target,
            target_state=state,
            link=self.link.word,
            readonly=self.readonly,
        )

    def _target(self) -> tuple[str, str]:
        """Return the name that commands hit, and its state: a position's owner, or a strategy."""
        if self.active == "positions":
            position = self.positions.selected
            if position is None or position.owner == positions.EXTERNAL:
                return "", ""
            views = self.shown.strategies if self.shown else ()
            name = position.owner
            return name, next((str(s.state) for s in views if s.name == name), "")
        chosen = self.strategies.selected
        return (chosen.name, chosen.state) if chosen is not None else ("", "")

    def step_panel(self, step: int) -> None:
        """Give the keys to another panel; panels without rows are skipped while all are shown."""
        choice = panels.PANELS if self.narrow else ("strategies", "positions", "events")
        at = choice.index(self.active) if self.active in choice else 0
        self.active = choice[(at + step) % len(choice)]
        self._panel_changed()

    def moved(self, move: Callable[[Table[Any]], None]) -> None:
        """Move the cursor of the panel that has the keys."""
        if self.active in ("strategies", "positions", "events"):
            move(self.query_one(f"#{self.active}", Table))
        self.draw_footer()

    def toggle_freeze(self) -> None:
        """Hold the picture, or catch up."""
        if self._frozen_ns is None:
            self._frozen_ns = self._monotonic_ns()
        else:
            self._frozen_ns = None
            self.shown = self._latest
        self.draw()
        self._draw_truth()

    def cycle_order(self) -> None:
        """Take the next order of the strategy table."""
        self._ordering.cycle()
        self.draw()

    def open_filter(self) -> None:
        """Ask for words."""
        field = self.query_one("#filter", Input)
        field.add_class("-open")
        field.disabled = False
        field.focus()

    def action_close_filter(self) -> None:
        """Forget the words."""
        self.query_one("#filter", Input).value = ""
        self._leave_filter()

    @on(Input.Changed, "#filter")
    def filter_changed(self, event: Input.Changed) -> None:
        """Show what matches, while it is typed."""
        self._words = event.value
        self.draw()

    @on(Input.Submitted, "#filter")
    def _leave_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.remove_class("-open")
        field.disabled = True
        self.set_focus(None)

    # -- drawing --------------------------------------------------------------------------

    @property
    def strategies(self) -> Table[StrategyView]:
        """The strategy table."""
        return self.query_one("#strategies", Table)

    @property
    def positions(self) -> Table[PositionView]:
        """The position table."""
        return self.query_one("#positions", Table)

    def draw(self) -> None:
        """Draw the snapshot that is shown."""
        now = self.shown
        if now is None:
            return
        held = self._monotonic_ns() - self._key_ns < RESORT_AFTER_S * NS_PER_S
        rows = self._ordering.apply(strategies.matching(now.strategies, self._words), hold=held)
        table = self.strategies
        table.say(panels.why_no_strategies(now, self._words, self._history.rows))
        table.title = panels.strategies_title(now, len(rows))
        table.note = self._note()
        table.set_rows(rows, pick=bool(self._words))
        self.positions.title = f"Positions {len(now.positions)}" if known(now) else "Positions"
        self.positions.say("no open positions" if known(now) else panels.UNKNOWN)
        self.positions.set_rows(now.positions)
        log = self.query_one("#events", Table)
        log.say("nothing has happened yet")
        log.set_rows(self._history.rows)
        for name in ("brief", "tabs", "risk", "recent", "footer"):
            self.query_one(f"#{name}", Painted).draw()
        self._draw_curve(now)

    def _draw_truth(self) -> None:
        quiet = self.link.word in ("STALE", "LOST")
        for panel in self.query(Lines):
            if panel.id not in ("status", "footer"):
                panel.set_quiet(quiet)
        self.query_one("#status", Painted).draw()
        self.query_one("#tabs", Painted).draw()
        self.draw_footer()

    def draw_footer(self) -> None:
        """Draw the target, the pending command and the keys."""
        self.query_one("#footer", Painted).draw()

    def _draw_curve(self, now: Snapshot) -> None:
        point = now.equity_points[-1] if now.equity_points else None
        time_ns = self._monotonic_ns()
        first = self._curve_ns is None
        early = not first and time_ns - (self._curve_ns or 0) < CURVE_EVERY_S * NS_PER_S
        if first or (point != self._curve_point and not early):
            self._curve_point, self._curve_ns = point, time_ns
            self.query_one("#equity", Painted).draw()

    def _panel_changed(self) -> None:
        for name in panels.PANELS:
            self.set_class(self.active == name, f"-on-{name}")
        for table in self.query(Table):
            table.active = self.active == table.id
            table.titled = not self.narrow
            table.draw()
        for painted in self.query(Painted):
            painted.draw()

    def _note(self) -> str:
        return panels.note(self.shown, self._words, self._ordering.name)

    def _paint_status(self, width: int, _: int) -> list[Line]:
        frozen_s = (
            None if self._frozen_ns is None else (self._monotonic_ns() - self._frozen_ns) / NS_PER_S
        )
        return [
            status_line(
                self.shown,
                self.link,
                mode=self._mode,
                frozen_s=frozen_s,
                readonly=self.readonly,
                width=width,
            )
        ]

    def _paint_brief(self, width: int, _: int) -> list[Line]:
        return panels.brief(self.shown, width)

    def _paint_tabs(self, width: int, _: int) -> list[Line]:
        return [panels.tabs(self.shown, self.active, self._note(), width)]

    def _paint_risk(self, width: int, _: int) -> list[Line]:
        return panels.risk(self.shown, width, titled=not self.narrow)

    def _paint_curve(self, width: int, height: int) -> list[Line]:
        return panels.equity(self.shown, width, height, titled=not self.narrow)

    def _paint_recent(self, width: int, height: int) -> list[Line]:
        return panels.recent(self._history.rows, width, height)

    def _paint_footer(self, width: int, _: int) -> list[Line]:
        return [footer_line(self.context(), self.commands.pending, width)]
