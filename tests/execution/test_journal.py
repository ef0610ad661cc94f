"""The journal keeps what it acknowledged, through any death, and says plainly when it cannot."""

import math
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.execution import journal_file
from engine.execution.journal import CoreState, Journal, Outbox
from engine.model.errors import JournalError, StateError
from engine.model.orders import BECOMES, Intent, IntentState, Outcome
from engine.model.records import AuditRow, BarsRow, PositionsRow, Record, SignalRow
from tests.journals import intents_since

REPO = Path(__file__).resolve().parents[2]
NOW_NS = 1_700_000_000_000_000_000


def intent(number: int) -> Intent:
    return Intent(
        id=number,
        magic=(3 << 32) + number,
        book="eur",
        slot=0,
        symbol="EURUSD",
        action="OPEN",
        direction=1,
        lots=0.1,
        price=1.1,
        stop=math.nan,
        target=math.nan,
        position=0,
        reason=0,
        created_ns=NOW_NS + number,
        batch_ns=NOW_NS,
    )


def audit(number: int) -> AuditRow:
    return AuditRow(time_ns=NOW_NS, event_type="RISK_CHECK", actor="SYSTEM", details={"n": number})


def bars() -> BarsRow:
    columns = ("open", "high", "low", "close", "volume", "spread")
    one: dict[str, Any] = {column: [1.0] for column in columns}
    return BarsRow(symbol="EURUSD", timeframe_minutes=1, source="mt5", time_ns=[NOW_NS], **one)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def steps() -> st.SearchStrategy[list[tuple[str, int]]]:
    kinds = st.sampled_from(["intent", "settle", "record", "core", "flag", "reopen"])
    return st.lists(st.tuples(kinds, st.integers(0, 4)), max_size=25)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=steps())
