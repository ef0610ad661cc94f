"""Operating commands against a control server: what reaches the engine, what is asked first."""

import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.control.messages import Actor
from engine.files.lock_file import hold_lock
from engine.model.errors import Failure
from engine.model.times import NS_PER_S
from engine.model.views.snapshot import (
    AlertView,
    Command,
    PositionFate,
    PositionView,
    Reply,
    Snapshot,
    StrategyView,
)
from engine.settings.settings import load_settings
from engine.store.embedded import EmbeddedServer
from tests.cli.conftest import REPO, Pmpro
from tests.control.control_engine import ScriptedEngine, make_snapshot
from tests.store.servers import data_of, end_child, postmasters, start_child
from tests.whole.operated import remove_database

POSITION = PositionView(
    ticket=7,
    owner="eur",
    symbol="EURUSD",
    direction="BUY",
    lots=0.3,
    entry_price=1.1,
    price=1.2,
    stop=float("nan"),
    target=float("nan"),
    profit_ccy=-12.5,
    opened_ns=0,
    digits=5,
)


class AnsweringEngine(ScriptedEngine):
    """Answers every command with `reply`."""

    @property  # type: ignore[override]
    def now_ns(self) -> int:
        """The box's clock: however long a command takes to start, it never comes early."""
        return time.time_ns()

    @now_ns.setter
    def now_ns(self, _: int) -> None:
        """A scripted engine sets one."""

    def __init__(self, path: Path) -> None:
        self.age_s = 0.0
        super().__init__(path)
        self.reply = Reply(ok=True, text="done")
        self.asked = threading.Event()

    @property  # type: ignore[override]
    def current(self) -> Snapshot:
        """The picture, `age_s` old at any time."""
        taken_ns = time.time_ns() - int(self.age_s * NS_PER_S)
        return msgspec.structs.replace(self._current, taken_ns=taken_ns)

    @current.setter
    def current(self, snapshot: Snapshot) -> None:
        self._current = snapshot

    def _execute(self, command: Command, actor: Actor) -> Reply:
        self.executed.append((command, actor))
        self.asked.set()
        return self.reply


@pytest.fixture
def engine(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AnsweringEngine]:
    """A scripted engine with one position where this home's commands look for one."""
    run_dir = Path(tempfile.mkdtemp(prefix="pm", dir="/var/tmp"))
    monkeypatch.setenv("PMPRO_RUN_DIR", str(run_dir))
    engine = AnsweringEngine(load_settings().socket_path)
    engine.current = make_snapshot(positions=(POSITION,))
    engine.server.start()
    yield engine
    engine.server.close()
    shutil.rmtree(run_dir)


def strategy_view(name: str, book: str, detail: str = "") -> StrategyView:
    """Return a row of the strategy table."""
    return StrategyView(
        id=1,
        name=name,
        kind="ma_cross",
        symbol="EURUSD",
        timeframe="M1",
        book=book,
        state="ON",
        signal="LONG",
        confidence=1.0,
        weight_frac=0.1,
        pnl_today_ccy=0.0,
        trades_today=0,
        score=0.0,
        detail=detail,
    )


def sent(engine: ScriptedEngine) -> list[tuple[str, str]]:
    return [(command.name, command.target) for command, _ in engine.executed]


def test_status_is_one_json_document_or_a_table(engine: ScriptedEngine, pmpro: Pmpro) -> None:
    """Machines get the whole snapshot, people the figures; no stop is null, not NaN."""
    document = json.loads(pmpro("status", "--json").stdout)
    assert document["account"] == 1001
    assert document["positions"][0]["stop"] is None

    pmpro("kill", "eur", "--as", "viewer")
    engine.current = make_snapshot(positions=(POSITION,), control=engine.server.view())
    text = pmpro("status").stdout
    for part in (
        "refused: 1 role",
        "demo 1001 Sim",
        "ACTIVE",
        "100,000.00 USD",
        "EURUSD",
        "1.20000",
        "-12.50",
    ):
        assert part in text


@pytest.mark.parametrize(("age_s", "word"), [(0.0, "FRESH"), (75.0, "STALE")])
def test_status_says_how_old_its_picture_is(
    age_s: float, word: str, engine: AnsweringEngine, pmpro: Pmpro
) -> None:
    """A silent engine is STALE as in the console, and nothing it once was is called so now."""
    engine.age_s = age_s
    done = pmpro("status", "--json")
    document = json.loads(done.stdout)
    assert document["word"] == word
    assert age_s <= document["age_s"] < age_s + 30.0
    shown = pmpro("status")
    silent = word != "FRESH"
    assert done.returncode == shown.returncode == int(silent)
    assert ("was ACTIVE" in shown.stdout) == silent
    assert ("was connected" in shown.stdout) == silent
    assert (f"{word}: the engine has said nothing for 7" in shown.stdout) == silent
    assert ("the engine is STALE: it has said nothing for 7" in shown.stderr) == silent
    assert len(shown.stderr.splitlines()) == int(silent)


