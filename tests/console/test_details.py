"""Screens that ask: limits and rules, the past, backtests. What they show, ask and send."""

import threading
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from textual.events import Key
from textual.widgets import Input, Label

from engine.model.errors import Unanswered
from engine.model.jobs import BacktestSpec, Variant
from engine.model.times import from_datetime
from engine.model.views.details import (
    AuditOf,
    BacktestOf,
    Correlation,
    Correlations,
    Detail,
    RecordOf,
    RulesOf,
)
from engine.model.views.snapshot import Reply
from pmpro_tui.console.app import ConsoleApp
from pmpro_tui.console.draw.dialogs import Confirm, TypedWord
from pmpro_tui.console.draw.form import Form
from pmpro_tui.console.draw.heatmap import heat_lines
from pmpro_tui.console.draw.text import line_text, line_width
from pmpro_tui.console.draw.zone import Zone
from pmpro_tui.console.screens.backtest_rows import told_lines
from pmpro_tui.console.screens.log_rows import record_lines
from pmpro_tui.console.screens.risk_rows import loosens
from tests.console.scripted import (
    LOST,
    Clock,
    ScriptedFeed,
    console,
    drive,
    strategies,
    until,
)
from tests.console.scripted_details import DETAILS, JOBS


@pytest.fixture
def feed() -> ScriptedFeed:
    return ScriptedFeed(Clock())


def text(app: ConsoleApp, name: str) -> str:
    return str(app.main.page.query_one(f"#{name}").text)  # type: ignore[attr-defined]


def sent(feed: ScriptedFeed) -> list[tuple[str, str, float]]:
    return [(c.name, c.target, c.value) for c in feed.sent]


async def shows(pilot: Any, app: ConsoleApp, name: str, words: str) -> None:
    """Wait until a panel shows what was asked for."""
    await until(pilot, lambda: words in text(app, name))


# ---- risk


def test_a_raised_limit_needs_the_word_a_tightened_one_a_yes(feed: ScriptedFeed) -> None:
    """What lets more risk through starts on Cancel and wants `limit` typed; less asks once."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("4", "g", "l")
        assert isinstance(app.screen, Form)
        field = app.screen.query_one(Input)
        field.value = "0.05"
        await pilot.press("enter")
        assert isinstance(app.screen, TypedWord)
        assert app.focused is not None
        assert app.focused.id == "cancel"
        await pilot.press("enter")
        assert not feed.sent
        await pilot.press("l")
        app.screen.query_one(Input).value = "0.05"
        await pilot.press("enter", *"limit", "enter")
        await until(pilot, lambda: bool(feed.sent))
        await pilot.press("l")
        app.screen.query_one(Input).value = "0.03"
        await pilot.press("enter")
        assert isinstance(app.screen, Confirm)
        await pilot.press("y")
        await until(pilot, lambda: len(feed.sent) == 2)

    drive(app, script)
    name = "drawdown_reduce_frac"
    assert sent(feed) == [("limit", name, 0.05), ("limit", name, 0.03)]


def test_a_share_is_asked_for_with_what_it_is_of(feed: ScriptedFeed) -> None:
    """w names the book or the account and what it is now; what is no share keeps the form."""
    app = console(feed)
    names: list[str] = []

    async def script(pilot: Any) -> None:
        await pilot.press("2", "g", "w")
        assert isinstance(app.screen, Form)
        names.append(app.main.context().target)
        await pilot.press(*"20", "enter")
        await pilot.pause()
        assert "20%" in str(app.screen.query_one("#fault", Label).content)
        await pilot.press("%", "enter")
        await until(pilot, lambda: bool(feed.sent))

    drive(app, script)
    assert sent(feed) == [("allocate", names[0], 0.2)]
    assert names[0]


@pytest.mark.parametrize("typed", ["", "much", "nan", "inf"])
def test_what_is_no_limit_is_said_and_keeps_the_form(feed: ScriptedFeed, typed: str) -> None:
    """A wrong value neither leaves the form nor reaches the engine."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("4", "l")
        app.screen.query_one(Input).value = typed
        await pilot.press("enter")
        assert isinstance(app.screen, Form)
        assert str(app.screen.query_one("#fault", Label).render())
        await pilot.press("escape")
        assert app.screen is app.main

    drive(app, script)
    assert not feed.sent


