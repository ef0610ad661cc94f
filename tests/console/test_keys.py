"""What keys do: each sends exactly its command, and nothing else ever does."""

import asyncio
import threading
import time
from typing import Any

import msgspec
import pytest
from textual.command import CommandPalette
from textual.events import Key
from textual.widgets import Button, Input
from textual.widgets._toast import Toast

from engine.model.views.snapshot import Reply
from pmpro_tui.console.actions import ACTIONS, BY_NAME
from pmpro_tui.console.app import ConsoleApp
from pmpro_tui.console.context import why_not
from pmpro_tui.console.draw.dialogs import Confirm, TypedWord
from pmpro_tui.console.draw.table import Table
from pmpro_tui.console.hub import Notice
from pmpro_tui.console.screen import NOTICES_MAX
from tests.console.scripted import (
    LOST,
    START_NS,
    Clock,
    ScriptedFeed,
    console,
    drive,
    positions,
    risk,
    settle,
    until,
)

HALTED = {"state": "HALTED", "state_reason": "halted by root", "risk": risk(0.09)}


@pytest.fixture
def feed() -> ScriptedFeed:
    return ScriptedFeed(Clock())


def sent(feed: ScriptedFeed) -> list[tuple[str, str, float]]:
    return [(command.name, command.target, command.value) for command in feed.sent]


def footer(app: ConsoleApp) -> str:
    return str(app.main.query_one("#footer").text)  # type: ignore[attr-defined]


COMMANDS = {
    "K": ("kill", "eur-ma-14", 0.0),
    "j K": ("kill", "eur-rsi-17", 0.0),
    "j j k K": ("kill", "eur-rsi-17", 0.0),
    "down down up K": ("kill", "eur-rsi-17", 0.0),
    "G K": ("kill", "xau-macd-83", 0.0),
    "end home K": ("kill", "eur-ma-14", 0.0),
    "j d": ("disable", "eur-rsi-17", 0.0),
    "j j j j j j e": ("enable", "gbp-ma-32", 0.0),
    "X": ("halt", "", 0.0),
    "ctrl+x y": ("flatten", "", 0.0),
    "ctrl+x tab enter": ("flatten", "", 0.0),
    "plus": ("speed", "", 120.0),
    "minus": ("speed", "", 30.0),
    "3 g K": ("kill", "eur-trend", 0.0),
    "3 g j j K": ("kill", "yen", 0.0),
    "2 g j K": ("kill", "eur-rsi-17", 0.0),
    "Q s t o p enter": ("stop", "", 0.0),
}


