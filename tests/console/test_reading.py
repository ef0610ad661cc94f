"""Any row can be read whole, in every screen; reasons and names go last; nothing is covered."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from rich.cells import cell_len
from textual.widgets._toast import Toast, ToastRack

from engine.model.portfolio import RISK_LIMITS
from engine.model.views.details import (
    BacktestOf,
    Backtests,
    BacktestsOf,
    OrderView,
    RecordDetail,
    RecordOf,
)
from engine.model.views.snapshot import Snapshot
from pmpro_tui.console import facts
from pmpro_tui.console.app import ConsoleApp
from pmpro_tui.console.draw.columns import fitted
from pmpro_tui.console.draw.dialogs import Confirm
from pmpro_tui.console.draw.text import line_text
from pmpro_tui.console.draw.zone import Zone
from pmpro_tui.console.limit_words import LIMIT_WORDS
from pmpro_tui.console.screens import log_rows, position_rows, strategy_rows
from tests.console.scripted import (
    ALARM,
    Clock,
    ScriptedFeed,
    alerts,
    console,
    drive,
    positions,
    settle,
    strategies,
    until,
)
from tests.console.scripted_details import DETAILS, entries

LONG = "the terminal answered CLIENT_DISABLES_AT to the close of 0.42 and nobody knows why LASTWORD"
SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)], ids=str)


@pytest.fixture
def feed() -> ScriptedFeed:
    return ScriptedFeed(Clock())


def read(app: ConsoleApp) -> str:
    """Return what the record shows, its wrapped lines joined."""
    return " ".join(str(app.main.page.query_one("#detail").text).split())  # type: ignore[attr-defined]


# ---- enter


@SIZES
def test_a_position_opens_to_all_of_it_and_its_order(
    feed: ScriptedFeed, size: tuple[int, int]
) -> None:
    """What a position waits for is whole, and below it the record of the order that opened it."""
    held = positions()
    feed.changes = {"positions": (msgspec.structs.replace(held[0], goal=LONG), *held[1:])}
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("3", "g", "enter")
        await until(pilot, lambda: "Position 501233000" in read(app))
        assert LONG in read(app)
        await until(pilot, lambda: RecordOf(order=501233000) in feed.asked)
        for _ in range(12):
            await pilot.press("pagedown")
        await until(pilot, lambda: "decided by code" in read(app))
        await pilot.press("escape")
        assert app.main.page.query_one("#positions").display

    drive(app, script, size)


def test_a_position_of_nobody_has_no_order_and_a_closed_one_says_so(feed: ScriptedFeed) -> None:
    """An EXTERNAL position asks for no order of ours; one that has gone keeps its last figures."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("3", "G", "enter")
        await until(pilot, lambda: "EXTERNAL" in read(app))
        assert not [q for q in feed.asked if isinstance(q, RecordOf)]
        assert "no longer open" not in read(app)
        feed.changes, feed.version = {"positions": positions()[:4]}, 2
        app.main.tick()
        await until(pilot, lambda: "no longer open" in read(app))

    drive(app, script)