def test_a_limit_is_not_set_on_an_old_picture(feed: ScriptedFeed) -> None:
    """Numbers that have stopped moving are no ground to change a limit on."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("4")
        feed.clock.advance(60)
        await pilot.press("l")
        assert app.screen is app.main
        assert [n.title for n in app._notifications] == ["Limit: not now"]

    drive(app, script)


def test_looser_is_told_by_the_limit_s_sense() -> None:
    """More of a maximum adds risk; a shorter window for the same again does too."""
    assert loosens("var_max_frac", 0.05, 0.06)
    assert not loosens("var_max_frac", 0.05, 0.04)
    assert loosens("repeated_minutes", 60.0, 30.0)
    assert not loosens("repeated_minutes", 60.0, 90.0)


def test_a_slot_opens_to_its_rules_and_esc_returns(feed: ScriptedFeed) -> None:
    """Enter shows every rule with value, limit and headroom; esc leaves where one was."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("4")
        await shows(pilot, app, "slots", "gbp-mixed/GBPUSD")
        await pilot.press("right_square_bracket", "j", "enter")
        await shows(pilot, app, "detail", "value_at_risk")
        shown = text(app, "detail")
        assert "✗ REFUSED" in shown
        assert "−0.0012" in shown
        await pilot.press("escape")
        assert app.main.page.active == "slots"
        assert app.main.page.query_one("#limits").display

    drive(app, script)
    assert RulesOf(slot="gbp-mixed/GBPUSD") in feed.asked


@pytest.mark.parametrize(("width", "height"), [(54, 18), (30, 12), (20, 8), (11, 4)])
def test_a_map_tells_sign_and_strength_without_colour(width: int, height: int) -> None:
    """However small: sign, strength and the same bet are glyphs, and no line is too wide."""
    told: Any = ScriptedFeed(Clock()).ask(Correlations())
    lines = heat_lines(told, width, height)
    shown = "\n".join(map(line_text, lines))
    assert all(line_width(one) <= width for one in lines)
    if width == 54:
        assert "+0.84!" in shown
        assert "−0.47" in shown
        assert "?" in shown
    if width == 30:
        assert "+█!" in shown
        assert "−▒" in shown


def test_many_symbols_show_those_that_are_held(feed: ScriptedFeed) -> None:
    """Of a hundred symbols those held come first, and the map says how many it leaves out."""
    n = 100
    told = Correlation(
        symbols=tuple(f"SYM{i:03}" for i in range(n)),
        matrix=tuple(tuple(1.0 if a == b else 0.1 for b in range(n)) for a in range(n)),
        n_samples=(250,) * n,
        net_frac=tuple(0.5 if i == 77 else 0.0 for i in range(n)),
        threshold=0.8,
    )
    lines = [line_text(one) for one in heat_lines(told, 60, 20)]
    assert lines[1].startswith(" SYM077●")
    assert "more symbols" in lines[-2]


# ---- asking


def test_an_engine_that_cannot_tell_says_why_and_the_old_answer_stays(feed: ScriptedFeed) -> None:
    """What was told stays on the screen with its age and the reason why nothing newer comes."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("4")
        await shows(pilot, app, "slots", "eur-trend/EURUSD")

        def fail(_: Any) -> Detail:
            raise Unanswered("the database cannot tell")

        feed.details[RulesOf] = fail
        feed.clock.advance(1.9)
        app.main.draw()
        n_asked = len(feed.asked)
        feed.clock.advance(30)
        app.main.draw()
        await until(pilot, lambda: len(feed.asked) > n_asked)
        await shows(pilot, app, "slots", "31s old: the database cannot tell")
        assert "eur-trend/EURUSD" in text(app, "slots")

    drive(app, script)


def test_a_question_that_hangs_holds_no_key(feed: ScriptedFeed) -> None:
    """While the engine is asked everything else goes on, and it is asked once."""
    app, held = console(feed), threading.Event()

    def hang(_: Any) -> Detail:
        held.wait(20)
        raise LOST

    feed.details[RulesOf] = hang

    async def script(pilot: Any) -> None:
        await pilot.press("4")
        for _ in range(20):
            app.main.draw()
        await pilot.press("X")
        await until(pilot, lambda: bool(feed.sent))
        assert sum(isinstance(q, RulesOf) for q in feed.asked) == 1
        held.set()

    drive(app, script)


def test_a_frozen_screen_asks_nothing(feed: ScriptedFeed) -> None:
    """What is held to be read does not change under the reader."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("4")
        await shows(pilot, app, "slots", "eur-trend/EURUSD")
        await pilot.press("space")
        n_asked = len(feed.asked)
        feed.clock.advance(100)
        app.main.draw()
        await pilot.pause()
        assert len(feed.asked) == n_asked

    drive(app, script)


