"""What the screens of strategies and positions let an operator do."""

from typing import Any

import msgspec
import pytest

from engine.model.views.details import StrategyOf
from pmpro_tui.console.app import ConsoleApp
from pmpro_tui.console.draw.dialogs import Confirm
from tests.console.scripted import (
    LOST,
    Clock,
    ScriptedFeed,
    console,
    drive,
    positions,
    strategies,
    until,
)


@pytest.fixture
def feed() -> ScriptedFeed:
    return ScriptedFeed(Clock())


def sent(feed: ScriptedFeed) -> list[tuple[str, str]]:
    return [(command.name, command.target) for command in feed.sent]


def question(app: ConsoleApp) -> str:
    assert isinstance(app.screen, Confirm)
    return "\n".join(str(label.render()) for label in app.screen.query("Label"))


# ---- positions


def test_picked_positions_are_closed_after_one_question(feed: ScriptedFeed) -> None:
    """The question names each ticket, owner and volume; enter alone does nothing."""
    app = console(feed)
    tickets = [p.ticket for p in positions()]

    async def script(pilot: Any) -> None:
        await pilot.press("3", "v", "j", "v", "x")
        text = question(app)
        for fact in ("Close 2 positions?", "0.67 lots", f"{tickets[0]} eur-trend", "yen USDJPY"):
            assert fact in text
        await pilot.press("enter")
        assert not feed.sent
        await pilot.press("x", "y")
        await until(pilot, lambda: bool(feed.sent))

    drive(app, script)
    assert sent(feed) == [("close", f"{tickets[0]} {tickets[2]}")]


def test_without_picks_the_marked_position_is_meant(feed: ScriptedFeed) -> None:
    """Escape lets picks go, so that what is closed is what the cursor shows, also when LOST."""
    app = console(feed)
    tickets = [p.ticket for p in positions()]

    async def script(pilot: Any) -> None:
        await pilot.press("3", "v", "v", "escape", "g", "j")
        feed.failure = LOST
        app.main.tick()
        await until(pilot, lambda: app.hub.link.word == "LOST")
        await pilot.press("x", "y")
        await until(pilot, lambda: bool(feed.sent))

    drive(app, script)
    assert sent(feed) == [("close", str(tickets[1]))]


def test_the_question_stands_while_positions_come_and_go(feed: ScriptedFeed) -> None:
    """What is closed is what the question named, whatever the table holds by then."""
    app = console(feed)
    tickets = [p.ticket for p in positions()]

    async def script(pilot: Any) -> None:
        await pilot.press("3", "j", "x")
        feed.version, feed.changes = 2, {"positions": positions()[2:]}
        app.main.tick()
        await until(pilot, lambda: app.hub.shown.version == 2)  # type: ignore[union-attr]
        await pilot.press("y")
        await until(pilot, lambda: bool(feed.sent))

    drive(app, script)
    assert sent(feed) == [("close", str(tickets[1]))]


def test_an_external_position_is_not_closed(feed: ScriptedFeed) -> None:
    """Alone or among picked ones it is refused, with what to do instead."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("3", "G", "x")
        assert app.screen is app.main
        await pilot.press("v", "g", "v", "x")
        assert app.screen is app.main
        texts = [notification.message for notification in app._notifications]
        assert all("EXTERNAL" in text and "pmpro adopt" in text for text in texts)
        assert len(texts) == 2

    drive(app, script)
    assert not feed.sent


# ---- strategies


def test_every_column_orders_the_table_and_the_order_turns_round(feed: ScriptedFeed) -> None:
    """`s` goes through all columns, numbers first, back to the file's order; `S` turns it."""
    rows = strategies(120)
    feed.changes = {"strategies": rows}
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("2")
        table = app.main.page.table
        assert table is not None
        names = table.ordering.names
        assert {"Name", "State", "Weight", "P&L today", "Score"} <= set(names)
        for name in names:
            await pilot.press("s")
            assert table.ordering.name == name
            assert {row.id for row in table._rows} == {row.id for row in rows}
        await pilot.press("s")
        assert [row.id for row in table._rows] == [row.id for row in rows]
        await pilot.press("s")
        best = table._rows[0]
        await pilot.press("S")
        assert table._rows[-1].pnl_today_ccy == best.pnl_today_ccy

    drive(app, script)