def test_reopening_shows_exactly_what_was_committed(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever the order of commits and restarts, the file holds them all and nothing else."""
    path = tmp_path_factory.mktemp("j") / "journal.sqlite"
    states: dict[int, IntentState] = {}
    records: list[Record] = []
    flags: dict[str, int] = {}
    core = None
    journal = Journal(path, durable=False)
    for kind, n in steps:
        if kind == "intent":
            number = journal.last_intent_id() + 1
            journal.commit(intents=[intent(number)], records=[audit(number)])
            states[number] = IntentState.CREATED
            records.append(audit(number))
        elif kind == "settle" and states:
            number = 1 + n % len(states)
            after = IntentState(1 + n % 4)
            if after not in BECOMES[states[number]]:
                continue
            states[number] = after
            journal.commit(outcomes=[Outcome(intent_id=number, state=states[number])])
        elif kind == "record":
            journal.commit(records=[audit(n)] * n)
            records += [audit(n)] * n
        elif kind == "core":
            core = CoreState((core.seq if core else 0) + 1, bytes([n]) * n, b"x" * n)
            journal.commit(core=core)
        elif kind == "flag":
            flags[f"kill:{n}"] = len(flags)
            journal.commit(flags={f"kill:{n}": flags[f"kill:{n}"]})
        else:
            journal.close()
            journal = Journal(path, durable=False)
    live = {IntentState.CREATED, IntentState.UNKNOWN}
    assert [i.id for i in journal.unsettled()] == [n for n, s in states.items() if s in live]
    assert journal.load_core() == core
    assert journal.flags() == flags
    assert journal.last_intent_id() == len(states)
    outbox = Outbox(path)
    assert [e.record for e in outbox.entries(0, 1000)] == records
    outbox.close()
    journal.close()


CHILD = """
import sys, pathlib
from engine.execution.journal import CoreState, Journal
from engine.model.orders import IntentState, Outcome
from tests.execution.test_journal import audit, intent
journal = Journal(pathlib.Path(sys.argv[1]))
number = journal.last_intent_id()
while True:
    number += 1
    journal.commit(intents=[intent(number)], records=[audit(number)])
    print("sent", number, flush=True)
    journal.commit(
        outcomes=[Outcome(intent_id=number, state=IntentState.DONE)],
        records=[audit(-number)],
        core=CoreState(number, b"core" * number),
    )
    print("done", number, flush=True)
"""


def test_kill_9_loses_nothing_acknowledged(path: Path) -> None:
    """After any kill -9, every acknowledged commit is there, whole, and at most one more."""
    n_lines = 0
    for stop_after in (1, 2, 7, 20):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)],
            cwd=REPO,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        lines = [child.stdout.readline().split() for _ in range(stop_after)]
        child.send_signal(signal.SIGKILL)
        lines += [line.split() for line in child.stdout.read().splitlines() if line[-1:].isdigit()]
        child.stdout.close()
        child.wait()
        n_lines += len(lines)
        journal = Journal(path)
        last = journal.last_intent_id()
        sent = max(int(n) for word, n in lines if word == "sent")
        done = max((int(n) for word, n in lines if word == "done"), default=0)
        assert sent <= last <= sent + 1
        core = journal.load_core()
        settled = last - len([i for i in journal.unsettled() if i.id == last])
        assert (core.seq if core else 0) in (settled, last - 1)
        assert core is None or (core.seq >= done and core.blob == b"core" * core.seq)
        # The next run goes on after an intent that stays unsettled: it is for reconciliation.
        journal.commit(
            outcomes=[
                Outcome(intent_id=i.id, state=IntentState.NOT_SENT) for i in journal.unsettled()
            ]
        )
        journal.close()
    outbox = Outbox(path)
    assert len(outbox.entries(0, 10_000)) >= n_lines
    outbox.close()


def test_the_log_neither_grows_on_an_order_nor_without_end(path: Path) -> None:
    """A commit's flush never waits for a longer file, however many there have been; nothing of
    what was moved out of the log is lost."""
    journal = Journal(path)
    log = path.with_name(path.name + "-wal")
    length = log.stat().st_size
    for seq in range(1, 61):
        journal.commit(intents=[intent(seq)], core=CoreState(seq, bytes(100_000)))
        journal.tidy()
        assert log.stat().st_size == length
    assert journal.last_intent_id() == 60
    journal.close()
    again = Journal(path)
    assert again.load_core() == CoreState(60, bytes(100_000))
    again.close()


def test_a_commit_is_whole_or_absent(path: Path) -> None:
    """A refused part takes the rest with it: no record tells of an intent that is not there."""
    journal = Journal(path, durable=False)
    journal.commit(intents=[intent(1)])
    before = journal.backlog()
    with pytest.raises(JournalError, match="nothing was written"):
        journal.commit(intents=[intent(2), intent(1)], records=[audit(1)], flags={"halt": True})
    with pytest.raises(JournalError, match="intent 9"):
        journal.commit(records=[audit(1)], outcomes=[Outcome(intent_id=9, state=IntentState.DONE)])
    with pytest.raises(JournalError, match="CREATED"):
        journal.commit(outcomes=[Outcome(intent_id=1, state=IntentState.CREATED)])
    assert journal.last_intent_id() == 1
    assert journal.backlog() == before
    assert journal.flags() == {}
    journal.close()


def test_a_full_disk_refuses_and_recovers(path: Path) -> None:
    """While nothing can be written a commit raises; afterwards the same journal goes on."""
    journal = Journal(path)
    journal.commit(intents=[intent(1)], flags={"halt": False})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    wal_bytes = path.with_name(path.name + "-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal_bytes + 4096, hard))
    try:
        with pytest.raises(JournalError):
            journal.commit(core=CoreState(1, bytes(wal_bytes)), flags={"halt": True})
        assert journal.flags() == {"halt": False}
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    journal.commit(core=CoreState(2, b"x"), flags={"halt": True})
    assert journal.flags() == {"halt": True}
    journal.close()


def test_outcomes_are_read_back(path: Path) -> None:
    """An intent is found by id and by time, with its latest outcome; NaN survives."""
    journal = Journal(path, durable=False)
    journal.commit(intents=[intent(1), intent(2)])
    journal.commit(outcomes=[Outcome(intent_id=1, state=IntentState.UNKNOWN)])
    journal.commit(outcomes=[Outcome(intent_id=1, state=IntentState.DONE, deal=77)])
    found = journal.intent(1)
    assert found is not None
    assert found[1] == Outcome(intent_id=1, state=IntentState.DONE, deal=77)
    assert math.isnan(found[0].stop)
    assert [i.id for i, _ in intents_since(journal, NOW_NS + 2)] == [2]
    assert journal.intent(3) is None
    journal.prune(NOW_NS + 100)
    assert journal.intent(1) is None
    assert journal.last_intent_id() == 2
    journal.close()


@pytest.mark.parametrize("before", list(IntentState)[1:])
@pytest.mark.parametrize("after", list(IntentState))
def test_the_journal_refuses_what_cannot_follow(
    path: Path, before: IntentState, after: IntentState
) -> None:
    """Every step of an intent's states is in the table or refused, and nothing is written then."""
    journal = Journal(path, durable=False)
    journal.commit(intents=[intent(1)])
    journal.commit(outcomes=[Outcome(intent_id=1, state=before)])
    outcome = Outcome(intent_id=1, state=after, detail="then")
    if after in BECOMES[before]:
        journal.commit(outcomes=[outcome])
    else:
        with pytest.raises(JournalError, match=f"{before.name} cannot become {after.name}"):
            journal.commit(outcomes=[outcome], flags={"x": 1})
    found = journal.intent(1)
    assert found is not None
    assert found[1] is not None
    assert (found[1].state == after) == (after in BECOMES[before] or before == after)
    assert journal.flags() == {}
    journal.close()


def test_a_damaged_core_is_refused(path: Path) -> None:
    """One changed byte of the core's state stops the start with a remedy."""
    journal = Journal(path)
    journal.commit(core=CoreState(5, b"state", b"more"))
    journal._db.execute("UPDATE core SET blob = ?", (b"stale",))
    with pytest.raises(StateError, match=r"checksum.*move the file away"):
        journal.load_core()
    journal.close()


def filled(path: Path, n_rows: int = 30) -> bytes:
    """Return the file of a closed journal that holds a bit of everything."""
    journal = Journal(path)
    journal.commit(flags={"halt": True}, core=CoreState(1, b"core"))
    for number in range(1, n_rows + 1):
        journal.commit(intents=[intent(number)], records=[audit(number)])
        journal.commit(outcomes=[Outcome(intent_id=number, state=IntentState(1 + number % 4))])
    journal.close()
    return path.read_bytes()


def contents(path: Path) -> tuple[object, ...]:
    """Return all that a journal says."""
    journal, outbox = Journal(path, durable=False), Outbox(path)
    try:
        return (
            str(intents_since(journal, 0)),  # NaN is not itself
            [i.id for i in journal.unsettled()],
            journal.flags(),
            journal.load_core(),
            journal.journal_id,
            outbox.entries(0, 10_000),
        )
    finally:
        outbox.close()
        journal.close()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.floats(0.0, 1.0, exclude_max=True), flip=st.integers(1, 255))