# ---- log


def test_the_log_follows_holds_and_filters(feed: ScriptedFeed) -> None:
    """`f` holds the last row and lets go; a regular expression and a level choose rows."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("6", "f")
        assert "held" in text(app, "events")
        await pilot.press("f")
        assert "held" not in text(app, "events")
        await pilot.press("slash", *"entry|exit", "enter")
        rows = app.main.page.query_one("#events").rows  # type: ignore[attr-defined]
        assert rows
        assert all("entry" in e.text or "exit" in e.text for e in rows)
        await pilot.press("slash", "(")
        assert "no regular expression" in text(app, "events")
        await pilot.press("escape")
        for level in ("info", "warning", "error"):
            await pilot.press("L")
            assert f"{level} and above" in text(app, "events")
        rows = app.main.page.query_one("#events").rows  # type: ignore[attr-defined]
        assert {e.level for e in rows} == {"error", "critical"}

    drive(app, script)


def test_audit_pages_go_back_and_jump(feed: ScriptedFeed) -> None:
    """Up beyond the first row asks for the page before; a time asks for what begins there."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("6", "right_square_bracket")
        await shows(pilot, app, "audit", "alice")
        await pilot.press("g", "k")
        await until(pilot, lambda: AuditOf(before_id=29) in feed.asked)
        await shows(pilot, app, "audit", "further back")
        await pilot.press("t")
        app.screen.query_one(Input).value = "never"
        await pilot.press("enter")
        assert isinstance(app.screen, Form)
        app.screen.query_one(Input).value = "11:30"
        await pilot.press("enter")
        at_ns = 1_781_094_600_000_000_000 - 3600 * 10**9
        await until(pilot, lambda: AuditOf(after_ns=at_ns) in feed.asked)
        await pilot.press("L")
        await until(pilot, lambda: AuditOf(status="FAILED") in feed.asked)

    drive(app, script)


def test_a_record_opens_down_to_its_signals(feed: ScriptedFeed) -> None:
    """An order shows deals, result, size, votes with their signals, and every rule."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("6", "o")
        app.screen.query_one(Input).value = "501233100"
        await pilot.press("enter")
        await shows(pilot, app, "detail", "decided by code")
        shown = text(app, "detail")
        for words in ("closed by target", "wanted lots", "BUY since", "daily_loss", "deal 5012339"):
            assert words in shown
        await pilot.press("escape", "right_square_bracket")
        await shows(pilot, app, "audit", "alice")
        await pilot.press("k", "enter")
        await shows(pilot, app, "detail", "Audit entry 39")

    drive(app, script)
    assert RecordOf(order=501233100) in feed.asked


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("01:10", "2026-01-15T01:10:00"),
        ("01:18:12", "2026-01-15T01:18:12"),
        ("10:30", "2026-01-14T10:30:00"),
        ("2026-01-13T10:30", "2026-01-13T10:30:00"),
    ],
)
def test_a_time_of_day_is_the_last_one(typed: str, meant: str) -> None:
    """In the small hours `10:30` is yesterday's: nothing has happened yet at today's."""
    now_ns = from_datetime(datetime(2026, 1, 15, 1, 18, 12, tzinfo=UTC))
    assert Zone().at(Zone().moment_ns(typed, now_ns)).isoformat() == f"{meant}+00:00"


@pytest.mark.parametrize("width", [80, 120])
def test_no_word_of_a_record_is_cut(width: int) -> None:
    """An order's result, votes and signals are whole on a small screen too."""
    told: Any = DETAILS[RecordOf](RecordOf(order=501233100))
    lines = record_lines(told, Zone().stamp, width)
    assert max(len(one.text) for one in lines) <= width - 4
    said = " ".join(one.text for one in lines)
    assert told.order.result.split()[-1] in said
    assert all(vote.strategy in said for vote in told.order.votes)
    assert "BUY since" in " ".join(said.split())


# ---- backtests