def test_a_key_sends_exactly_its_command(feed: ScriptedFeed) -> None:
    """An action sends one command, naming its target, the picture it was given on and its time."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        for keys, expected in COMMANDS.items():
            feed.sent.clear()
            await pilot.press("1", "g", *keys.split())
            await until(pilot, lambda: bool(feed.sent))
            await pilot.pause()
            assert sent(feed) == [expected], keys
            command = feed.sent[0]
            assert (command.seen_version, command.sent_ns) == (1, START_NS)

    drive(app, script)


def test_resume_needs_the_word(feed: ScriptedFeed) -> None:
    """Resuming starts on Cancel and is sent only after the typed word."""
    feed.changes = HALTED
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("r")
        assert isinstance(app.screen, TypedWord)
        assert app.focused is not None
        assert app.focused.id == "cancel"
        await pilot.press("enter")
        assert app.screen is app.main
        await pilot.press("r", *"resum", "enter")
        assert isinstance(app.screen, TypedWord)
        assert app.screen.query_one("#confirm", Button).disabled
        assert not feed.sent
        await pilot.press("e", "enter")
        await until(pilot, lambda: bool(feed.sent))

    drive(app, script)
    assert sent(feed) == [("resume", "", 0.0)]


def test_rebase_needs_its_own_word_and_states_both_marks(feed: ScriptedFeed) -> None:
    """In tier 2 ctrl+r offers what `resume --rebase` does; `resume` alone says that it will not do.

    It starts on Cancel and is sent only after the typed word.
    """
    feed.changes = {
        "state": "REDUCING",
        "state_reason": "drawdown tier 2: no new entries",
        "risk": risk(0.0871),
    }
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("r")
        said = str(app.screen.query_one(".body").render())
        assert "tier 2 keeps them out all the same: ctrl+r ends it" in said
        await pilot.press("escape", "ctrl+r")
        assert isinstance(app.screen, TypedWord)
        assert app.focused is not None
        assert app.focused.id == "cancel"
        said = str(app.screen.query_one(".body").render())
        now = feed.now()
        assert f"{now.risk.equity_ccy:,.2f} {now.currency}" in said
        assert f"longer from {now.risk.high_water_ccy:,.2f}" in said
        await pilot.press(*"rebas", "enter")
        assert not feed.sent
        await pilot.press("e", "enter")
        await until(pilot, lambda: bool(feed.sent))

    drive(app, script)
    assert sent(feed) == [("resume", "rebase", 0.0)]


def test_there_is_nothing_to_rebase_where_no_tier_keeps_entries_out(feed: ScriptedFeed) -> None:
    """A slip of ctrl+r on an ACTIVE account lowers no mark, and says why."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("ctrl+r")
        assert app.screen is app.main
        reason = why_not(BY_NAME["rebase"], app.main.context())
        assert reason == "drawdown tier 0 keeps no entry out"

    drive(app, script)
    assert not feed.sent


def test_a_confirmation_starts_on_cancel_and_states_what_it_hits(feed: ScriptedFeed) -> None:
    """Flattening asks once, with account, count and volume; enter alone does nothing."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("ctrl+x")
        assert isinstance(app.screen, Confirm)
        text = "\n".join(str(label.render()) for label in app.screen.query("Label"))
        assert "DEMO account 10012345 on PmproSim-Demo" in text
        assert "4 open positions, 1.03 lots" in text
        assert "1 EXTERNAL, which nobody here closes" in text
        await pilot.press("enter")
        assert app.screen is app.main
        await pilot.press("ctrl+x", "escape", "ctrl+x", "n")
        assert app.screen is app.main

    drive(app, script)
    assert not feed.sent


def test_stop_without_positions_asks_simply(feed: ScriptedFeed) -> None:
    """Without open positions, stopping needs one confirmation and no word."""
    feed.changes = {"positions": ()}
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("Q")
        assert isinstance(app.screen, Confirm)
        await pilot.press("y")
        await until(pilot, lambda: bool(feed.sent))

    drive(app, script)
    assert sent(feed) == [("stop", "", 0.0)]


def test_readonly_refuses_every_command(feed: ScriptedFeed) -> None:
    """A read-only console sends nothing, whatever is pressed, and says so."""
    feed.changes = HALTED
    app = console(feed, readonly=True)

    async def script(pilot: Any) -> None:
        for action in ACTIONS:
            if action.kind in ("reduce", "add"):
                await pilot.press(action.keys[0])
                assert app.screen is app.main, action.name
        assert "READ-ONLY" in app.main.query_one("#status").text  # type: ignore[attr-defined]
        assert "K(Kill)" in footer(app).replace(" ", "")

    drive(app, script)
    assert not feed.sent


PIECES = (
    "escape left_square_bracket K",
    "left_square_bracket K",
    "escape left_square_bracket 1 semicolon 5 K",
    "alt+shift+o X",
    "escape O X",
)


def test_a_split_escape_sequence_is_no_key(feed: ScriptedFeed) -> None:
    """The last letter of a sequence that arrives in pieces does not act; the next key does."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        for pieces in PIECES:
            await pilot.press(*pieces.split())
            await pilot.pause()
            assert not feed.sent, pieces
            await pilot.press("X")
            await until(pilot, lambda: bool(feed.sent))
            assert sent(feed) == [("halt", "", 0.0)], pieces
            feed.sent.clear()
        await pilot.press("escape", "left_square_bracket")
        feed.clock.advance(1.1)
        await pilot.press("K")
        await until(pilot, lambda: bool(feed.sent))

    drive(app, script)


