"""Bytes of the journal that change while it is open: found at the next use, never passed on."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.execution.journal import Journal, Outbox
from engine.model.errors import JournalError, StateError
from engine.model.orders import IntentState, Outcome
from tests.execution.test_journal import audit, intent
from tests.journals import intents_since

N = 25


def begin(path: Path) -> tuple[Journal, Outbox]:
    """Return a journal in use with its outbox, intents of unknown outcome in it."""
    journal = Journal(path, durable=False)
    for number in range(1, N + 1):
        journal.commit(intents=[intent(number)], records=[audit(number)])
        journal.commit(outcomes=[Outcome(intent_id=number, state=IntentState.UNKNOWN)])
    return journal, Outbox(path, on_damage=journal.found_damage)


def use(journal: Journal, outbox: Outbox) -> tuple[str, list[int]]:
    """Settle all intents; return what the journal then says."""
    for number in range(1, N + 1):
        journal.commit(outcomes=[Outcome(intent_id=number, state=IntentState.DONE, lots=0.1)])
    journal.prune(0)
    entries = outbox.entries(0, 10_000)
    assert all(e.record == audit(e.seq) for e in entries)
    return str(intents_since(journal, 0)), [e.seq for e in entries]


def change(path: Path, place: float, flip: int) -> None:
    """Change one byte of a file that is open elsewhere."""
    size = len(path.read_bytes().rstrip(b"\0"))
    with path.open("r+b") as file:
        file.seek(int(place * size))
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ flip]))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.floats(0.0, 1.0, exclude_max=True), flip=st.integers(1, 255), in_log=st.booleans())
def test_a_byte_that_changes_in_use_is_refused_or_changes_nothing(
    place: float, flip: int, in_log: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Wherever it is: the next use raises a line, or everything is as it was written."""
    sound = begin(tmp_path_factory.mktemp("sound") / "journal.sqlite")
    expected = use(*sound)
    path = tmp_path_factory.mktemp("j") / "journal.sqlite"
    used = journal, _ = begin(path)
    if not in_log:
        journal._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
    change(path.with_name(path.name + "-wal") if in_log else path, place, flip)
    journal._db.execute("PRAGMA shrink_memory")  # else its own copy is what it reads
    refused = ""
    try:
        assert use(*used) == expected
    except JournalError as e:
        refused = str(e)
    finally:
        for part in (*sound, *used):
            part.close()
    assert refused == "" or refused.startswith(str(path)) or "intent" in refused
    assert "\n" not in refused


def test_a_row_that_changed_is_never_written_over(tmp_path: Path) -> None:
    """An intent that is not as it was written takes no outcome, and no start takes the file."""
    path = tmp_path / "journal.sqlite"
    journal, outbox = begin(path)
    with sqlite3.connect(path) as other:
        other.execute("UPDATE intents SET created_ns = created_ns + 1 WHERE id = 7")
    other.close()
    with pytest.raises(JournalError, match=r"damaged in use \(intent 7 .*no entries; stop the"):
        journal.commit(outcomes=[Outcome(intent_id=7, state=IntentState.DONE)])
    assert "intent 7" in journal.damage
    with pytest.raises(JournalError, match="intent 7"):
        journal.unsettled()
    journal.commit(outcomes=[Outcome(intent_id=8, state=IntentState.DONE)])
    outbox.close()
    journal.close()
    with pytest.raises(StateError, match="damaged journal"):
        Journal(path)


def test_what_changed_is_not_forgotten_as_old(tmp_path: Path) -> None:
    """An unsettled intent whose state was changed into a settled one stays in the file."""
    path = tmp_path / "journal.sqlite"
    journal, outbox = begin(path)
    with sqlite3.connect(path) as other:
        other.execute("UPDATE intents SET state = 1 WHERE id IN (7, 8)")
        other.execute("UPDATE intents SET state = 4 WHERE id = 8")
    other.close()
    journal.prune(2**62)
    with pytest.raises(JournalError, match="intent 7"):
        journal.intent(7)
    assert journal.intent(8) is not None
    outbox.close()
    journal.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE outbox SET positions = 1 WHERE seq = 5",
        "UPDATE outbox SET record = CAST(record AS TEXT) WHERE seq = 5",
        "UPDATE outbox SET seq = 1000000 WHERE seq = 25",
    ],
)
def test_no_damaged_row_goes_to_the_database(tmp_path: Path, damage: str) -> None:
    """The writer's reading stops there, and the engine's journal knows."""
    journal, outbox = begin(tmp_path / "journal.sqlite")
    with sqlite3.connect(tmp_path / "journal.sqlite") as other:
        other.execute(damage)
    other.close()
    with pytest.raises(JournalError):
        outbox.entries(0, 1000)
    assert "damaged in use" in journal.damage
    outbox.close()
    journal.close()
