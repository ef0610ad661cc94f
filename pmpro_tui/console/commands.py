"""What each action does: moves, questions, and commands with a toast that names what they hit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from engine.control.client import new_command
from engine.model.snapshot import Command, Reply, Snapshot
from pmpro_tui.console import worker
from pmpro_tui.console.actions import BY_NAME, known, next_speed, why_not

if TYPE_CHECKING:
    from pmpro_tui.console.screen import MainScreen

_DETACHED = "detached: the engine keeps running (`pmpro-tui` attaches again, `pmpro stop` stops it)"
_FAR = 1_000_000_000


class Commands:
    """Runs actions for a screen; every command's picture is the one on the screen."""

    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen
        self._sent: dict[str, Command] = {}
        self.stopping = False

    @property
    def pending(self) -> str:
        """The last command that is not answered yet, in words."""
        return _words(next(reversed(self._sent.values()))) if self._sent else ""

    def do(self, name: str) -> None:
        """Run action `name`, or say why it is impossible now."""
        action = BY_NAME[name]
        reason = why_not(action, self._screen.context())
        if reason is not None:
            self._screen.notify(
                reason, title=f"{action.label}: not now", severity="warning", markup=False
            )
            return
        getattr(self, f"_{name}")()

    def answered(self, command: Command, reply: Reply) -> None:
        """Name what a command hit and what the engine said."""
        self._sent.pop(command.id, None)
        if command.name == "stop" and reply.ok:
            self.stopping = True
        self._screen.notify(
            reply.text or "done",
            title=_words(command).capitalize(),
            severity="information" if reply.ok else "error",
            timeout=4.0 if reply.ok else 12.0,
            markup=False,
        )

    def _send(
        self,
        name: Literal["kill", "enable", "disable", "halt", "resume", "flatten", "speed", "stop"],
        target: str = "",
        value: float = 0.0,
    ) -> None:
        screen = self._screen
        command = new_command(
            name,
            target,
            value=value,
            seen_version=screen.shown.version if screen.shown else 0,
            now_ns=screen.now_ns,
        )
        if screen.feed is None:
            self.answered(command, Reply(ok=False, text="no engine is connected yet"))
            return
        self._sent[command.id] = command
        worker.send(screen.feed, command, screen.post_message)
        screen.draw_footer()

    # -- commands -------------------------------------------------------------------------

    def _kill(self) -> None:
        self._send("kill", self._screen.context().target)

    def _enable(self) -> None:
        self._send("enable", self._screen.context().target)

    def _disable(self) -> None:
        self._send("disable", self._screen.context().target)

    def _halt(self) -> None:
        self._send("halt")

    def _flatten(self) -> None:
        from pmpro_tui.console.dialogs import Confirm

        now = self._screen.shown
        body = f"{_account(now)}\n{_held(now)}\n\nClose all of it now, and halt entries."
        self._screen.app.push_screen(
            Confirm("Flatten everything?", body, "Flatten"), self._if("flatten")
        )

    def _resume(self) -> None:
        from pmpro_tui.console.dialogs import TypedWord

        now = self._screen.shown
        state = f"{now.state}: {now.state_reason or 'no reason given'}" if now else ""
        body = f"{_account(now)}\n{state}\n\nEntries will be allowed again. This adds risk."
        self._screen.app.push_screen(
            TypedWord("Resume trading?", body, "resume"), self._if("resume")
        )

    def _stop(self) -> None:
        from pmpro_tui.console.dialogs import Confirm, TypedWord

        now = self._screen.shown
        body = f"{_account(now)}\n{_held(now)}\n\n"
        if now is not None and known(now) and not now.positions:
            body += "The engine will stop. `q` would leave it running."
            self._screen.app.push_screen(
                Confirm("Stop the engine?", body, "Stop"), self._if("stop")
            )
            return
        body += "What is open stays open, with its stops at the broker, and nobody watches it."
        self._screen.app.push_screen(TypedWord("Stop the engine?", body, "stop"), self._if("stop"))

    def _faster(self) -> None:
        self._speed(1)

    def _slower(self) -> None:
        self._speed(-1)

    def _speed(self, step: Literal[1, -1]) -> None:
        now = self._screen.shown
        if now is not None:
            self._send("speed", value=next_speed(now.speed, step))

    def _if(self, name: Literal["flatten", "resume", "stop"]) -> Callable[[bool | None], None]:
        def answer(yes: bool | None) -> None:
            if yes:
                self._send(name)

        return answer

    # -- the screen -----------------------------------------------------------------------

    def _filter(self) -> None:
        self._screen.open_filter()

    def _sort(self) -> None:
        self._screen.cycle_order()

    def _freeze(self) -> None:
        self._screen.toggle_freeze()

    def _next_panel(self) -> None:
        self._screen.step_panel(1)

    def _previous_panel(self) -> None:
        self._screen.step_panel(-1)

    def _down(self) -> None:
        self._screen.moved(lambda table: table.move(1))

    def _up(self) -> None:
        self._screen.moved(lambda table: table.move(-1))

    def _page_down(self) -> None:
        self._screen.moved(lambda table: table.page(1))

    def _page_up(self) -> None:
        self._screen.moved(lambda table: table.page(-1))

    def _first(self) -> None:
        self._screen.moved(lambda table: table.move(-_FAR))

    def _last(self) -> None:
        self._screen.moved(lambda table: table.move(_FAR))

    def _help(self) -> None:
        from pmpro_tui.console.dialogs import Help

        self._screen.app.push_screen(Help(self._screen.context()))

    def _detach(self) -> None:
        self._screen.app.exit(_DETACHED)


def _words(command: Command) -> str:
    if command.name == "speed":
        return f"speed {command.value:g}×"
    return f"{command.name} {command.target}".strip()


def _account(now: Snapshot | None) -> str:
    if now is None:
        return "No picture of the account yet."
    return f"{now.mode.upper()} account {now.account} on {now.server}"


def _held(now: Snapshot | None) -> str:
    if now is None or not known(now):
        return "Open positions: unknown."
    count, lots = len(now.positions), sum(p.lots for p in now.positions)
    if not count:
        return "No open positions."
    profit = sum(p.profit_ccy for p in now.positions)
    noun = "position" if count == 1 else "positions"
    return f"{count} open {noun}, {lots:,.2f} lots, {profit:+,.2f} {now.currency}"