def test_a_lone_escape_does_not_hold_keys_up(feed: ScriptedFeed) -> None:
    """Leaving a question with escape and killing right after works."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("ctrl+x", "escape", "K")
        await until(pilot, lambda: bool(feed.sent))

    drive(app, script)
    assert sent(feed) == [("kill", "eur-ma-14", 0.0)]


def test_kill_works_while_a_fetch_hangs(feed: ScriptedFeed) -> None:
    """A fetch that does not return delays no command."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        feed.hang = threading.Event()
        app.main.tick()
        started_s = time.monotonic()
        await pilot.press("K")
        await until(pilot, feed.answered.is_set)
        assert time.monotonic() - started_s < 1.0
        feed.hang.set()

    drive(app, script)
    assert sent(feed) == [("kill", "eur-ma-14", 0.0)]


def test_a_lost_picture_keeps_nobody_from_reducing_risk(feed: ScriptedFeed) -> None:
    """While snapshots fail, what reduces risk is still sent; what adds risk is not."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        feed.failure = LOST
        app.main.tick()
        await until(pilot, lambda: app.hub.link.word == "LOST")
        await pilot.press("j", "j", "j", "j", "j", "j", "e", "plus")
        assert not feed.sent
        await pilot.press("K", "X", "d")
        await until(pilot, lambda: len(feed.sent) == 3)

    drive(app, script)
    assert {name for name, _, _ in sent(feed)} == {"kill", "halt", "disable"}


def test_the_toast_names_what_was_hit(feed: ScriptedFeed) -> None:
    """The operator reads the target and the engine's reply, good or bad."""
    app = console(feed)
    feed.reply = Reply(ok=False, text="no such [strategy]")

    async def script(pilot: Any) -> None:
        await pilot.press("j", "K")
        await until(pilot, lambda: len(app._notifications) > 0)
        toast = next(iter(app._notifications))
        assert toast.title == "Kill eur-rsi-17"
        assert toast.message == "no such [strategy]"
        assert toast.severity == "error"

    drive(app, script)


def test_keys_work_while_the_filter_is_closed_and_type_while_it_is_open(
    feed: ScriptedFeed,
) -> None:
    """Letters go to an open filter and nowhere else; the footer names what remains selected."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("slash", *"xau KILL")
        assert not feed.sent
        assert app.main.query_one("#filter", Input).value == "xau KILL"
        await pilot.press("escape")
        assert app.main.query_one("#filter", Input).value == ""
        await pilot.press("slash", *"gbp", "enter")
        assert "gbp-ma-32" in footer(app)
        await pilot.press("K")
        await until(pilot, lambda: bool(feed.sent))

    drive(app, script)
    assert sent(feed) == [("kill", "gbp-ma-32", 0.0)]


def test_the_cursor_follows_its_strategy(feed: ScriptedFeed) -> None:
    """Rows that come and go do not move the cursor to another strategy; a gone one leaves none."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("j", "j")
        rows = feed.now().strategies
        chosen = rows[2]
        for version, changed in ((2, rows[::-1]), (3, rows[2:])):
            feed.version, feed.changes = version, {"strategies": changed}
            app.main.tick()
            await until(pilot, lambda: app.hub.shown.version == feed.version)  # type: ignore[union-attr]
            assert app.main.page.table.selected == chosen
        feed.version, feed.changes = 4, {"strategies": rows[:2]}
        app.main.tick()
        await until(pilot, lambda: app.hub.shown.version == 4)  # type: ignore[union-attr]
        assert app.main.page.table.selected is None
        await pilot.press("K")
        assert not feed.sent

    drive(app, script)


