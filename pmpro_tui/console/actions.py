"""The one table of actions: bindings, footer, help, palette and the manual are made from it.

What reduces risk is never blocked by the state of the connection or by what the screen believes;
what adds risk needs a fresh picture. No safety key is a letter that ends an escape sequence
(A–F, H, P–S, Z, ~).
"""

from typing import Final, Literal

from pmpro_tui.console import command_actions, view_actions
from pmpro_tui.console.context import ConsoleAction

SPEEDS: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0)

ACTIONS: Final[tuple[ConsoleAction, ...]] = (
    *command_actions.COMMANDS,
    *command_actions.STRATEGIES,
    *command_actions.POSITIONS,
    *command_actions.ALERTS,
    *command_actions.DETAILS,
    *view_actions.SCREENS,
    *view_actions.WITHIN,
    *view_actions.CONSOLE,
)
SCREENS: Final = tuple(action.name for action in view_actions.SCREENS)
TARGETED: Final = ("kill", "kill_close", "enable", "disable")
"""What hits the target that the footer names."""

BY_NAME: Final = {action.name: action for action in ACTIONS}


def next_speed(speed: float, step: Literal[1, -1]) -> float:
    """Return the next speed above or below."""
    if step > 0:
        return next((s for s in SPEEDS if s > speed), SPEEDS[-1])
    return next((s for s in reversed(SPEEDS) if s < speed), SPEEDS[0])