@example(place=0.0625, flip=128)  # the schema's own text
def test_a_changed_byte_is_refused_or_changes_nothing(
    place: float,
    flip: int,
    sound: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Wherever one byte of the file is another: the start refuses in a line, or all is there."""
    path = tmp_path_factory.mktemp("j") / "journal.sqlite"
    data, before = sound.read_bytes(), contents(sound)
    changed = bytearray(data)
    changed[int(place * len(data))] ^= flip
    path.write_bytes(changed)
    try:
        after = contents(path)
    except StateError as e:
        message = str(e)
    else:
        assert after == before
        return
    assert message.startswith(str(path))
    assert "\n" not in message


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a whole journal, made once."""
    path = tmp_path_factory.mktemp("sound") / "journal.sqlite"
    filled(path)
    contents(path)
    return path


@pytest.mark.parametrize(
    "tail", [b"", bytes(3000), b"\xff" * 3000], ids=["nothing", "zeros", "ones"]
)
def test_a_torn_last_record_loses_only_what_was_not_acknowledged(path: Path, tail: bytes) -> None:
    """Cut the log anywhere, as a power cut may: the whole commits before the cut are there."""
    journal = Journal(path)
    log = path.with_name(path.name + "-wal")
    ends = []
    for number in range(1, 11):
        journal.commit(intents=[intent(number)])
        ends.append(len(log.read_bytes().rstrip(b"\0")))
    whole, pages = log.read_bytes(), path.read_bytes()
    journal.close()
    seen = []
    for cut in range(0, ends[-1] + 600, 509):
        copy = path.with_name(f"cut{cut}.sqlite")
        copy.write_bytes(pages)
        copy.with_name(copy.name + "-wal").write_bytes(whole[:cut] + tail)
        again = Journal(copy, durable=False)
        ids = [i.id for i in again.unsettled()]
        again.close()
        assert ids == list(range(1, len(ids) + 1))
        assert len(ids) >= sum(end <= cut for end in ends)
        seen.append(len(ids))
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0, 10)


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A directory that is missing or read-only is not called damage, nor another engine."""
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o500)
    # Nobody may write to the second, not even root.
    for place in (tmp_path / "missing", Path("/proc/self"), locked):
        if place == locked and os.geteuid() == 0:
            continue
        with pytest.raises(StateError, match=r"cannot be written \(.*\): see to the disk's space"):
            Journal(place / "journal.sqlite")


def test_a_full_disk_at_the_start_is_said(path: Path) -> None:
    """The journal that is there opens or says that it cannot be written; it is not damaged."""
    filled(path)
    before = contents(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StateError, match="cannot be written"):
            Journal(path).commit(flags={"halt": False})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(path) == before


def test_a_file_that_is_mostly_empty_is_written_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an outage the next start gives the disk back; every row and number stays."""
    monkeypatch.setattr(journal_file, "COMPACT_BYTES", 2_000_000)
    filled(path)
    journal, outbox = Journal(path), Outbox(path)
    journal.commit(records=[bars()] * 15_000)
    last = journal.backlog()
    outbox.trim(last - 5)
    outbox.close()
    journal.close()
    assert path.stat().st_size > 2_000_000
    ids = [e.seq for e in entries_of(path)]

    journal = Journal(path)
    assert path.stat().st_size < 200_000
    journal.commit(records=[audit(1)])
    journal.close()
    assert [e.seq for e in entries_of(path)] == [*ids, ids[-1] + 1]