@pytest.mark.parametrize("words", [["limit"], ["strategy", "list"], ["alert", "list"]])
def test_what_is_shown_of_a_silent_engine_is_said_to_be_old(
    words: list[str], engine: AnsweringEngine, pmpro: Pmpro
) -> None:
    """Every command that shows a picture says on stderr where it is an old one."""
    assert pmpro(*words).stderr == ""
    engine.age_s = 75.0
    done = pmpro(*words)
    assert done.returncode == 0
    assert "the engine is STALE: it has said nothing for 7" in done.stderr


def test_status_of_no_engine_is_lost(home: Path, pmpro: Pmpro) -> None:
    """Machines get the word as well; the code is 1."""
    done = pmpro("status", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert (document["word"], document["age_s"]) == ("LOST", None)
    assert "no engine is running" in document["error"]


def test_a_list_on_a_pipe_is_found_by_its_names(engine: ScriptedEngine, pmpro: Pmpro) -> None:
    """`pmpro strategy list | grep NAME` finds a record in one line, with its reason."""
    name = "a-very-long-strategy-name-that-says-what-it-does-eurusd"
    reason = "refused: GROSS_EXPOSURE 31.2 of 30 [risk]; " * 4
    seen = strategy_view(name, name, reason)
    alert = AlertView(id=1, time_ns=0, level="critical", source=name, text=reason)
    engine.current = make_snapshot(2, strategies=(seen,), alerts=(alert,))
    (listed,) = [li for li in pmpro("strategy", "list").stdout.splitlines() if name in li]
    assert listed.count(name) == 2
    assert listed.endswith(reason.strip())
    (raised,) = [li for li in pmpro("alert", "list").stdout.splitlines() if name in li]
    assert reason.strip() in raised


@pytest.mark.parametrize("name", ["kill", "enable", "disable"])
def test_a_target_reaches_the_engine(name: str, engine: ScriptedEngine, pmpro: Pmpro) -> None:
    """Risk-reducing commands ask nothing and hit what was named."""
    done = pmpro(name, "eur-ma", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"ok": True, "text": "done"})
    assert sent(engine) == [(name, "eur-ma")]


def test_a_kill_tells_machines_what_becomes_of_each_position(
    engine: AnsweringEngine, pmpro: Pmpro
) -> None:
    """`--close` reaches the engine; the answer is the text, and the positions as records."""
    fate = PositionFate(
        ticket=7, owner="eur", symbol="EURUSD", direction="SELL", lots=0.22, becomes="closes"
    )
    engine.reply = Reply(ok=True, text="killed a; eur closes SELL 0.22 EURUSD", positions=(fate,))
    assert pmpro("kill", "a").stdout == "killed a; eur closes SELL 0.22 EURUSD\n"
    document = json.loads(pmpro("kill", "a", "--close", "--json").stdout)
    assert document["positions"] == [
        {
            "ticket": 7,
            "owner": "eur",
            "symbol": "EURUSD",
            "direction": "SELL",
            "lots": 0.22,
            "becomes": "closes",
            "why": "",
        }
    ]
    assert [(c.name, c.text) for c, _ in engine.executed] == [("kill", ""), ("kill", "close")]


def test_removing_a_book_asks(engine: AnsweringEngine, pmpro: Pmpro) -> None:
    """A book goes with its members, which are named; a strategy alone is asked about in live."""
    views = [strategy_view(name, book) for name, book in (("a", "eur"), ("b", "eur"), ("c", "c"))]
    engine.current = make_snapshot(2, strategies=tuple(views))
    refused = pmpro("strategy", "remove", "eur")
    assert refused.returncode == 2
    assert "Remove book eur and its members a, b from demo account 1001 at Sim?" in refused.stderr
    assert "`pmpro strategy add` brings it back" in refused.stderr
    assert sent(engine) == []
    assert pmpro("strategy", "remove", "eur", "--yes").returncode == 0
    assert pmpro("strategy", "remove", "c").returncode == 0
    assert sent(engine) == [("remove", "eur"), ("remove", "c")]


def test_a_flatten_counts_what_it_closes(engine: AnsweringEngine, pmpro: Pmpro) -> None:
    """What others hold is not in the question's count: it stays."""
    other = msgspec.structs.replace(POSITION, ticket=8, owner="EXTERNAL", lots=5.0)
    engine.current = make_snapshot(2, positions=(POSITION, other))
    said = pmpro("flatten").stderr
    assert "Close 1 positions, 0.3 lots, on demo account 1001 at Sim? 1 EXTERNAL stay." in said


