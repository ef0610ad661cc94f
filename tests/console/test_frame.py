"""The frame around the screens: what every screen shows, and how one comes to another."""

from typing import Any

import pytest

from engine.model.views.snapshot import Snapshot
from pmpro_tui.console import screens
from pmpro_tui.console.actions import BY_NAME, SCREENS
from pmpro_tui.console.app import ConsoleApp
from pmpro_tui.console.hub import Hub
from pmpro_tui.console.screens.page import Page
from tests.console.scripted import LOST, Clock, ScriptedFeed, console, drive, strategies, until


@pytest.fixture
def feed() -> ScriptedFeed:
    return ScriptedFeed(Clock())


def line(app: ConsoleApp, name: str) -> str:
    return str(app.main.query_one(f"#{name}").text)  # type: ignore[attr-defined]


def test_switching_screens_asks_the_engine_nothing(feed: ScriptedFeed) -> None:
    """Every screen is drawn from what the hub has: no fetch, and text on it at once."""
    app = console(feed)
    asked: list[int] = []
    answer = feed.snapshot

    def count(since: int, *, events_after: int) -> Snapshot | None:
        asked.append(since)
        return answer(since, events_after=events_after)

    async def script(pilot: Any) -> None:
        feed.snapshot = count  # type: ignore[method-assign]
        for name in (*SCREENS, *SCREENS):
            await pilot.press(BY_NAME[name].keys[0])
            assert app.main.name_shown == name
            assert any(lines.text.strip() for lines in app.main.page.query("Lines"))  # type: ignore[attr-defined]

    drive(app, script)
    assert asked == []


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
def test_every_screen_says_which_engine_and_how_true(
    feed: ScriptedFeed, size: tuple[int, int]
) -> None:
    """Mode, account, state, link and its age stand on the first line of every screen."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        feed.failure = LOST
        app.main.tick()
        await until(pilot, lambda: app.hub.link.word == "LOST")
        feed.clock.advance(7)
        for name in SCREENS:
            await pilot.press(BY_NAME[name].keys[0])
            app.main.tick()
            for fact in ("DEMO", "10012345", "ACTIVE", "LOST 7s"):
                assert fact in line(app, "status"), (name, fact)
            assert f"[{BY_NAME[name].keys[0]} {BY_NAME[name].label}" in line(app, "names")
            assert all(lines._quiet for lines in app.main.page.query("Lines"))  # type: ignore[attr-defined]

    drive(app, script, size)


def test_nothing_is_asked_of_a_screen_that_is_being_made(
    feed: ScriptedFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is drawn while a screen gets its panels, the former one answers."""
    app = console(feed)
    build = screens.build

    def built(name: str, hub: Hub) -> Page:
        page = build(name, hub)
        compose = page.compose

        def composing() -> Any:
            app.main.tick()
            assert app.main.context().screen != name
            yield from compose()

        monkeypatch.setattr(page, "compose", composing)
        return page

    async def script(pilot: Any) -> None:
        monkeypatch.setattr(screens, "build", built)
        for name in (*SCREENS, "overview"):
            await pilot.press(BY_NAME[name].keys[0])
            assert app.main.name_shown == name
        await pilot.press("enter")
        assert app.main.name_shown == "strategy"

    drive(app, script)


def test_brackets_step_through_a_small_screens_panels(feed: ScriptedFeed) -> None:
    """`]` and `[` go round all panels of a screen, each as often as it is pressed."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        names = list(app.main.page.PANELS)
        seen = []
        for _ in names:
            await pilot.press("right_square_bracket")
            seen.append(app.main.page.active)
        assert seen == [*names[1:], names[0]]
        await pilot.press("left_square_bracket", "left_square_bracket")
        assert app.main.page.active == names[-2]

    drive(app, script, (80, 24))


def test_a_dropped_command_says_so(feed: ScriptedFeed) -> None:
    """A safety key taken for the rest of a broken sequence is named, so that nobody trusts it."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("left_square_bracket", "K")
        await pilot.pause()
        assert not feed.sent
        assert [n.title for n in app._notifications] == ["Kill: dropped"]

    drive(app, script)


def test_escape_backs_out_one_step_at_a_time(feed: ScriptedFeed) -> None:
    """First the filter goes, then the help; a screen is never left by it."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("2", "question_mark", "slash", *"kill", "enter", "escape")
        assert app.main.name_shown == "help"
        assert app.main.page.words == ""
        await pilot.press("escape")
        assert app.main.name_shown == "strategies"
        await pilot.press("escape")
        assert app.main.name_shown == "strategies"

    drive(app, script)


def test_each_screen_keeps_its_filter_and_order(feed: ScriptedFeed) -> None:
    """What was chosen on one screen neither acts on another nor is lost by looking at it."""
    feed.changes = {"strategies": strategies(24)}
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("2", "s", "slash", *"xau", "enter", "3")
        assert "Positions 5" in app.main.page.query_one("#positions").text  # type: ignore[attr-defined]
        await pilot.press("2")
        table = app.main.page.table
        assert table is not None
        assert "/xau by P&L today" in table.text
        rows = [row.pnl_today_ccy for row in table._rows]
        assert rows == sorted(rows, reverse=True)

    drive(app, script)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_the_mouse_marks_orders_and_switches(feed: ScriptedFeed, size: tuple[int, int]) -> None:
    """A click on a name, a row or a header does what the keys do, and sends nothing."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        names = app.main.query_one("#names")
        x = names.text.index("2 Strategies")  # type: ignore[attr-defined]
        await pilot.click("#names", offset=(x, 0))
        assert app.main.name_shown == "strategies"
        table = app.main.page.table
        assert table is not None
        first = int(table.titled)
        await pilot.click("#strategies", offset=(5, first + 3))
        assert table.selected == table._rows[2]
        assert table._rows[2].name in line(app, "footer")
        x = table.text.splitlines()[first].index("P&L today")
        await pilot.click("#strategies", offset=(x, first))
        assert table.ordering.note == "by P&L today"
        await pilot.click("#strategies", offset=(x, first))
        assert table.ordering.note == "by P&L today reversed"

    drive(app, script, size)
    assert not feed.sent