def entries_of(path: Path) -> list[Any]:
    outbox = Outbox(path)
    try:
        return outbox.entries(0, 1_000_000)
    finally:
        outbox.close()


def test_a_journal_of_format_1_goes_on(path: Path) -> None:
    """Rows without a checksum are read as they are; new ones have theirs."""
    filled(path)
    before = contents(path)
    with sqlite3.connect(path) as db:
        for table in ("meta", "intents", "outbox", "flags"):
            db.execute(f"ALTER TABLE {table} DROP COLUMN crc")
        db.execute("UPDATE meta SET value = '1' WHERE key = 'format'")
    db.close()

    assert contents(path) == before
    assert contents(path) == before


@pytest.mark.parametrize("damage", ["garbage", "middle", "foreign"])
def test_a_damaged_file_is_one_line(path: Path, damage: str) -> None:
    """A file that is no sound journal is a one-line StateError that leaves the file alone."""
    if damage == "garbage":
        path.write_bytes(b"not a database" * 1000)
    else:
        journal = Journal(path)
        journal.commit(records=[audit(n) for n in range(2000)])
        journal.close()
        data = bytearray(path.read_bytes())
        if damage == "middle":
            data[8192 : len(data) // 2] = bytes(len(data) // 2 - 8192)
        else:
            data = bytearray(data.replace(b"format2", b"format9"))
        path.write_bytes(data)
    before = path.read_bytes()
    with pytest.raises(StateError) as error:
        Journal(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == before


def test_a_second_holder_is_refused(path: Path) -> None:
    """Two engines cannot hold one journal, in one process or in two; a death frees it."""
    journal = Journal(path)
    with pytest.raises(StateError, match="in use"):
        Journal(path)
    code = f"from engine.execution.journal import *; Journal(Path({str(path)!r}))"
    other = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert "StateError" in other.stderr
    journal.close()
    Journal(path).close()


def test_outbox_moves_in_order_and_never_reuses_a_place(path: Path) -> None:
    """Trimmed places are not given again, so what PostgreSQL has moved stays behind it."""
    journal, outbox = Journal(path, durable=False), Outbox(path)
    journal.commit(records=[audit(n) for n in range(5000)])
    first = outbox.entries(0, 100)
    assert [e.seq for e in first] == list(range(1, 101))
    assert journal.backlog() == outbox.backlog() == 5000
    outbox.trim(5000)
    assert outbox.backlog() == 0
    journal.close()
    journal = Journal(path, durable=False)
    journal.commit(records=[audit(1)])
    assert [e.seq for e in outbox.entries(0, 100)] == [5001]
    assert outbox.journal_id == journal.journal_id
    outbox.close()
    journal.close()


def test_only_bars_and_old_positions_are_dropped(path: Path) -> None:
    """With PostgreSQL away for long, bars are counted out; trades, orders and audit all stay."""
    journal = Journal(path, durable=False, outbox_max_rows=10)
    for n in range(20):
        positions = PositionsRow(time_ns=n, positions=[])
        signal_row = SignalRow(
            strategy="s", time_ns=n, symbol="EURUSD", signal="BUY", confidence=1.0
        )
        journal.commit(records=[audit(n), positions, signal_row, bars()])
    outbox = Outbox(path)
    kept = [type(e.record).__name__ for e in outbox.entries(0, 1000)]
    assert kept.count("AuditRow") == kept.count("SignalRow") == 20
    assert kept.count("PositionsRow") == 1
    assert kept.count("BarsRow") + journal.n_dropped == 20
    assert journal.n_dropped > 10
    outbox.close()
    journal.close()


def test_reading_the_outbox_never_fails_a_commit(path: Path) -> None:
    """The engine commits while another thread reads and trims all the time."""
    journal, outbox = Journal(path, durable=False), Outbox(path)
    stop = threading.Event()
    moved: list[int] = []

    def drain() -> None:
        while not stop.is_set() or outbox.backlog():
            entries = outbox.entries(moved[-1] if moved else 0, 50)
            if entries:
                moved.extend(e.seq for e in entries)
                outbox.trim(entries[-1].seq)

    thread = threading.Thread(target=drain)
    thread.start()
    for n in range(1000):
        journal.commit(records=[audit(n)])
    stop.set()
    thread.join(30)
    assert moved == list(range(1, 1001))
    outbox.close()
    journal.close()