def test_enter_shows_a_strategy_and_keys_hit_what_is_shown(feed: ScriptedFeed) -> None:
    """The detail, the marked member of its book and the footer name one and the same strategy."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("2", "j", "j", "enter")
        await pilot.pause()
        assert app.main.name_shown == "strategy"
        about = app.main.page.query_one("#about")
        for _ in range(3):
            await pilot.press("K")
            await until(pilot, lambda: bool(feed.sent))
            name = feed.sent.pop().target
            assert name in about.text  # type: ignore[attr-defined]
            assert app.main.page.query_one("#members").selected.name == name  # type: ignore[attr-defined]
            assert name in app.main.query_one("#footer").text  # type: ignore[attr-defined]
            await pilot.press("j")
        await pilot.press("escape")
        assert app.main.name_shown == "strategies"

    drive(app, script)


def test_a_strategy_that_is_gone_is_nobodys_target(feed: ScriptedFeed) -> None:
    """Its screen says so, and no key falls on another one."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("2", "enter")
        await pilot.pause()
        feed.version, feed.changes = 2, {"strategies": strategies(24)[1:]}
        app.main.tick()
        await until(pilot, lambda: app.hub.shown.version == 2)  # type: ignore[union-attr]
        await pilot.press("K")
        assert not feed.sent
        assert "no longer" in app.main.page.query_one("#members").text  # type: ignore[attr-defined]

    drive(app, script)


def test_the_detail_sets_live_beside_shadow(feed: ScriptedFeed) -> None:
    """What it made with its vote, and what it would have made alone."""
    row = msgspec.structs.replace(
        strategies(1)[0], realised_ccy=1234.5, shadow_trades=37, shadow_r=12.25, shadow_mean_r=0.33
    )
    feed.changes = {"strategies": (row,)}
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("2", "enter")
        await pilot.pause()
        text = app.main.page.query_one("#about").text  # type: ignore[attr-defined]
        for fact in ("+1,234.50 USD", "37", "+12.25 R", "+0.33 R", "Its book holds BUY 0.42"):
            assert fact in text

    drive(app, script)


def test_the_detail_is_asked_for_and_told(feed: ScriptedFeed) -> None:
    """Parameters, votes, signals and trades are the engine's answer about the marked strategy."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("2", "j", "enter")
        await until(pilot, lambda: "overbought" in text("settings"))
        await pilot.pause()
        assert feed.asked == [StrategyOf(name="eur-rsi-17")]
        for fact in ("period", "14", "vote, enters above 0.30", "fixed_fraction 0.25 %"):
            assert fact in text("settings"), fact
        rows = text("members").splitlines()
        assert "· no" in next(row for row in rows if "eur-rsi-17" in row)
        assert "✓ yes" in next(row for row in rows if "eur-ma-14" in row)
        assert "▲ LONG" in text("signals")
        assert "open" in text("trades").splitlines()[2]
        await pilot.press("j")
        await until(pilot, lambda: len(feed.asked) == 2)
        assert feed.asked[1] == StrategyOf(name="eur-sr-20")

    def text(name: str) -> str:
        return str(app.main.page.query_one(f"#{name}").text)  # type: ignore[attr-defined]

    drive(app, script)


def test_an_answer_that_does_not_come_is_said(feed: ScriptedFeed) -> None:
    """Without an answer the picture's facts stand, and the tables say why they are empty."""
    feed.details = {}
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("2", "enter")
        trades = app.main.page.query_one("#trades")
        await until(pilot, lambda: "nobody knows" in trades.text)  # type: ignore[attr-defined]
        assert "Weight" in app.main.page.query_one("#about").text  # type: ignore[attr-defined]

    drive(app, script)
