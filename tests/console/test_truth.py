"""A number that has stopped moving must never look live."""

from typing import Any

import pytest

from engine.model.errors import Refused
from engine.model.times import NS_PER_S
from pmpro_tui.console.app import ConsoleApp
from pmpro_tui.console.link import Link
from tests.console.scripted import (
    LOST,
    Clock,
    ScriptedFeed,
    console,
    drive,
    events,
    strategies,
    until,
)


@pytest.fixture
def feed() -> ScriptedFeed:
    return ScriptedFeed(Clock())


def status(app: ConsoleApp) -> str:
    return str(app.main.query_one("#status").text)  # type: ignore[attr-defined]


def test_screen_says_stale_when_the_engine_goes_quiet(feed: ScriptedFeed) -> None:
    """Connected but without news: STALE and how long, and no colour says otherwise."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        assert "FRESH <1s" in status(app)
        feed.clock.advance(10)
        app.main.tick()
        await pilot.pause()
        assert "STALE 10s" in status(app)
        assert app.main.page.table._quiet
        feed.version = 2
        app.main.tick()
        await until(pilot, lambda: "FRESH" in status(app))
        assert not app.main.page.table._quiet

    drive(app, script)


def test_screen_says_lost_and_comes_back(feed: ScriptedFeed) -> None:
    """A socket that fails is LOST, tried again with growing pauses, and found again."""
    app = console(feed)
    attempts = []

    async def script(pilot: Any) -> None:
        feed.failure = LOST
        for _ in range(200):
            app.main.tick()
            attempts.append(app.hub.fetching)
            await until(pilot, lambda: not app.hub.fetching)
            feed.clock.advance(0.05)
        assert "LOST 10s" in status(app) or "LOST 9s" in status(app)
        assert 5 <= sum(attempts) <= 9
        feed.failure, feed.version = None, 2
        feed.clock.advance(5)
        app.main.tick()
        await until(pilot, lambda: "FRESH" in status(app))

    drive(app, script)


@pytest.mark.parametrize(
    ("panel", "well", "size"),
    [("brief", "all well", (80, 24)), ("health", "Feed     OK", (120, 40))],
)
def test_nothing_is_called_well_by_a_silent_engine(
    feed: ScriptedFeed, panel: str, well: str, size: tuple[int, int]
) -> None:
    """While nobody says how it is, the overview does not either; it says for how long."""
    app = console(feed)

    def said() -> str:
        return str(app.main.query_one(f"#{panel}").text)  # type: ignore[attr-defined]

    async def script(pilot: Any) -> None:
        feed.changes = {"strategies": strategies(5)}
        feed.version = 2
        app.main.tick()
        await until(pilot, lambda: well in said())
        for failure, word in ((None, "STALE"), (LOST, "LOST")):
            feed.failure = failure
            feed.clock.advance(10)
            app.main.tick()
            await until(pilot, lambda: not app.hub.fetching)
            await until(pilot, lambda word=word: word in status(app))
            assert word in said()
            assert well not in said()
        feed.failure, feed.version = None, 3
        feed.clock.advance(5)
        app.main.tick()
        await until(pilot, lambda: well in said())

    drive(app, script, size=size)


def test_a_frozen_screen_says_so_and_catches_up(feed: ScriptedFeed) -> None:
    """Freezing holds picture and log, says FROZEN and how long, and loses no event."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("space")
        feed.clock.advance(5)
        feed.version, feed.changes = 2, {"state": "HALTED", "events": events(60)}
        app.main.tick()
        await until(pilot, lambda: app.hub.latest.version == 2)  # type: ignore[union-attr]
        assert "FROZEN 5s" in status(app)
        assert "ACTIVE" in status(app)
        await pilot.press("space")
        assert "FROZEN" not in status(app)
        assert "HALTED" in status(app)
        assert [event.seq for event in app.hub.history.rows] == list(range(1, 61))

    drive(app, script)


def test_a_clock_set_back_makes_nothing_fresh() -> None:
    """Age counts on the monotonic clock too, so old numbers stay old when the clock is set back."""
    wall, monotonic = Clock(), Clock()
    link = Link(wall, monotonic)
    link.arrived(wall.now)
    wall.advance(-3600)
    monotonic.advance(30)
    link.arrived(None)
    assert link.word == "STALE"
    assert link.age_s() == pytest.approx(30)


def test_a_day_without_an_engine_is_asked_for_every_four_seconds() -> None:
    """However often in vain, the console asks again after 4 s, and at once after an answer."""
    clock = Clock()
    link = Link(clock, clock)
    for _ in range(21_600):
        link.failed("no engine")
        assert not link.may_try()
        clock.advance(4)
        assert link.may_try()
    link.failed("no engine")
    link.arrived(None)
    assert link.may_try()


def test_a_restarted_engines_log_starts_over(feed: ScriptedFeed) -> None:
    """Event numbers of a new engine are not mistaken for old ones."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        feed.version = 2
        feed.snapshot = lambda since, *, events_after: feed.now(events=events(3))  # type: ignore[method-assign]
        app.main.tick()
        await until(pilot, lambda: app.hub.shown.version == 2)  # type: ignore[union-attr]
        assert [event.seq for event in app.hub.history.rows] == [1, 2, 3]

    drive(app, script)


def test_unchanged_rows_are_not_drawn_again(
    feed: ScriptedFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new snapshot redraws only the rows whose text changed."""
    app = console(feed)
    regions: list[Any] = []

    async def script(pilot: Any) -> None:
        await pilot.pause()
        table = app.main.page.table
        monkeypatch.setattr(table, "refresh", lambda *args, **_: regions.extend(args))
        rows = list(feed.now().strategies)
        rows[3] = type(rows[3])(
            **{name: getattr(rows[3], name) for name in rows[3].__struct_fields__}
            | {"pnl_today_ccy": 1.0}
        )
        feed.version, feed.changes = 2, {"strategies": tuple(rows)}
        app.main.tick()
        await until(pilot, lambda: app.hub.shown.version == 2)  # type: ignore[union-attr]

    drive(app, script)
    assert [region.y for region in regions] == [5]


def test_the_curve_waits_for_its_turn(feed: ScriptedFeed) -> None:
    """The equity line is drawn on a new point, at most every 2 s."""
    app = console(feed)
    drawn = []

    async def script(pilot: Any) -> None:
        equity = app.main.query_one("#equity")
        equity.draw = lambda: drawn.append(feed.version)  # type: ignore[attr-defined]
        points = feed.now().equity_points
        for version, seconds, extra in ((2, 1.0, 1), (3, 0.9, 2), (4, 0.2, 3), (5, 9.0, 3)):
            feed.clock.advance(seconds)
            last_ns = points[-1][0]
            more = tuple((last_ns + i * NS_PER_S, 1e5) for i in range(extra))
            feed.version, feed.changes = version, {"equity_points": points + more}
            app.main.tick()
            await until(pilot, lambda: app.hub.shown.version == feed.version)  # type: ignore[union-attr]

    drive(app, script)
    assert drawn == [4]


def test_an_engine_that_cannot_be_had_ends_the_console() -> None:
    """Why there is no engine is the console's last word, for the terminal to show."""
    reason = Refused("this engine runs demo, not live")

    def opener(_: object) -> Any:
        raise reason

    app = ConsoleApp(opener, poll_s=3600)

    async def run() -> None:
        async with app.run_test() as pilot:
            await until(pilot, lambda: app._exit)

    import asyncio

    asyncio.run(run())
    assert app.return_value is reason