@pytest.mark.parametrize(("share", "value"), [("0.2", 0.2), ("20%", 0.2), ("100 %", 1.0)])
def test_a_share_is_a_fraction_or_a_percentage(
    share: str, value: float, engine: ScriptedEngine, pmpro: Pmpro
) -> None:
    """Both ways of writing it reach the engine as the same number."""
    assert pmpro("strategy", "allocate", "eur-ma", share).stdout == "done\n"
    assert [(c.name, c.target, c.value) for c, _ in engine.executed] == [
        ("allocate", "eur-ma", value)
    ]


@pytest.mark.parametrize("share", ["20", "-0.1", "nan", "0.2%%", "much", "101%"])
def test_what_is_no_share_is_said_and_not_sent(
    share: str, engine: ScriptedEngine, pmpro: Pmpro
) -> None:
    """A bare 20 is not taken for 20 %: nobody loses an account to a unit."""
    done = pmpro("strategy", "allocate", "eur-ma", share)
    assert done.returncode == 2
    assert "is no share: write 0.2 or 20%" in done.stderr
    assert sent(engine) == []


def test_limits_are_listed_with_what_they_are_compared_with(
    engine: ScriptedEngine, pmpro: Pmpro
) -> None:
    """Every limit, its value in force, the file's where it differs, and what is measured now."""
    risk = engine.current.risk
    limits = {"daily_loss_max_frac": 0.03, "order_max_lots": 50.0}
    of_file = {"daily_loss_max_frac": 0.05, "order_max_lots": 50.0}
    seen = msgspec.structs.replace(
        risk, limits=limits, limits_of_file=of_file, daily_loss_frac=0.0125
    )
    engine.current = make_snapshot(2, risk=seen)
    document = json.loads(pmpro("limit", "--json").stdout)
    assert document["limits"] == [
        {"name": "daily_loss_max_frac", "limit": 0.03, "of_file": 0.05, "now": 0.0125},
        {"name": "order_max_lots", "limit": 50.0, "of_file": 50.0, "now": None},
    ]
    wrong = pmpro("limit", "daily_los_max_frac")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "did you mean 'daily_loss_max_frac'?" in wrong.stderr
    text = pmpro("limit", "daily_loss_max_frac").stdout
    for part in ("0.03", "0.05", "0.0125"):
        assert part in text
    assert "Loss of a server day" in text
    assert pmpro("limit", "daily_loss").returncode == 2
    assert "did you mean" in pmpro("limit", "daily_los_max_frac", "-1").stderr
    assert sent(engine) == []


def test_a_limit_is_set_only_when_confirmed(engine: ScriptedEngine, pmpro: Pmpro) -> None:
    """It may add risk: the account is named, and a script needs --yes."""
    done = pmpro("limit", "order_max_lots", "2")
    assert done.returncode == 2
    assert "demo account 1001 at Sim" in done.stderr
    assert sent(engine) == []
    assert pmpro("limit", "order_max_lots", "2.5", "--yes").returncode == 0
    assert sent(engine) == [("limit", "order_max_lots")]
    assert engine.executed[0][0].value == 2.5


def test_close_names_what_it_closes_and_knows_the_tickets(
    engine: ScriptedEngine, pmpro: Pmpro
) -> None:
    """A ticket that is not open is a usage error; without a terminal it needs --yes."""
    assert pmpro("close", "8", "--yes").returncode == 2
    done = pmpro("close", "7")
    assert done.returncode == 2
    assert "Close 1 position(s), 0.3 lots, on demo account 1001 at Sim" in done.stderr
    assert sent(engine) == []
    assert pmpro("close", "7", "--yes").returncode == 0
    assert sent(engine) == [("close", "7")]


def test_halt_asks_nothing(engine: ScriptedEngine, pmpro: Pmpro) -> None:
    """Stopping entries is never slowed down."""
    assert pmpro("halt").stdout == "done\n"
    assert sent(engine) == [("halt", "")]


@pytest.mark.parametrize(("failure", "code"), [("failed", 1), ("wrong", 2), ("refused", 3)])
def test_how_a_command_failed_is_its_exit_code(
    failure: Failure, code: int, engine: AnsweringEngine, pmpro: Pmpro
) -> None:
    """A script tells "no" from "wrong" and from "failed", whichever command it was."""
    engine.reply = Reply(ok=False, text="why [not]", failure=failure)
    for words in (("kill", "x"), ("limit", "order_max_lots", "1", "--yes"), ("halt",)):
        done = pmpro(*words, "--json")
        assert (done.returncode, done.stdout, done.stderr) == (code, "", "pmpro: why [not]\n")


