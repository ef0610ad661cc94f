"""What each action does: moves, questions, and commands with a toast that names what they hit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

from engine.model.errors import UserError
from engine.model.portfolio import parse_fraction
from engine.model.views.commands import CommandName
from engine.model.views.snapshot import Snapshot
from pmpro_tui.console.actions import BY_NAME, SCREENS, next_speed
from pmpro_tui.console.context import Runs, known, why_not
from pmpro_tui.console.draw.palettes import apply_next_theme
from pmpro_tui.console.hub import Notice
from pmpro_tui.console.screens.position_rows import EXTERNAL

if TYPE_CHECKING:
    from pmpro_tui.console.draw.form import Values
    from pmpro_tui.console.screen import MainScreen

_FAR = 1_000_000_000


class ActionRunner:
    """Runs actions for the frame; every command's picture is the one on the screen."""

    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen

    async def do(self, name: str) -> None:
        """Run action `name`, or say why it is impossible now."""
        action = BY_NAME[name]
        screen = self._screen
        reason = why_not(action, screen.context())
        if reason is not None:
            screen.tell(Notice(reason, f"{action.label}: not now", "warning", 5.0))
            return
        if name in SCREENS:
            await screen.show(name)
            return
        done = (self.runs() | screen.page.runs())[name]()
        if isinstance(done, Notice):
            screen.tell(done)
        elif isinstance(done, str):
            await screen.show(done)
        elif done is not None:
            await done
        screen.draw_footer()

    def runs(self) -> Runs:
        """Return the actions that no screen runs itself."""
        screen = self._screen
        return {
            "kill": partial(self._to_target, "kill"),
            "kill_close": partial(self._to_target, "kill", text="close"),
            "enable": partial(self._to_target, "enable"),
            "disable": partial(self._to_target, "disable"),
            "allocate": self._allocate,
            "halt": partial(self._send, "halt"),
            "flatten": self._flatten,
            "resume": self._resume,
            "rebase": self._rebase,
            "stop": self._stop,
            "faster": partial(self._speed, 1),
            "slower": partial(self._speed, -1),
            "filter": screen.open_filter,
            "freeze": self._freeze,
            "back": screen.leave,
            "theme": partial(apply_next_theme, screen.app),
            "zone": self._zone,
            "palette": screen.app.action_command_palette,
            "suspend": screen.app.action_suspend_process,
            "next_panel": partial(screen.step_panel, 1),
            "previous_panel": partial(screen.step_panel, -1),
            "down": partial(screen.moved, lambda table: table.move(1)),
            "up": partial(screen.moved, lambda table: table.move(-1)),
            "page_down": partial(screen.moved, lambda table: table.page(1)),
            "page_up": partial(screen.moved, lambda table: table.page(-1)),
            "first": partial(screen.moved, lambda table: table.move(-_FAR)),
            "last": partial(screen.moved, lambda table: table.move(_FAR)),
            "detach": self._detach,
        }

    def _send(
        self, name: CommandName, target: str = "", *, value: float = 0.0, text: str = ""
    ) -> None:
        self._screen.tell(self._screen.hub.send(name, target, value=value, text=text))
        self._screen.draw_footer()

    # -- commands -------------------------------------------------------------------------

    def _to_target(self, name: CommandName, *, text: str = "") -> None:
        self._send(name, self._screen.context().target, text=text)

    def _allocate(self) -> None:
        from pmpro_tui.console.draw.form import Field, Form

        now, name = self._screen.hub.shown, self._screen.context().target
        if now is None:
            return

        def send(values: Values | None) -> None:
            if values is not None:
                self._send("allocate", name, value=parse_fraction(values["share"]))

        field = Field("share", "New share", hint="0.2 or 20%")
        body = f"{_account(now)}\n{_sharing(now, name)}"
        self._screen.app.push_screen(
            Form(f"Share of {name}", body, [field], verb="Set", check=_is_share), send
        )

    def _flatten(self) -> None:
        from pmpro_tui.console.draw.dialogs import Confirm

        now = self._screen.hub.shown
        body = f"{_account(now)}\n{_held(now)}\n\nClose all of ours now, and halt entries."
        self._screen.app.push_screen(
            Confirm("Flatten everything?", body, "Flatten"), self._if("flatten")
        )

    def _resume(self) -> None:
        from pmpro_tui.console.draw.dialogs import TypedWord

        now = self._screen.hub.shown
        state = f"{now.state}: {now.state_reason or 'no reason given'}" if now else ""
        body = f"{_account(now)}\n{state}\n\nEntries will be allowed again. This adds risk."
        if now is not None and now.risk.tier >= 2:
            body += f"\nDrawdown tier {now.risk.tier} keeps them out all the same: ctrl+r ends it."
        self._screen.app.push_screen(
            TypedWord("Resume trading?", body, "resume"), self._if("resume")
        )

    def _rebase(self) -> None:
        from pmpro_tui.console.draw.dialogs import TypedWord

        now = self._screen.hub.shown
        if now is None:
            return
        risk = now.risk

        def answer(yes: bool | None) -> None:
            if yes:
                self._send("resume", "rebase")

        body = (
            f"{_account(now)}\n{now.state}: {now.state_reason or 'no reason given'}\n\n"
            f"Drawdown is measured from today's equity, {risk.equity_ccy:,.2f} {now.currency}, no "
            f"longer from {risk.high_water_ccy:,.2f}: as much may be lost again. Entries will be "
            "allowed again. This adds risk."
        )
        self._screen.app.push_screen(TypedWord("Rebase the drawdown?", body, "rebase"), answer)

    def _stop(self) -> None:
        from pmpro_tui.console.draw.dialogs import Confirm, TypedWord

        now = self._screen.hub.shown
        body = f"{_account(now)}\n{_held(now)}\n\n"
        if now is not None and known(now) and not now.positions:
            body += "The engine will stop."
            if not self._screen.hub.inline:
                body += " `q` would leave it running."
            self._screen.app.push_screen(
                Confirm("Stop the engine?", body, "Stop"), self._if("stop")
            )
            return
        body += "What is open stays open, with its stops at the broker, and nobody watches it."
        self._screen.app.push_screen(TypedWord("Stop the engine?", body, "stop"), self._if("stop"))

    def _speed(self, step: Literal[1, -1]) -> None:
        now = self._screen.hub.shown
        if now is not None:
            self._send("speed", value=next_speed(now.speed, step))

    def _if(self, name: Literal["flatten", "resume", "stop"]) -> Callable[[bool | None], None]:
        def answer(yes: bool | None) -> None:
            if yes:
                self._send(name)

        return answer

    # -- the frame ------------------------------------------------------------------------

    def _freeze(self) -> None:
        self._screen.hub.toggle_freeze()
        self._screen.draw()

    def _zone(self) -> None:
        self._screen.hub.zone.cycle()
        self._screen.place()
        self._screen.draw()

    def _detach(self) -> None:
        self._screen.app.exit(f"detached: {self._screen.hub.farewell}")