def test_a_form_launches_exactly_what_it_says(feed: ScriptedFeed) -> None:
    """Portfolio, symbols, period and costs reach the engine; what is wrong is said first."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("5")
        await shows(pilot, app, "results", "running")
        await pilot.press("n")
        assert isinstance(app.screen, Form)
        for name, value in {
            "portfolio": "tight-stops.toml",
            "symbols": "eurusd, GBPUSD",
            "from_day": "2018-07-01",
            "to_day": "2018-01-01",
            "commission": "3.5",
        }.items():
            app.screen.query_one(f"#{name}", Input).value = value
        await pilot.press(*["enter"] * 7)
        assert "must be before" in str(app.screen.query_one("#fault", Label).render())
        app.screen.query_one("#from_day", Input).value = "2017-01-01"
        app.screen.query_one("#source", Input).focus()
        await pilot.press("enter")
        await until(pilot, lambda: bool(feed.sent))

    drive(app, script)
    spec = msgspec.json.decode(feed.sent[0].text, type=BacktestSpec)
    assert feed.sent[0].name == "backtest"
    assert spec == BacktestSpec(
        portfolio="tight-stops.toml",
        from_day="2017-01-01",
        to_day="2018-01-01",
        variant=Variant(symbols=("EURUSD", "GBPUSD"), commission_per_lot_ccy=3.5),
    )


def test_a_running_job_is_cancelled_an_ended_one_is_not(feed: ScriptedFeed) -> None:
    """`c` hits the marked job, and says why it cannot."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("5", "c")
        assert not feed.sent
        await pilot.press("right_square_bracket", "j", "c")
        await until(pilot, lambda: bool(feed.sent))
        assert sent(feed) == [("cancel", "6", 0.0)]
        assert "41s left" in text(app, "jobs")
        await pilot.press("G", "c")
        await pilot.pause()
        assert len(feed.sent) == 1

    drive(app, script)


def test_two_results_stand_side_by_side(feed: ScriptedFeed) -> None:
    """The kept result and the opened one: figures, their difference, and what they are made of."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("5")
        await shows(pilot, app, "results", "running")
        await shows(pilot, app, "curve", "108,790.25")
        await pilot.press("m", "j", "enter")
        await shows(pilot, app, "detail", "differing: portfolio, result")
        shown = text(app, "detail")
        assert "−6.10%" in shown
        assert "book yen" in shown
        await pilot.press("escape", "m", "enter")

    drive(app, script)
    assert all(BacktestOf(id=number) in feed.asked for number in (1, 2))


def test_limits_that_a_filter_hides_are_not_unknown(feed: ScriptedFeed) -> None:
    """An empty table says that nothing matches, not that nothing is known."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("4")
        await shows(pilot, app, "slots", "gbp-mixed/GBPUSD")
        await pilot.press("slash", *"zzz")
        for name in ("limits", "slots"):
            assert "nothing matches" in text(app, name)

    drive(app, script)


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
def test_a_failed_job_says_why_in_full(feed: ScriptedFeed, size: tuple[int, int]) -> None:
    """However long the reason and small the screen, enter shows all of it; esc comes back."""
    why = " ".join(f"reason{i}" for i in range(40))
    feed.changes = {"jobs": tuple(msgspec.structs.replace(j, text=why) for j in JOBS[-1:])}
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("5", "right_square_bracket")
        while app.main.page.active != "jobs":
            await pilot.press("right_square_bracket")
        await pilot.press("g", "enter")
        shown = text(app, "detail")
        assert "✗ FAILED" in shown
        assert shown.split()[-40:] == why.split()
        await pilot.press("escape")
        assert app.main.page.active == "jobs"

    drive(app, script, size=size)


def test_a_comparison_is_read_to_its_end_on_a_small_screen(feed: ScriptedFeed) -> None:
    """What is looked for first comes first, whatever order it was stored in; keys reach the end."""
    app = console(feed)
    stored = BacktestOf(id=1)

    def answer(question: BacktestOf) -> Any:
        told: Any = DETAILS[BacktestOf](question)
        later = {"zeta": 1, "swap_ccy": 2.0, "to": "2018-07-01T00:00:00Z"}
        summary = {**later, **told.summary, "from": "2018-01-01T12:30:00Z"}
        books = {f"book{i}": 1.0 for i in range(30)}
        return msgspec.structs.replace(told, summary=summary, books=books)

    feed.details[BacktestOf] = answer

    async def script(pilot: Any) -> None:
        await pilot.press("5")
        await shows(pilot, app, "results", "running")
        await pilot.press("g", "m", "j", "enter")
        await shows(pilot, app, "detail", "net profit")
        shown = text(app, "detail")
        order = ["from", "to", "net profit", "total return", "sharpe ratio", "swap", "zeta"]
        at = [shown.find(f"\n  {name} ") for name in order]
        assert at == sorted(at)
        assert " 2018-01-01 12:30  2018-01-01 12:30" in shown.replace("    ", " ")
        assert "book29" not in shown
        await pilot.press("G")
        assert "2018-06-29" in text(app, "detail")

    drive(app, script, size=(80, 24))
    assert stored in feed.asked