def test_a_role_that_may_not_is_exit_code_3(engine: AnsweringEngine, pmpro: Pmpro) -> None:
    """The engine's own refusal of a role, and of a role that there is not: 3 and 2."""
    assert pmpro("halt", "--as", "viewer").returncode == 3
    done = pmpro("halt", "--as", "viewr")
    assert (done.returncode, "did you mean 'viewer'?" in done.stderr) == (2, True)
    assert sent(engine) == []


@pytest.mark.parametrize("name", ["resume", "flatten", "stop"])
def test_without_a_terminal_a_question_needs_yes(
    name: str, engine: ScriptedEngine, pmpro: Pmpro
) -> None:
    """A script that forgot --yes does nothing, and is told what it would have done."""
    done = pmpro(name)
    assert done.returncode == 2
    assert "demo account 1001 at Sim" in done.stderr
    assert "--yes" in done.stderr
    assert sent(engine) == []


@pytest.mark.parametrize("name", ["resume", "flatten"])
def test_yes_answers_the_question(name: str, engine: ScriptedEngine, pmpro: Pmpro) -> None:
    """With --yes the command goes out, marked with the snapshot it was decided on."""
    assert pmpro(name, "--yes").returncode == 0
    assert sent(engine) == [(name, "")]
    assert engine.executed[0][0].seen_version == engine.current.version


def test_a_rebase_states_both_marks_and_asks_for_its_own_word(
    engine: ScriptedEngine, pmpro: Pmpro
) -> None:
    """What is lowered, to what, on which account; with --yes it goes out as an admin's resume."""
    risk, currency = engine.current.risk, engine.current.currency
    done = pmpro("resume", "--rebase")
    assert done.returncode == 2
    for part in (
        f"{risk.equity_ccy:,.2f} {currency}",
        f"longer from {risk.high_water_ccy:,.2f}",
        "demo account 1001 at Sim",
    ):
        assert part in done.stderr
    assert sent(engine) == []
    assert pmpro("resume", "--rebase", "--yes").returncode == 0
    assert sent(engine) == [("resume", "rebase")]


@pytest.mark.parametrize(("typed", "code"), [("yes", 0), ("", 2), ("y", 2)])
def test_flatten_states_count_volume_and_account_and_takes_only_a_yes(
    typed: str, code: int, engine: ScriptedEngine
) -> None:
    """One confirmation, and nothing but the whole word counts as one."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pmpro_tui.cli.main", "flatten"],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(REPO)},
        )
        os.write(ours, f"{typed}\n".encode())
        out, _ = process.communicate(timeout=30)
    finally:
        os.close(ours)
        os.close(theirs)
    assert "Close 1 positions, 0.3 lots, on demo account 1001 at Sim?" in out
    assert process.returncode == code
    assert sent(engine) == ([("flatten", "")] if code == 0 else [])


def test_an_engine_of_another_mode_is_not_commanded(engine: ScriptedEngine, pmpro: Pmpro) -> None:
    """A command meant for the demo never hits an account that trades."""
    engine.current = make_snapshot(mode="live")
    done = pmpro("kill", "x")
    assert done.returncode == 2
    assert sent(engine) == []


def test_stop_waits_until_the_engine_is_gone(engine: AnsweringEngine, pmpro: Pmpro) -> None:
    """When the command returns, another engine may start."""

    state = load_settings().state_path
    lock = hold_lock(state / "engine.lock", wait_s=0.0)

    def end() -> None:
        assert engine.asked.wait(30)
        engine.server.close()
        time.sleep(0.5)  # the database is still being written
        (state / "flushed").touch()
        os.close(lock)

    ending = threading.Thread(target=end)
    ending.start()
    done = pmpro("stop", "--yes")
    assert done.returncode == 0
    assert not engine.path.exists()
    assert (state / "flushed").exists()
    assert sent(engine) == [("stop", "")]
    ending.join()


def test_a_stop_ends_the_database_of_a_dead_engine(
    home: Path, pmpro: Pmpro, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After kill -9 of the engine its PostgreSQL runs; `stop` finds no engine and ends it."""
    run_dir = Path(tempfile.mkdtemp(prefix="pm", dir="/var/tmp"))
    monkeypatch.setenv("PMPRO_RUN_DIR", str(run_dir))
    settings = load_settings()
    server = EmbeddedServer(settings.state_path / "postgresql", settings.run_path)
    try:
        engine = start_child(server)
        assert pmpro("stop").returncode == 1  # one that does not answer is not robbed of it
        assert len(postmasters(data_of(server))) == 1
        engine.kill()
        end_child(engine)
        done = pmpro("stop", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        assert "no engine is running" in json.loads(done.stdout)["text"]
        assert postmasters(data_of(server)) == []
        assert pmpro("stop").returncode == 1
    finally:
        remove_database(settings)
        shutil.rmtree(run_dir)
