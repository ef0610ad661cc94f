"""How screens look: each size live, other states pairwise.

After a wanted change: `pytest tests/console/test_looks.py --snapshot-update`, then look at them.
"""

from collections.abc import Callable
from typing import Any

import pytest

from pmpro_tui.console.actions import ACTIONS, BY_NAME, SCREENS
from pmpro_tui.console.app import ConsoleApp
from pmpro_tui.console.messages import StartStep
from tests.console.scripted import (
    ALARM,
    LOST,
    Clock,
    ScriptedFeed,
    console,
    drive,
    risk,
    settle,
    strategies,
    until,
)

SMALL, USUAL, LARGE = (80, 24), (120, 40), (200, 50)
SIZES = pytest.mark.parametrize("size", [SMALL, USUAL, LARGE], ids=["small", "usual", "large"])

Look = Callable[..., None]


@pytest.fixture
def feed() -> ScriptedFeed:
    return ScriptedFeed(Clock())


@pytest.fixture
def look(snap_compare: Any, feed: ScriptedFeed) -> Look:
    """Compare a screen, in a state that `change` brings about, with its stored picture."""

    def compare(
        size: tuple[int, int], change: Any = None, *, keys: str = "", **options: Any
    ) -> None:
        app = console(feed, **options)

        async def prepare(pilot: Any) -> None:
            await settle(pilot, app)
            if change is not None:
                change()
                app.main.tick()
                await until(pilot, lambda: not app.hub.fetching)
            for key in keys.split():
                await pilot.press(key)
                while app.hub.inquiries.under_way:  # an answer may bring another question
                    await pilot.pause(0.005)
            await pilot.pause()

        assert snap_compare(app, terminal_size=size, run_before=prepare)

    return compare


@SIZES
@pytest.mark.parametrize("name", SCREENS)
def test_live(look: Look, name: str, size: tuple[int, int]) -> None:
    """Each screen of an ordinary day."""
    look(size, keys=BY_NAME[name].keys[0])


# Each other state once at one size; sizes, screens and themes take turns.


def test_stale_small(look: Look, feed: ScriptedFeed) -> None:
    """The engine is quiet: a word, an age, and no colours."""
    look(SMALL, lambda: feed.clock.advance(73))


def test_lost_usual(look: Look, feed: ScriptedFeed) -> None:
    """The socket fails, while a critical alert waits."""
    feed.changes = dict(ALARM)

    def change() -> None:
        feed.clock.advance(5)
        feed.failure = LOST

    look(USUAL, change)


def test_frozen_large(look: Look) -> None:
    """The operator holds the picture."""
    look(LARGE, keys="2 space j j")