def test_a_close_in_a_record_hits_the_position_that_is_read(feed: ScriptedFeed) -> None:
    """What was picked before is not closed with it: the question and the screen agree."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("3", "g", "v", "v", "enter")
        await until(pilot, lambda: "USDJPY" in read(app))
        await pilot.press("x", "y")
        await until(pilot, lambda: bool(feed.sent))

    drive(app, script)
    assert [(c.name, c.target) for c in feed.sent] == [("close", str(positions()[2].ticket))]


@SIZES
def test_an_alert_and_a_channel_open_whole(feed: ScriptedFeed, size: tuple[int, int]) -> None:
    """An alert's text, delivery and who saw it when; a channel's whole reason."""
    first, *rest = alerts()
    seen = msgspec.structs.replace(first, text=LONG, acked_by="alice", acked_ns=first.time_ns)
    channels: Any = ALARM["channels"]
    failing = msgspec.structs.replace(channels[1], detail=LONG)
    feed.changes = dict(ALARM) | {"alerts": (seen, *rest), "channels": (failing,)}
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("7", "g", "enter")
        await until(pilot, lambda: LONG in read(app))
        assert "alice" in read(app)
        assert "on the box's clock" in read(app)
        await pilot.press("escape", "tab", "g", "enter")
        await until(pilot, lambda: "Channel mail" in read(app))
        assert LONG in read(app)

    drive(app, script, size)


@SIZES
def test_every_panel_of_a_strategy_opens(feed: ScriptedFeed, size: tuple[int, int]) -> None:
    """A trade leads to its order; a gap, a signal, an event and the strategy itself are whole."""
    rows = strategies(24)
    feed.changes = {"strategies": (msgspec.structs.replace(rows[0], detail=LONG), *rows[1:])}
    app = console(feed)
    wanted = {
        "about": LONG,
        "members": LONG,
        "trades": "Trade of order 7011",
        "gaps": "Gap to the backtest",
        "signals": "Signal of",
    }

    async def script(pilot: Any) -> None:
        await pilot.press("2", "g", "enter")
        page = app.main.page
        await until(pilot, lambda: bool(page.query_one("#trades").rows))  # type: ignore[attr-defined]
        for _ in range(len(page.PANELS)):
            if page.active in wanted:
                words = wanted.pop(page.active)
                await pilot.press("g", "enter")
                await until(pilot, lambda words=words: words in read(app))  # type: ignore[misc]
                await pilot.press("escape")
            await pilot.press("tab")

    drive(app, script, size)
    assert not wanted or (size != (80, 24) and set(wanted) == {"about"})  # a table has the keys
    assert RecordOf(order=7011) in feed.asked


def test_a_strategy_s_reason_is_whole_beside_its_facts(feed: ScriptedFeed) -> None:
    """Why a strategy is out stands on its screen from the first to the last word."""
    rows = strategies(24)
    feed.changes = {"strategies": (msgspec.structs.replace(rows[0], detail=LONG), *rows[1:])}
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("2", "g", "enter")
        shown = str(app.main.page.query_one("#about").text)  # type: ignore[attr-defined]
        assert LONG in " ".join(shown.split())

    drive(app, script)


@SIZES
def test_enter_does_something_on_every_screen_with_rows(
    feed: ScriptedFeed, size: tuple[int, int]
) -> None:
    """No table of any screen answers enter with "nothing to open here"."""
    feed.changes = dict(ALARM)
    app = console(feed)

    async def script(pilot: Any) -> None:
        for key in "1234567":
            await pilot.press(key)
            while app.hub.inquiries.under_way:
                await pilot.pause(0.005)
            page = app.main.page
            for _ in page.PANELS:
                if page.table is not None and page.table.rows:
                    await pilot.press("g")
                    assert page.why_not("open") is None, (key, page.active)
                await pilot.press("tab")

    drive(app, script, size)


# ---- what goes last


@pytest.mark.parametrize("width", [48, 60, 71, 80, 120])
def test_a_reason_goes_last_and_a_name_is_whole(width: int) -> None:
    """However narrow a table, its reason is there; no name is cut beside a column that repeats it.

    The least that is asked of a reason is 15 cells of it.
    """
    now = ScriptedFeed(Clock()).now()
    name = "gold-breakout-london-open"
    s = msgspec.structs.replace(now.strategies[0], name=name, book=name, detail=LONG)
    p = msgspec.structs.replace(now.positions[0], owner=name, goal=LONG)
    order = OrderView(
        id=1,
        time_ns=1,
        order=2,
        magic=3,
        book="gold-breakout-london",
        symbol="EURUSD",
        action="open",
        direction="BUY",
        lots=0.1,
        state="REFUSED",
        price=1.1,
        detail=LONG,
    )
    for row, columns, whole in (
        (s, strategy_rows.COLUMNS, name),
        (p, position_rows.columns(lambda: now.market_ns), name),
        (order, log_rows.order_columns(lambda _: "01-13 10:00:00"), "gold-breakout-london"),
    ):
        shape = fitted(columns, width, [row])  # type: ignore[type-var]
        text = line_text(shape.row(row, marked=False, active=False))
        assert cell_len(text) <= width
        headers = [column.header for column, _ in shape.columns]
        assert any(header in ("Why", "Goal") for header in headers) or width < 60, headers
        if width >= 60:
            assert LONG[:15] in text, text
        assert whole in text, text


def test_a_column_of_reasons_takes_no_room_where_there_are_none() -> None:
    """On an ordinary day the room is the figures'."""
    now = ScriptedFeed(Clock()).now()
    well = [msgspec.structs.replace(s, detail="") for s in now.strategies]
    shape = fitted(strategy_rows.COLUMNS, 200, well)
    assert "Why" not in [column.header for column, _ in shape.columns]


