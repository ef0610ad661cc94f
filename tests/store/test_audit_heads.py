"""The audit trail's head is told once a day, and missed when it is gone."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from engine.execution.journal import Journal
from engine.model.records import AuditRow
from engine.model.times import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, iso_utc
from engine.model.views.snapshot import EventView
from engine.notify.records import AlertRule
from engine.notify.rules import Rulebook
from engine.runtime.audit_heads import SOURCE, AuditHeads
from engine.runtime.database import DatabaseKeeper
from engine.store.audit import Head, head, head_of, verify
from engine.store.embedded import Urls
from engine.store.writer import Writer
from tests.child.test_child import wait_until

DAY_NS = 20_000 * NS_PER_DAY


class Box:
    """A box with a clock, and what its engine told."""

    def __init__(self, path: Path, database: Urls) -> None:
        self.now_ns = DAY_NS + 23 * NS_PER_HOUR
        self.told: list[tuple[str, str, str]] = []
        self._path = path
        self._database = database
        self.start()

    def start(self) -> None:
        """Begin a life of the engine."""
        self.heads = AuditHeads(
            self._path, lambda *event: self.told.append(event), lambda: self.now_ns
        )

    def look(self) -> list[tuple[str, str, str]]:
        """Look a minute later; return what was told."""
        self.now_ns += NS_PER_MINUTE
        self.told.clear()
        self.heads.look(self._database.operator)
        return list(self.told)


@pytest.fixture
def box(tmp_path: Path, database: Urls) -> Box:
    return Box(tmp_path / "audit-head.json", database)


@pytest.fixture
def write(journal: Journal, move: Callable[[], Writer]) -> Callable[[int], None]:
    def write(n: int) -> None:
        row = AuditRow(time_ns=DAY_NS, event_type="TRADE", actor="a", details={}, box_ns=DAY_NS)
        journal.commit(records=[row] * n)
        move()

    return write


def test_the_head_is_told_once_a_day(
    box: Box, write: Callable[[int], None], session: Session
) -> None:
    """At the first look of each day of the box's clock, in a text that `--expect` takes, over
    restarts; between them nothing is told, and nothing of an empty trail."""
    assert box.look() == []
    assert box.heads.newest == ""
    write(3)
    ((level, source, said),) = box.look()
    first = head(session)
    assert (level, source) == ("info", SOURCE)
    assert said.endswith(f"now it is {first}")
    assert box.heads.newest == f"{first} of {iso_utc(box.now_ns)}"
    write(2)
    box.start()
    assert box.look() == []
    assert box.heads.newest.startswith(str(first))
    box.now_ns += NS_PER_HOUR
    session.rollback()
    ((level, source, said),) = box.look()
    second = head(session)
    assert (level, said) == ("info", f"audit head {second}: note it outside this box")
    assert verify(session, [head_of(said.split()[2].rstrip(":")), first]).ok
    assert box.look() == []
    assert oct((box._path).stat().st_mode & 0o777) == "0o600"


@pytest.mark.parametrize(
    "change", ["DELETE FROM audit_logs WHERE id = 3", "UPDATE audit_logs SET hash = 'x'"]
)
def test_a_head_that_is_gone_is_critical_once(
    box: Box, write: Callable[[int], None], owner: Engine, change: str
) -> None:
    """Also when it went while no engine ran; a restart says it again, a minute does not."""
    write(3)
    box.look()
    with owner.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(change))
    for _ in range(2):
        box.start()
        ((level, source, said),) = box.look()
        assert (level, source) == ("critical", SOURCE)
        assert said.startswith("audit entry 3, told on 2024-10-04T23:01:00Z, is not in the trail")
        assert box.look() == []


def test_a_database_that_is_away_is_no_finding(tmp_path: Path, server_urls: Urls) -> None:
    """Somebody else tells of that; the next look is as before."""
    box = Box(tmp_path / "head", server_urls)
    box._database = Urls(*(url.set(host="/nowhere") for url in server_urls))
    assert box.look() == []


def test_a_file_that_cannot_be_read_is_as_none(box: Box, write: Callable[[int], None]) -> None:
    """Half a file, or somebody else's, stops nothing: the head is told anew."""
    box._path.write_text("{")
    box.start()
    write(1)
    assert [level for level, _, _ in box.look()] == ["info"]


def event(level: str, source: str, said: str) -> EventView:
    return EventView(seq=1, time_ns=1, level=level, source=source, text=said)


@pytest.mark.parametrize(
    "rules", [(), (AlertRule(name="mine", level="critical"),)], ids=["no rules", "rules"]
)
def test_the_daily_head_is_an_alert_whatever_the_rules_say(rules: tuple[AlertRule, ...]) -> None:
    """It goes out through every channel unless a rule of the operator's takes it; nothing else of
    its level does."""
    book = Rulebook(rules)
    daily = event("info", SOURCE, f"audit head {Head(5, 'a' * 64)}: note it outside this box")
    found = book.match(daily)
    assert book.may_fit(daily)
    assert found is not None
    assert (found.name, found.channels) == ("audit head", None)
    assert book.rule("audit head") == found
    other = event("info", SOURCE, "the audit trail's head is told daily; now it is 5")
    assert book.match(other) is None
    assert not book.may_fit(other)
    own = AlertRule(name="quiet", level="info", source="audit", channels=())
    assert Rulebook((own, *rules)).match(daily) == own


def test_the_engine_s_database_keeper_tells_it(
    database: Urls, journal: Journal, tmp_path: Path, owner: Engine
) -> None:
    """On a server of one's own, by its owner's URL: the rows are moved as the operator, and the
    head is told."""
    told: list[str] = []
    heads = AuditHeads(tmp_path / "h", lambda level, source, said: told.append(said), lambda: 1)
    heads._now_ns = lambda: len(told) + DAY_NS
    heads._looked_ns = -(10**18)
    row = AuditRow(time_ns=DAY_NS, event_type="TRADE", actor="a", details={})
    journal.commit(records=[row])
    keeper = DatabaseKeeper(
        journal.path,
        url=database.owner.render_as_string(hide_password=False),
        data_dir=tmp_path / "unused",
        run_dir=tmp_path / "unused",
        on_damage=told.append,
        heads=heads,
    )
    keeper.start()
    try:
        assert wait_until(lambda: bool(told), 30)
        assert keeper.status == "ok"
        assert keeper._writer is not None
        with Session(keeper._writer._engine) as session:
            assert session.scalar(text("SELECT current_user")) == "pmpro_operator"
    finally:
        keeper.stop()