def _account(now: Snapshot | None) -> str:
    if now is None:
        return "No picture of the account yet."
    return f"{now.mode.upper()} account {now.account} on {now.server}"


def _sharing(now: Snapshot, name: str) -> str:
    me = next((s for s in now.strategies if s.name == name), None)
    if me is None:
        return f"{name} is no longer in the portfolio."
    n_others = sum(s.book == me.book for s in now.strategies) - 1
    of, rest, counts = (
        (
            f"book {me.book}, which it shares with {n_others} more",
            "members",
            "It counts at the book's next decision, which may close or turn what the book holds.",
        )
        if n_others
        else (
            "the account: it is alone in its book",
            "books",
            "It counts in the size of the next entry; no open position is resized.",
        )
    )
    return (
        f"Of {of}.\n"
        f"Its weight is {me.weight_frac:.1%} of the account now. The other {rest} keep their "
        f"proportions. {counts}"
    )


def _is_share(values: Values) -> str | None:
    try:
        parse_fraction(values["share"])
    except UserError as error:
        return str(error)
    return None


def _held(now: Snapshot | None) -> str:
    if now is None or not known(now):
        return "Open positions: unknown."
    ours = [p for p in now.positions if p.owner != EXTERNAL]
    n_others = len(now.positions) - len(ours)
    others = f"; {n_others} EXTERNAL, which nobody here closes" if n_others else ""
    if not ours:
        return f"No open positions of ours{others}." if others else "No open positions."
    count, lots = len(ours), sum(p.lots for p in ours)
    profit = sum(p.profit_ccy for p in ours)
    noun = "position" if count == 1 else "positions"
    return f"{count} open {noun}, {lots:,.2f} lots, {profit:+z,.2f} {now.currency}{others}"