def test_monochrome_halted_small(
    look: Look, feed: ScriptedFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without colour every state is still told by a word or a glyph."""
    monkeypatch.setenv("NO_COLOR", "1")
    feed.changes = {"state": "HALTED", "state_reason": "halted by root", "risk": risk(0.0912)}
    look(SMALL)


def test_monochrome_alerts_usual(
    look: Look, feed: ScriptedFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without colour an alert that nobody has seen still cannot be missed."""
    monkeypatch.setenv("NO_COLOR", "1")
    feed.changes = dict(ALARM)
    look(USUAL, keys="7")


def test_light_alerts_small(look: Look, feed: ScriptedFeed) -> None:
    """The light theme, with alerts of each level."""
    feed.changes, feed.theme = dict(ALARM), "light"
    look(SMALL, keys="7")


def test_light_overview_large(look: Look, feed: ScriptedFeed) -> None:
    """The light theme where most is shown."""
    feed.theme = "light"
    look(LARGE)


def test_safe_positions_usual(look: Look, feed: ScriptedFeed) -> None:
    """The theme for colour-blind eyes, with picked positions."""
    feed.theme = "safe"
    look(USUAL, keys="3 v j v")


def test_real_money_usual(look: Look, feed: ScriptedFeed) -> None:
    """A live account has its own colour and word; reducing, with the database away."""
    feed.changes = {
        "mode": "live",
        "server": "Broker-Live",
        "state": "REDUCING",
        "state_reason": "drawdown tier 2: no new entries",
        "risk": risk(0.0871),
        "database": "away",
        "journal_backlog": 1288,
        "speed": 1.0,
    }
    look(USUAL, readonly=True)


def test_correlation_small(look: Look) -> None:
    """The map of correlations alone."""
    look(SMALL, keys="4 ] ]")


def test_record_usual(look: Look) -> None:
    """An order from its result to its signals."""
    look(USUAL, keys="6 ] ] k enter")


def test_backtests_usual(look: Look) -> None:
    """What runs, what is stored, the marked result's curve."""
    look(USUAL, keys="5 j m")


def test_launch_small(look: Look) -> None:
    """The form of a backtest."""
    look(SMALL, keys="5 n")


def test_compared_monochrome_small(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two results side by side, without colour."""
    monkeypatch.setenv("NO_COLOR", "1")
    look(SMALL, keys="5 m j enter")


def test_another_zone_small(look: Look, feed: ScriptedFeed) -> None:
    """Times in a zone of choice, with its name."""
    feed.zone = "Asia/Tokyo"
    look(SMALL, keys="6 k k")


def test_equity_small(look: Look) -> None:
    """The second panel of a small overview."""
    look(SMALL, keys="right_square_bracket")


def test_a_strategy_small(look: Look) -> None:
    """A strategy's facts on a small screen."""
    look(SMALL, keys="2 j enter")


def test_a_strategy_usual(look: Look) -> None:
    """A strategy beside its book."""
    look(USUAL, keys="2 j enter")


def test_a_strategy_large(look: Look) -> None:
    """A strategy with room for all that is known of it."""
    look(LARGE, keys="2 j enter")


def test_nothing_yet_usual(look: Look, feed: ScriptedFeed) -> None:
    """Empty states say what to do."""
    feed.changes = {
        "strategies": (),
        "positions": (),
        "events": (),
        "equity_points": (),
        "symbols": (),
    }
    look(USUAL)


def test_many_strategies_filtered_usual(look: Look, feed: ScriptedFeed) -> None:
    """A filter, an order and more rows than fit."""
    feed.changes = {"strategies": strategies(200)}
    look(USUAL, keys="2 s slash e u r enter pagedown")


def test_flatten_usual(look: Look) -> None:
    """One confirmation with account, count and volume."""
    look(USUAL, keys="ctrl+x")


def test_close_small(look: Look) -> None:
    """One confirmation with each position that is closed."""
    look(SMALL, keys="3 v j v x")


def test_stop_small(look: Look) -> None:
    """Stopping with open positions asks for a word."""
    look(SMALL, keys="Q s t")


def test_starting_usual(snap_compare: Any) -> None:
    """The engine is being started: its steps."""
    clock = Clock()

    def opener(report: Callable[[str], None]) -> Any:
        import threading

        threading.Event().wait(20)

    app = ConsoleApp(opener, poll_s=3600, now_ns=clock, monotonic_ns=clock)

    async def prepare(pilot: Any) -> None:
        for text in ("none is running; starting one", "loading kernels", "connecting the terminal"):
            app.main.post_message(StartStep(text))
        await pilot.pause()

    assert snap_compare(app, terminal_size=USUAL, run_before=prepare)


@SIZES
def test_every_size_names_all_there_is(feed: ScriptedFeed, size: tuple[int, int]) -> None:
    """No size loses a fact: mode, account, state, link, ages, speed, clock, and each column."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        texts = [app.main.query_one("#status").text]  # type: ignore[attr-defined]
        for key in "1234567":
            await pilot.press(key)
            for _ in range(5):
                texts += [line.text for line in app.main.page.query(".panel") if line.display]  # type: ignore[attr-defined]
                await pilot.press("tab")
        await pilot.press("2", "enter")  # what the reason of a quarantine leaves no room for
        texts += [line.text for line in app.main.page.query(".panel") if line.display]  # type: ignore[attr-defined]
        text = "\n".join(texts)
        for fact in ("DEMO", "10012345", "ACTIVE", "FRESH", "4ms", "60×", "12:33:05"):
            assert fact in text, fact
        for header in ("Name", "Kind", "Symbol", "State", "Signal", "Weight", "P&L today", "Trd"):
            assert header in text, header
        for panel in ("Score", "Stop", "Target", "Drawdown", "Gross exposure", "Margin", "103,"):
            assert panel in text, panel

    drive(app, script, size)


def test_footer_offers_what_reduces_risk_at_every_size(feed: ScriptedFeed) -> None:
    """The smallest footer still names the target and the keys that reduce risk."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        text = app.main.query_one("#footer").text  # type: ignore[attr-defined]
        assert "▸ eur-ma-14" in text
        for action in ACTIONS:
            if action.kind == "reduce" and not action.screens:
                assert action.label in text

    drive(app, script, SMALL)
