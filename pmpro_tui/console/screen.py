"""The console's frame: first line, screens' names, the screen that is shown, filter, footer.

It takes what the threads post, gives it to the hub, and has drawn what changed.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Literal, cast

from textual import events, on
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widgets import Input
from textual.widgets._toast import ToastRack

from engine.model.times import NS_PER_S
from engine.model.views.snapshot import Command
from pmpro_tui.console import screens
from pmpro_tui.console import threads as worker
from pmpro_tui.console.actions import ACTIONS
from pmpro_tui.console.commands import ActionRunner
from pmpro_tui.console.context import Context
from pmpro_tui.console.draw import frame
from pmpro_tui.console.draw.footer import footer_line
from pmpro_tui.console.draw.lines import Painted
from pmpro_tui.console.draw.palettes import apply_theme
from pmpro_tui.console.draw.statusline import status_line
from pmpro_tui.console.draw.table import Table
from pmpro_tui.console.draw.text import Line, shown, shown_lines
from pmpro_tui.console.hub import Hub, Notice
from pmpro_tui.console.messages import Answered, DetailReceived, Fetched, Opened, StartStep
from pmpro_tui.console.screens import alert_rows
from pmpro_tui.console.screens.page import Page, Target
from pmpro_tui.console.tty.suspend import has_shell

NARROW = (104, 30)
WIDE = (160, 45)
# More at once hide the screen, and take long to draw.
NOTICES_MAX = 4


class MainScreen(Screen[None]):
    """The frame around all screens.

    Args:
        hub: what everything is drawn from.
        opener: finds or starts the engine, in a thread.
        poll_s: pause between two looks at the engine until its feed says another.
    """

    # Taken before they are handed on: what is typed after a key that opens a filter or a dialog,
    # however fast, belongs to that and never acts here. An open filter leaves some keys over.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            ",".join(action.keys),
            f"{take}('{action.name}')",
            action.label,
            show=False,
            priority=take == "take",
        )
        for action in ACTIONS
        for take in ("take", "take_rest")
    ]

    # Nothing has the focus but an open filter: keys are the screen's.
    AUTO_FOCUS = ""

    def __init__(self, hub: Hub, opener: worker.Opener, *, poll_s: float) -> None:
        super().__init__(classes="-waiting")
        self.hub = hub
        self.commands = ActionRunner(self)
        self.narrow = False
        self.name_shown = "overview"
        self._came_from: dict[str, str] = {}
        self._told_until_ns: list[int] = []
        self._pages: dict[str, Page] = {"overview": screens.build("overview", hub)}
        self._opener = opener
        self._poll_s = poll_s

    def compose(self) -> ComposeResult:
        """Lay out the frame around the first screen."""
        yield Painted(self._paint_status, id="status")
        yield Painted(self._paint_alarm, id="alarm")
        yield Painted(self._paint_names, id="names")
        yield Painted(self._paint_tabs, id="tabs")
        yield Painted(self._paint_steps, id="steps")
        with Vertical(id="pages"):
            yield self.page
        field = Input(id="filter", disabled=True)
        field.cursor_blink = False
        yield field
        yield Painted(self._paint_footer, id="footer")

    def on_mount(self) -> None:
        """Find the engine and start looking at it."""
        self.hub.post = self.post_message
        self.hub.tell = self.tell
        self.hub.want_token = self.ask_token
        self._timer = self.set_interval(self._poll_s, self.tick)
        # After the first paint: reading settings would hold it up.
        self.call_after_refresh(worker.open_feed, self._opener, self.post_message)

    def on_resize(self, event: events.Resize) -> None:
        """Choose the layout by size."""
        width, height = event.size
        self.narrow = width < NARROW[0] or height < NARROW[1]
        self.set_class(self.narrow, "-narrow")
        self.set_class(width >= WIDE[0] and height >= WIDE[1], "-wide")
        self.place()

    # -- screens --------------------------------------------------------------------------

    @property
    def page(self) -> Page:
        """The screen that is shown."""
        return self._pages[self.name_shown]

    async def show(self, name: str, *, back: bool = False) -> None:
        """Show a screen, from what the hub has; `back` to where one came from."""
        if name == self.name_shown:
            return
        before, asked = self.page, self.context()
        if not back:
            self._came_from[name] = self.name_shown
        self._leave_filter()
        await self._made(name)
        self.name_shown = name
        before.display, self.page.display = False, True
        self.query_one("#filter", Input).value = self.page.words
        if not back:
            self.page.come(asked)
        self.place()
        self.draw()

    async def _made(self, name: str) -> None:
        """Make a screen that was not shown yet; nothing asks it before it has its panels."""
        if name not in self._pages:
            page = screens.build(name, self.hub)
            page.display = False
            await self.query_one("#pages").mount(page)
            self._pages[name] = page

    async def leave(self) -> None:
        """Out of a filter, a detail, or the help."""
        if self.page.words:
            self.query_one("#filter", Input).value = ""
            self._leave_filter()
        elif self.query_one("#filter").has_class("-open"):
            self._leave_filter()
        elif self.page.back():
            self.place()
            self.draw()
        elif self.name_shown == "help" or self.page.PARENT:
            await self.show(self._came_from[self.name_shown], back=True)

    def place(self) -> None:
        """Fit the screen that is shown to the terminal's size."""
        one_of_many = self.narrow and len(self.page.PANELS) > 1
        self.query_one("#tabs").display = one_of_many
        self.page.set_class(self.has_class("-wide"), "-wide")
        self.page.place(narrow=self.narrow)

    # -- the engine -----------------------------------------------------------------------

    def tick(self) -> None:
        """Let the ages advance even when nothing arrives, and look for news."""
        self._draw_truth()
        self.hub.look()

    @on(StartStep)
    def stepped(self, message: StartStep) -> None:
        """Show how far the start of the engine is."""
        self.hub.steps.append(message.text)
        self.query_one("#steps", Painted).draw()

    @on(Opened)
    def opened(self, message: Opened) -> None:
        """Start polling, or leave with the reason."""
        if isinstance(message.result, Exception):
            self.app.exit(message.result)
            return
        # Messages have lines of their own, between the rows and the keys: they cover nothing.
        for rack in self.query(ToastRack):  # none where messages are switched off
            rack.styles.dock = "none"
            self.move_child(rack, before=self.query_one("#footer"))
        self.hub.feed = message.result
        self.hub.zone.configure(message.result.zone)
        apply_theme(self.app, message.result.theme)
        self._timer.stop()
        self._timer = self.set_interval(message.result.poll_s, self.tick)
        self.tick()

    @on(Fetched)
    def fetched(self, message: Fetched) -> None:
        """Take what a poll brought."""
        if isinstance(message.result, Exception) and self.hub.stopping:
            self.app.exit("the engine has stopped")
            return
        before = self.hub.shown
        self.tell(self.hub.take(message.result))
        if self.hub.shown is not before:
            self.draw()
        self._draw_truth()

    @on(Answered)
    def answered(self, message: Answered) -> None:
        """Say what a command hit."""
        self.tell(self.hub.answered(message.command, message.reply))
        self.draw_footer()

    @on(DetailReceived)
    def told(self, message: DetailReceived) -> None:
        """Draw the details that came."""
        self.hub.inquiries.told(message.question, message.result)
        if self.is_current:
            self.page.draw(self.hub.shown)

    def ask_token(self, command: Command) -> None:
        """Ask for the operator's personal token, then send the command."""
        from pmpro_tui.console.draw.form import Field, Form

        def send(values: dict[str, str] | None) -> None:
            if values is not None:
                self.hub.dispatch(command, values["token"])
                self.draw_footer()

        body = "This desk shares a login: an admin's commands need to know who you are."
        field = Field("token", "Personal token", secret=True)
        self.app.push_screen(Form("Who are you?", body, [field], verb="Send"), send)

    def tell(self, notice: Notice | None) -> None:
        """Tell the operator at once, whatever is shown; a burst sweeps what it said before."""
        if notice is not None:
            now_ns = self.hub.monotonic_ns()
            self._told_until_ns = [
                until_ns for until_ns in self._told_until_ns if until_ns > now_ns
            ]
            if len(self._told_until_ns) >= NOTICES_MAX:
                self.app.clear_notifications()
                self.app.screen.query("ToastHolder").remove()  # which are left behind, empty
                self._told_until_ns.clear()
            self._told_until_ns.append(now_ns + int(notice.timeout_s * NS_PER_S))
            severity = cast(Literal["information", "warning", "error"], notice.severity)
            self.notify(
                shown_lines(notice.text),
                title=shown(notice.title),
                severity=severity,
                timeout=notice.timeout_s,
                markup=False,
            )

    # -- keys -----------------------------------------------------------------------------

    def on_key(self) -> None:
        """Note the last key: rows keep their places for a while after it."""
        self.hub.touched()

    async def on_click(self, event: events.Click) -> None:
        """Show the screen whose name was clicked; rows rest after a click as after a key."""
        self.hub.touched()
        if event.widget is not None and event.widget.id == "names":
            name = frame.name_at(self._names(self.size.width), event.x)
            if name:
                await self.show(name)
        self.draw_footer()

    async def action_take(self, name: str) -> None:
        """Act on a key, unless a filter is open and takes it."""
        if self.focused is not None:
            raise SkipAction
        await self.do(name)

    async def action_take_rest(self, name: str) -> None:
        """Act on a key that an open filter has no use for."""
        if self.focused is None:
            raise SkipAction
        await self.do(name)

    async def do(self, name: str) -> None:
        """Run an action of the table, or say why not."""
        self.hub.touched()
        await self.commands.do(name)

    def context(self) -> Context:
        """Return what decides about actions now."""
        page = self.page
        target = page.target() if page.is_mounted else Target()
        return Context(
            snapshot=self.hub.shown,
            target=target.name,
            target_state=target.state,
            link=self.hub.link.word,
            readonly=self.hub.readonly,
            screen=self.name_shown,
            local=page.why_not if page.is_mounted else lambda _: None,
            has_shell=has_shell(),
        )

    def moved(self, move: Callable[[Table[Any]], None]) -> None:
        """Move the cursor of the table that has the keys."""
        self.page.moved(move)
        self.draw_footer()

    def step_panel(self, step: int) -> None:
        """Give the keys to another panel."""
        self.page.step_panel(step)
        self.query_one("#tabs", Painted).draw()
        self.draw_footer()

    def open_filter(self) -> None:
        """Ask for words."""
        field = self.query_one("#filter", Input)
        field.placeholder = f"filter: words of {self.page.FILTER}"
        field.add_class("-open")
        field.disabled = False
        self.set_focus(field)  # at once: its letters may be on their way

    @on(Input.Changed, "#filter")
    def filter_changed(self, event: Input.Changed) -> None:
        """Show what matches, while it is typed."""
        if event.value != self.page.words:
            self.page.words = event.value
            self.draw()

    @on(Input.Submitted, "#filter")
    def _leave_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.remove_class("-open")
        field.disabled = True
        self.set_focus(None)

    # -- drawing --------------------------------------------------------------------------

    def on_screen_resume(self) -> None:
        """Catch up with what came while a dialog lay over the screen."""
        self.draw()

    def draw(self) -> None:
        """Draw the picture that is shown; under a dialog every change would draw all of it anew."""
        if not self.is_current:
            return
        self.set_class(self.hub.shown is None, "-waiting")
        self.page.draw(self.hub.shown)
        self._draw_truth()

    def _draw_truth(self) -> None:
        self.page.set_quiet(bool(self.hub.link.silence))
        # What is held to be read does not hide what has happened since.
        self.query_one("#alarm").display = alert_rows.waiting(self.hub.latest)
        for name in ("status", "alarm", "names", "tabs", "footer"):
            self.query_one(f"#{name}", Painted).draw()

    def draw_footer(self) -> None:
        """Draw the target, the pending command and the keys."""
        self.query_one("#footer", Painted).draw()

    def _paint_status(self, width: int, _: int) -> list[Line]:
        hub = self.hub
        return [
            status_line(
                hub.shown,
                hub.link,
                mode=hub.mode,
                frozen_s=hub.frozen_s,
                readonly=hub.readonly,
                zone=hub.zone,
                width=width,
            )
        ]

    def _paint_alarm(self, width: int, _: int) -> list[Line]:
        now = self.hub.latest
        return [] if now is None else [alert_rows.alarm(now, self.hub.zone, width)]

    def _paint_names(self, width: int, _: int) -> list[Line]:
        return [self._names(width)]

    def _names(self, width: int) -> Line:
        return frame.names(self.hub.shown, self.page.PARENT or self.name_shown, width)

    def _paint_tabs(self, width: int, _: int) -> list[Line]:
        page = self.page
        now = self.hub.shown
        counts = page.counts(now) if now is not None else {}
        return [frame.tabs(page.PANELS, counts, page.active, page.note(), width)]

    def _paint_steps(self, _: int, height: int) -> list[Line]:
        return frame.steps(self.hub.steps, height)

    def _paint_footer(self, width: int, _: int) -> list[Line]:
        return [footer_line(self.context(), self.hub.pending, width)]