def test_a_fast_hand_fills_a_form(feed: ScriptedFeed) -> None:
    """Keys that come all at once go into the fields they were meant for."""
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("5", "n")
        keys = ["enter", "enter", *"2017-01-01", "tab", *"2017-02-01", "enter", *"2", "tab"]
        for key in [*keys, "shift+tab", "enter", "enter", "enter"]:
            app.post_message(Key({"-": "minus"}.get(key, key), key if len(key) == 1 else None))
        await until(pilot, lambda: bool(feed.sent))

    drive(app, script)
    spec = msgspec.json.decode(feed.sent[0].text, type=BacktestSpec)
    assert (spec.from_day, spec.to_day) == ("2017-01-01", "2017-02-01")
    assert spec.variant.commission_per_lot_ccy == 2.0


# ---- personal tokens


def test_a_shared_login_is_asked_who_it_is_once(feed: ScriptedFeed) -> None:
    """An admin's command asks for the token, unseen; others do not; a wrong one is asked anew."""
    feed.wants_token = True
    feed.changes = {"state": "HALTED", "state_reason": "halted"}
    app = console(feed)

    async def resume(pilot: Any) -> None:
        await pilot.press("r", *"resume", "enter")

    async def script(pilot: Any) -> None:
        await pilot.press("X")
        await until(pilot, lambda: len(feed.sent) == 1)
        await resume(pilot)
        assert isinstance(app.screen, Form)
        assert app.screen.query_one(Input).password
        await pilot.press(*"secret", "enter")
        await until(pilot, lambda: len(feed.sent) == 2)
        feed.reply = Reply(ok=False, text="resume needs a personal token")
        await resume(pilot)
        await until(pilot, lambda: len(feed.sent) == 3 and not feed.token)
        await resume(pilot)
        assert isinstance(app.screen, Form)
        await pilot.press("escape")
        assert app.screen is app.main

    drive(app, script)
    assert feed.tokens == ["", "secret", "secret"]


def test_who_is_asked_for_afterwards_sends_again(feed: ScriptedFeed) -> None:
    """A command that needs a person only at times is refused first, then sent with the token."""
    feed.wants_token = True
    feed.changes = {"strategies": strategies(7)[6:]}  # OFF
    feed.reply = Reply(ok=False, text="enable needs a personal token: `pmpro token` makes one")
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("2", "e")
        await until(pilot, lambda: isinstance(app.screen, Form))
        feed.reply = Reply(ok=True, text="enabled")
        await pilot.press(*"secret", "enter")
        await until(pilot, lambda: len(feed.sent) == 2)

    drive(app, script)
    assert feed.tokens == ["", "secret"]
    assert [c.name for c in feed.sent] == ["enable", "enable"]
    assert feed.sent[0].id != feed.sent[1].id


def test_a_word_and_enter_typed_at_once_confirm(feed: ScriptedFeed) -> None:
    """A fast hand's word is taken whole; enter after it is never taken by Cancel."""
    feed.changes = {"state": "HALTED", "state_reason": "halted"}
    app = console(feed)

    async def script(pilot: Any) -> None:
        await pilot.press("r")
        for key in [*"resume", "enter"]:
            app.post_message(Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: bool(feed.sent))

    drive(app, script)
    assert [c.name for c in feed.sent] == ["resume"]


def test_a_result_begins_with_what_kept_entries_out() -> None:
    """First of all and whole, on a screen of any width, and then the figures up to there."""
    told = DETAILS[BacktestOf](BacktestOf(id=1))
    stop = "no entry after 2018-07-10: drawdown tier 2"
    stopped = told.summary | {
        "no_entry": stop,
        "no_entry_after": "2018-07-10T09:31:00Z",
        "at_stop_sharpe_ratio": -1.25,
        "at_stop_annual_return_frac": -0.31,
    }
    for width in (40, 78, 198):
        lines = told_lines([msgspec.structs.replace(told, summary=stopped)], str, width, 40)
        texts = [line_text(one) for one in lines]
        words = " ".join(text.strip() for text in texts[:2])
        assert words.startswith(f"⚠ {stop}")
        assert any(t.startswith("at stop sharpe ratio") and "−1.25" in t for t in texts)
        assert any(t.startswith("at stop annual return ") and "−31.00%" in t for t in texts)
    plain = [line_text(one) for one in told_lines([told], str, 78, 40)]
    assert not any("at stop" in text or "no entry" in text for text in plain)
