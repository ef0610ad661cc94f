"""The console's application: theme, palette, key guard; its hub and frame do the rest."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from typing import ClassVar

from textual import events
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from pmpro_tui.console.actions import ACTIONS, TARGETED
from pmpro_tui.console.context import why_not
from pmpro_tui.console.draw.palettes import DARK, PALETTES, SIXTEEN, apply_theme, theme_of
from pmpro_tui.console.draw.theme import CSS as CONSOLE_CSS
from pmpro_tui.console.hub import Hub
from pmpro_tui.console.screen import MainScreen
from pmpro_tui.console.threads import Opener
from pmpro_tui.console.tty.hangup import HangUp
from pmpro_tui.console.tty.keyguard import KeyGuard
from pmpro_tui.console.tty.suspend import Suspension

# A dialog takes a few dozen turns of the loop to come up; one that never does holds no key.
_TURNS_MAX = 10_000


class ConsoleApp(App[str | Exception]):
    """A full-screen client of the engine. Returns its last words, or why it could not start."""

    TITLE = "pmpro"
    CSS = CONSOLE_CSS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "detach", "Detach", show=False, priority=True),
    ]

    def __init__(
        self,
        opener: Opener,
        *,
        mode: str = "demo",
        readonly: bool = False,
        poll_s: float = 0.25,
        now_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        sixteen: bool | None = False,
        inline: bool = False,
    ) -> None:
        super().__init__()
        if sixteen is None:
            sixteen = self.console.color_system in ("standard", "windows")
        for palette in (SIXTEEN if sixteen else PALETTES).values():
            self.register_theme(theme_of(palette))
        apply_theme(self, DARK.name)
        self._guard = KeyGuard()
        self._monotonic_ns = monotonic_ns
        self.hang_up = HangUp(self._told_to_end)
        self.hub = Hub(
            mode=mode,
            readonly=readonly,
            now_ns=now_ns,
            monotonic_ns=monotonic_ns,
            inline=inline,
        )
        self.main = MainScreen(self.hub, opener, poll_s=poll_s)

    def get_default_screen(self) -> Screen[None]:
        """Start with the frame."""
        return self.main

    async def on_event(self, event: events.Event) -> None:
        """Drop the rests of split escape sequences before they can act; say so of a command."""
        if isinstance(event, events.Key) and not event.is_forwarded:
            if self._guard.drops(event.key, event.character, self._monotonic_ns()):
                for action in ACTIONS:
                    if event.key in action.keys and action.kind in ("reduce", "add"):
                        text = "it looked like the rest of a broken key sequence: press it again"
                        self.notify(text, title=f"{action.label}: dropped", severity="warning")
                return
            await self._dialog_up()
        await super().on_event(event)

    async def _dialog_up(self) -> None:
        """Let a dialog that opens come up first: it takes what is typed after the key for it."""
        for _ in range(_TURNS_MAX):
            if self.screen.is_mounted:
                return
            await asyncio.sleep(0)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:  # noqa: ARG002
        """Fill the palette from the action table."""
        context = self.main.context()
        for action in ACTIONS:
            reason = why_not(action, context)
            text = f"{action.help} ({action.shown})" if reason is None else f"not now: {reason}"
            yield SystemCommand(
                f"{action.label} {context.target}" if action.name in TARGETED else action.label,
                text,
                lambda name=action.name: self.main.do(name),
            )

    def on_load(self) -> None:
        """Take the signals that end a console."""
        if threading.current_thread() is threading.main_thread():
            self.hang_up.listen()

    def on_ready(self) -> None:
        """Take the signals that stop and continue it, now that its terminal's driver has them."""
        on_main = threading.current_thread() is threading.main_thread()
        if on_main and self._driver is not None and self._driver.can_suspend:
            soon = asyncio.get_running_loop().call_soon_threadsafe
            Suspension(self._driver, self._redraw, soon).listen()

    def _redraw(self) -> None:
        self.call_later(self.refresh)

    def _told_to_end(self, name: str, code: int) -> None:
        self.exit(f"ended by {name}; {self.hub.farewell}", return_code=code)

    async def action_detach(self) -> None:
        """Leave; an engine that is not in this process keeps running."""
        await self.main.commands.do("detach")

    def action_help_quit(self) -> None:
        """Say what ctrl+c does not do."""
        self.notify("q leaves this console, Q stops the engine", title="ctrl+c does nothing here")