# ---- limits


def test_every_limit_has_words_and_no_other() -> None:
    """The words are those of the limits that there are, short enough for a small screen."""
    assert set(LIMIT_WORDS) == set(RISK_LIMITS)
    assert len(set(LIMIT_WORDS.values())) == len(LIMIT_WORDS)
    assert max(map(len, LIMIT_WORDS.values())) <= 32


@SIZES
def test_a_limit_stands_in_words_beside_its_option(
    feed: ScriptedFeed, size: tuple[int, int]
) -> None:
    """At every size the marked limit shows both; enter shows them with every value."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("4", "g")
        table: Any = app.main.page.query_one("#limits")
        name = table.selected.name
        assert LIMIT_WORDS[name] in table.text
        tabs: Any = app.main.query_one("#tabs")
        assert name in f"{table.text} {tabs.text}"
        await pilot.press("enter")
        assert LIMIT_WORDS[name] in read(app)
        assert f"{name} in [risk]" in read(app)
        await pilot.press("escape", "l")
        shown = " ".join(str(label.render()) for label in app.screen.query("Label"))
        assert LIMIT_WORDS[name] in shown

    drive(app, script, size)


# ---- one clock


def test_a_list_has_one_clock(feed: ScriptedFeed) -> None:
    """Alerts happen on the market's clock and are seen on the box's: only one is in the list."""
    now_ns = feed.clock.now
    alert = msgspec.structs.replace(alerts()[3], acked_ns=now_ns + 3_600_000_000_000)
    feed.changes = dict(ALARM) | {"alerts": (alert,)}
    app = console(feed)
    zone = Zone()

    async def script(pilot: Any) -> None:
        await pilot.press("7")
        shown = app.main.page.query_one("#alerts").text  # type: ignore[attr-defined]
        assert zone.stamp(alert.time_ns) in shown
        assert zone.clock(alert.acked_ns) not in shown
        assert "alice" in shown

    drive(app, script)


# ---- messages


@SIZES
def test_a_message_covers_no_row(feed: ScriptedFeed, size: tuple[int, int]) -> None:
    """Messages have lines of their own above the keys; the marked row stays in view."""
    app = console(feed)

    async def run() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await settle(pilot, app)
            await pilot.press("2", "G", "K")
            await until(pilot, lambda: bool(app.screen.query(Toast)))
            await until(pilot, lambda: app.screen.query(Toast).first().region.height > 0)
            await pilot.pause()
            toast = app.screen.query(Toast).first().region
            pages = app.screen.query_one("#pages").region
            assert not toast.overlaps(pages)
            assert toast.bottom <= app.screen.query_one("#footer").region.y
            assert app.screen.query_one("#footer").region.bottom == size[1]
            marked: Any = app.main.page.query_one("#strategies")
            assert marked.selected.name in marked.text
            assert app.screen.query_one(ToastRack).parent is app.main

    asyncio.run(run())


def test_a_question_shows_a_message_once(feed: ScriptedFeed) -> None:
    """Over a dialog a message lies where it lay before, not beside itself."""
    app = console(feed)

    async def run() -> None:
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            await settle(pilot, app)
            await pilot.press("2", "g", "K")
            await until(pilot, lambda: bool(app.screen.query(Toast)))
            await until(pilot, lambda: app.screen.query(Toast).first().region.height > 0)
            before = app.screen.query(Toast).first().region
            await pilot.press("ctrl+x")
            await until(pilot, lambda: isinstance(app.screen, Confirm))
            await until(pilot, lambda: bool(app.screen.query(Toast)))
            await until(pilot, lambda: app.screen.query(Toast).first().region.height > 0)
            assert app.screen.query(Toast).first().region == before

    asyncio.run(run())


# ---- the result of a backtest


@SIZES
def test_a_result_tells_its_refusals_months_strategies_and_trades(
    feed: ScriptedFeed, size: tuple[int, int]
) -> None:
    """All of it is read with the keys that move, nothing of it cut; the last trade comes first."""
    app = console(feed)
    told: Any = DETAILS[BacktestOf](BacktestOf(id=1))

    async def script(pilot: Any) -> None:
        await pilot.press("5")
        await until(pilot, lambda: bool(app.main.page.query_one("#results").rows))  # type: ignore[attr-defined]
        await pilot.press("g", "enter")
        table: Any = app.main.page.query_one("#detail")
        await until(pilot, lambda: bool(table.rows))
        for word in ("refusals", "months", "strategies", "trades"):
            assert word in table.title
        text = "\n".join(row.text for row in table.rows)
        assert max(cell_len(row.text) for row in table.rows) <= size[0] - 2
        at = [
            text.find(name) for name in ("Entries refused", "Months", "Strategies", "Trades, the")
        ]
        assert -1 not in at
        assert at == sorted(at)
        assert "spread" in text[at[0] : at[1]]
        for month in told.months:
            assert month.month in text[at[1] : at[2]]
        for strategy in told.strategies:
            assert strategy.strategy in text[at[2] : at[3]]
        assert f"the last {len(told.trades):,} of {told.view.n_trades:,}" in text
        shown = [text.index(f"out at {t.exit_price:.5f}") for t in told.trades]
        assert shown == sorted(shown, reverse=True)

    drive(app, script, size)


def test_without_bars_nothing_is_asked(feed: ScriptedFeed) -> None:
    """A form that could only be refused is not filled in: the key says what is missing."""
    feed.details[BacktestsOf] = lambda _: Backtests(
        stored=(), portfolios=("a.toml",), symbols=("EURUSD",), data=""
    )
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("5")
        while app.hub.inquiries.under_way:
            await pilot.pause(0.005)
        await pilot.press("n")
        assert app.screen is app.main
        assert "backtest.data" in [n.message for n in app._notifications][-1]

    drive(app, script)


def test_an_audit_entry_is_wrapped_once() -> None:
    """A long detail goes on under its value, in lines that are full."""
    text = "stop 142.569, target 141.719 at the terminal: set to stop 142.567, target 141.717"
    entry = msgspec.structs.replace(entries(1)[0], details=json.dumps({"levels": text}))
    lines = log_rows.record_lines(RecordDetail(audit=entry), lambda _: "now", 80)
    value = [one.text for one in lines if one.text.startswith("  levels") or "142.567" in one.text]
    assert len(value) == 2
    assert len(value[0]) > 60


def test_facts_wrap_and_are_never_cut() -> None:
    """A record's line is no wider than the screen, and no word of it is lost."""
    now: Snapshot = ScriptedFeed(Clock()).now()
    row = msgspec.structs.replace(now.strategies[0], detail=LONG)
    for width in (40, 80, 200):
        lines = facts.strategy_facts(row, "USD", width)
        assert max(cell_len(one.text) for one in lines) <= width
        assert LONG in " ".join(" ".join(one.text for one in lines).split())