def test_an_external_position_is_nobodys_target(feed: ScriptedFeed) -> None:
    """A kill on a position that is not ours hits nothing, least of all a hidden strategy."""
    feed.changes = {"positions": positions()[-1:]}
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("3", "K")
        assert "nothing selected" in footer(app)

    drive(app, script)
    assert not feed.sent


def test_rows_keep_their_places_for_two_seconds_after_a_key(feed: ScriptedFeed) -> None:
    """A sorted table re-sorts only when the operator's hands have been off the keys."""
    app = console(feed)

    def order() -> list[str]:
        return [row.name for row in app.main.page.table._rows]

    async def script(pilot: Any) -> None:
        await pilot.press("s")
        before = order()
        rows = feed.now().strategies
        assert before[0] == max(rows, key=lambda s: s.pnl_today_ccy).name
        last = next(s for s in rows if s.name == before[-1])
        best = msgspec.structs.replace(last, pnl_today_ccy=9e6)
        feed.changes = {"strategies": tuple(best if s.id == best.id else s for s in rows)}
        for version, seconds, held in ((2, 1.9, True), (3, 0.2, False)):
            feed.version = version
            feed.clock.advance(seconds)
            app.main.tick()
            await until(pilot, lambda: app.hub.shown.version == feed.version)  # type: ignore[union-attr]
            assert (order() == before) is held
        assert order()[0] == best.name

    drive(app, script)


def test_help_lists_every_action_and_why_not(feed: ScriptedFeed) -> None:
    """Bindings, help and footer come from one table; a disabled action says why."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("question_mark")
        assert app.main.name_shown == "help"
        table = app.main.page.query_one(Table)
        texts = [table._columns[2].cell(row).text for row in table._rows]
        for action in ACTIONS:
            assert any(action.help in text for text in texts), action.name
        assert any("not now: nothing to resume: the engine is ACTIVE" in text for text in texts)
        await pilot.press("escape")
        assert app.main.name_shown == "overview"
        await pilot.press("question_mark")
        await pilot.press("K")
        assert not feed.sent

    drive(app, script)
    bound = {key for action in ACTIONS for key in action.keys}
    assert bound <= set(app.main._bindings.key_to_bindings)


def test_the_palette_offers_every_action_and_why_not(feed: ScriptedFeed) -> None:
    """`:` opens it; what it lists is the action table, with the target and the reasons."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        offered = {command.title: command.help for command in app.get_system_commands(app.screen)}
        for action in ACTIONS:
            assert any(title.startswith(action.label) for title in offered), action.name
        assert "Kill eur-ma-14" in offered
        assert offered["Resume"].startswith("not now: nothing to resume")
        await pilot.press("colon")
        assert isinstance(app.screen, CommandPalette)
        await pilot.press("K", "escape")

    drive(app, script)
    assert not feed.sent


def test_no_safety_key_ends_an_escape_sequence() -> None:
    """No command hangs on a letter that a terminal sends last in a sequence."""
    letters = {*"ABCDEFHPQRSZ~"} - {"Q"}  # Q asks before it does anything
    for action in ACTIONS:
        if action.kind in ("reduce", "add"):
            assert not letters & set(action.keys), action.name


@pytest.mark.parametrize(
    ("silence", "inline", "said"),
    [
        ("", False, "the engine keeps running"),
        ("STALE", False, "the engine has said nothing for 90s"),
        ("LOST", False, "no engine has answered for 90s"),
        ("", True, "the engine ended with this console"),
        ("LOST", True, "the engine ended with this console"),
    ],
)
@pytest.mark.parametrize("way", ["q", "signal"])
def test_leaving_says_of_the_engine_what_is_known(
    feed: ScriptedFeed, silence: str, inline: bool, said: str, way: str
) -> None:
    """q and a signal end the console and send nothing; that the engine keeps running is said of one
    that was just heard, and of no other."""
    app = console(feed)
    app.hub.inline = inline

    async def script(pilot: Any) -> None:
        if silence:
            feed.failure = LOST if silence == "LOST" else None
            feed.clock.advance(90)
            app.main.tick()
            await until(pilot, lambda: not app.hub.fetching and app.hub.link.word == silence)
        if way == "q":
            await pilot.press("q")
        else:
            app._told_to_end("SIGTERM", 143)

    drive(app, script)
    assert not feed.sent
    last = str(app.return_value)
    assert said in last
    assert ("keeps running" in last) == (said == "the engine keeps running")


