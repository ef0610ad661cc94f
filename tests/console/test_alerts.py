"""Alerts on the console: a critical one cannot be missed, and is gone only once it is seen."""

from typing import Any

import pytest

from pmpro_tui.console.actions import BY_NAME, SCREENS
from pmpro_tui.console.app import ConsoleApp
from tests.console.scripted import (
    ALARM,
    LOST,
    Clock,
    ScriptedFeed,
    alerts,
    console,
    drive,
    until,
)


@pytest.fixture
def feed() -> ScriptedFeed:
    return ScriptedFeed(Clock(), changes=dict(ALARM))


def alarm(app: ConsoleApp) -> str:
    widget = app.main.query_one("#alarm")
    return str(widget.text) if widget.display else ""  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
def test_every_screen_shows_a_critical_alert_that_nobody_has_seen(
    feed: ScriptedFeed, size: tuple[int, int]
) -> None:
    """Its count, source and text stand on a line of their own, also on a lost picture."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        feed.failure = LOST
        app.main.tick()
        await until(pilot, lambda: app.hub.link.word == "LOST")
        for name in SCREENS:
            await pilot.press(BY_NAME[name].keys[0])
            await pilot.pause()
            assert "1 CRITICAL" in alarm(app), name
            assert "terminal: order outcome unknown" in alarm(app), name

    drive(app, script, size)


def test_only_acknowledgement_takes_the_line_away(feed: ScriptedFeed) -> None:
    """It outlives filter, freeze and escape, and shows through a held picture."""
    feed.changes = {}
    app = console(feed)

    async def script(pilot: Any) -> None:
        assert alarm(app) == ""
        await pilot.press("space")
        feed.version, feed.changes = 2, dict(ALARM)
        app.main.tick()
        await until(pilot, lambda: app.hub.latest.version == 2)  # type: ignore[union-attr]
        assert "1 CRITICAL" in alarm(app)
        await pilot.press("space", "7", "slash", *"info", "enter", "escape", "escape")
        assert "1 CRITICAL" in alarm(app)
        feed.version, feed.changes = 3, {"alerts": alerts(), "n_unacked_critical": 0}
        app.main.tick()
        await until(pilot, lambda: app.hub.latest.version == 3)  # type: ignore[union-attr]
        assert alarm(app) == ""

    drive(app, script)


def test_keys_acknowledge_one_or_what_is_on_the_screen(feed: ScriptedFeed) -> None:
    """`a` names the marked alert; ctrl+a names the newest on the screen, so that none is missed."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("a")
        assert not feed.sent  # on another screen it means nothing
        await pilot.press("7", "j", "a")
        await until(pilot, lambda: len(feed.sent) == 1)
        await pilot.press("j", "j", "a")
        assert len(feed.sent) == 1  # somebody has seen that one
        await pilot.press("ctrl+a")
        await until(pilot, lambda: len(feed.sent) == 2)

    drive(app, script)
    assert [(c.name, c.target, c.value) for c in feed.sent] == [
        ("ack", "89", 0.0),
        ("ack", "all", 90.0),
    ]


def test_a_viewer_acknowledges_nothing(feed: ScriptedFeed) -> None:
    """Who only looks does not take an alert away from others."""
    app = console(feed, readonly=True)

    async def script(pilot: Any) -> None:
        await pilot.press("7", "a", "ctrl+a")

    drive(app, script)
    assert not feed.sent
