"""What runs an action: the frame or a screen, looked up by the action's name."""

from pmpro_tui.console import screens
from pmpro_tui.console.actions import ACTIONS, BY_NAME, SCREENS
from tests.console.scripted import Clock, ScriptedFeed, console, drive


def test_every_action_has_what_runs_it_and_nothing_else_is_run() -> None:
    """An action of the table runs on each screen that knows it; what runs is in the table."""
    app = console(ScriptedFeed(Clock()))

    async def look(*_: object) -> None:
        of_frame = set(app.main.commands.runs()) | set(SCREENS)
        on_screens = {
            name: set(screens.build(name, app.main.hub).runs()) for name in (*SCREENS, "strategy")
        }
        for action in ACTIONS:
            where = action.screens or tuple(on_screens)
            missing = [name for name in where if action.name not in of_frame | on_screens[name]]
            assert not missing, f"{action.name} does nothing on {missing}"
        assert of_frame.union(*on_screens.values()) == set(BY_NAME)

    drive(app, look)