@pytest.mark.parametrize(("key", "owner"), [("j", "metals"), ("k", "gbp-mixed")])
def test_the_cursor_goes_on_from_where_its_row_was(
    feed: ScriptedFeed, key: str, owner: str
) -> None:
    """A row that is gone hands no command to its neighbour; the next key starts at its place."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("3", "g", "j", "j")
        assert app.main.context().target == "yen"
        feed.changes = {"positions": tuple(p for p in positions() if p.owner != "yen")}
        feed.version = 2
        app.main.tick()
        await until(pilot, lambda: app.main.context().target == "")
        await pilot.press("K", key)
        assert app.main.context().target == owner

    drive(app, script)
    assert not feed.sent


def _said(app: ConsoleApp) -> list[str]:
    return [toast._notification.message for toast in app.screen.query(Toast)]


def test_a_burst_of_commands_leaves_few_notices(feed: ScriptedFeed) -> None:
    """However fast the keys, the screen is not hidden behind what it said; the last one stays."""
    app = console(feed)

    async def run() -> None:
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            await settle(pilot, app)
            for n in range(3 * NOTICES_MAX):
                app.main.tell(Notice(f"said {n}", "Kill", "information", 4.0))
                await until(pilot, lambda n=n: f"said {n}" in _said(app))
                assert len(_said(app)) <= NOTICES_MAX
                assert len(app.screen.query("ToastHolder")) <= NOTICES_MAX

    asyncio.run(run())


def _type(app: ConsoleApp, *keys: str) -> None:
    """Have keys arrive together, as a slow line delivers them."""
    for key in keys:
        app.post_message(Key(key, key if len(key) == 1 else None))


def test_what_is_typed_after_slash_never_acts(feed: ScriptedFeed) -> None:
    """A filter that comes in one piece is taken whole; its letters kill, halt, disable nothing."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("2")
        _type(app, "slash", *"xdXKe")
        await until(pilot, lambda: app.main.page.words == "xdXKe")
        await pilot.press("escape")
        assert app.main.page.words == ""
        assert app.main.focused is None
        await pilot.press("X")
        await until(pilot, lambda: bool(feed.sent))

    drive(app, script)
    assert sent(feed) == [("halt", "", 0.0)]


@pytest.mark.parametrize("leave", ["escape", "n"])
def test_what_is_typed_after_a_question_never_acts(feed: ScriptedFeed, leave: str) -> None:
    """Keys that come together with the one that opens a dialog are the dialog's."""
    feed.changes = HALTED
    app = console(feed)

    async def script(pilot: Any) -> None:
        _type(app, "ctrl+x", *"dKX")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        _type(app, leave)
        await until(pilot, lambda: app.screen is app.main)
        _type(app, "r", *"resume", "enter")
        await until(pilot, lambda: bool(feed.sent))

    drive(app, script)
    assert sent(feed) == [("resume", "", 0.0)]


def test_the_palette_takes_what_is_typed_after_its_key(feed: ScriptedFeed) -> None:
    """The name of an action, typed with the key of the palette, reaches its field and acts not."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        _type(app, "colon", *"hXd")
        await until(pilot, lambda: isinstance(app.screen, CommandPalette))
        await until(pilot, lambda: app.screen.query_one(Input).value == "hXd")
        await pilot.press("escape")

    drive(app, script)
    assert not feed.sent
