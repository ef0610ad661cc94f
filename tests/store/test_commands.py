"""`pmpro db` and `pmpro audit` say what is so, to people and to machines."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import Engine
from structlog.testing import capture_logs
from typer.testing import CliRunner

from engine.execution.journal import Journal
from engine.model.errors import StoreError, UserError
from engine.model.records import AuditRow
from engine.store import migrate
from engine.store.embedded import EmbeddedServer, Urls
from engine.store.writer import Writer
from pmpro_tui.cli import audit, db

Run = Callable[..., Any]


@pytest.fixture
def run(database: Urls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command on this test's database, named by URL; return its JSON or its text."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("PMPRO_DATABASE__EMBEDDED", "false")
    url = database.owner.render_as_string(hide_password=False)
    monkeypatch.setenv("PMPRO_DATABASE__URL", url)

    def run(app: typer.Typer, *arguments: str, code: int = 0) -> Any:
        with capture_logs():  # `pmpro` keeps the log off stdout
            result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if "--json" in arguments else result.stdout

    return run


def test_db(run: Run, database: Urls) -> None:
    """Status shows the schema and what it should be; upgrade makes them equal."""
    migrate.downgrade(database.owner, "base")
    assert run(db.app, "status", "--json")["revision"] is None
    assert run(db.app, "upgrade", "--json") == {"before": None, "after": migrate.head()}
    assert "already" in run(db.app, "init")
    found = run(db.app, "status", "--json")
    head = migrate.head()
    assert (found["revision"], found["wanted"], found["n_rejected"]) == (head, head, 0)
    shown = run(db.app, "status")
    assert "PostgreSQL 18" in shown
    assert str(database.owner.password) not in shown


def test_audit(run: Run, journal: Journal, move: Callable[[], Writer], owner: Engine) -> None:
    """Tail shows entries as written; verify fails, naming the entry, when one was changed."""
    details = {"target": "eur", "note": "[bold]plain[/bold]"}
    journal.commit(
        records=[
            AuditRow(time_ns=10**18, event_type="COMMAND", actor="ann", details=details | {"n": n})
            for n in range(5)
        ]
    )
    move()
    entries = run(audit.app, "tail", "-n", "2", "--json")["entries"]
    assert [e["details"]["n"] for e in entries] == [3, 4]
    assert entries[0]["timestamp"] == "2001-09-09T01:46:40Z"
    assert "ann" in run(audit.app, "tail")
    said = run(audit.app, "verify")
    assert "5 entries, unbroken" in said
    assert "not that nobody who owns the database rewrote the trail" in " ".join(said.split())
    found = run(audit.app, "verify", "--json")
    assert (found["first_broken_id"], found["ok"], found["proved_id"]) == (None, True, 0)
    noted, last = f"4:{entries[0]['hash']}", f"5:{entries[1]['hash']}"
    assert last in said
    said = " ".join(run(audit.app, "verify", "--expect", noted).split())
    assert "Entries 1 to 4 are those of when 4 was noted. The 1 entries after it are" in said
    said = run(audit.app, "verify", "--expect", noted, "--expect", last)
    assert said.endswith("Entries 1 to 5 are those of when 5 was noted.\n")
    with pytest.raises(StoreError, match="entry 4 is another one than was noted"):
        run(audit.app, "verify", "--expect", f"4:{entries[1]['hash']}", "--expect", last)
    with pytest.raises(StoreError, match="ends with entry 5, entry 6 was noted"):
        run(audit.app, "verify", "--expect", f"6:{'a' * 64}")
    found = run(audit.app, "verify", "--expect", f"6:{'a' * 64}", "--json", code=1)
    assert [e["found"] for e in found["expected"]] == ["missing"]
    with pytest.raises(UserError, match="is no ID:HASH"):
        run(audit.app, "verify", "--expect", "6")
    with owner.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql("UPDATE audit_logs SET actor = 'bob' WHERE id = 3")
    assert run(audit.app, "verify", "--json", code=1)["first_broken_id"] == 3
    with pytest.raises(StoreError, match="audit entry 3"):
        run(audit.app, "verify")


def test_the_embedded_database(
    run: Run, monkeypatch: pytest.MonkeyPatch, make_server: Callable[[str], EmbeddedServer]
) -> None:
    """Without a URL, `init` makes the embedded one; before that the others say what to do."""
    monkeypatch.delenv("PMPRO_DATABASE__URL")
    monkeypatch.delenv("PMPRO_DATABASE__EMBEDDED")
    for command in ("status", "upgrade"):
        with pytest.raises(StoreError, match="pmpro db init makes it"):
            run(db.app, command)
    server = make_server("cli")
    monkeypatch.setattr("engine.store.embedded.EmbeddedServer", lambda *_: server)
    assert run(db.app, "init", "--json") == {"before": None, "after": migrate.head()}
    assert server.running() is False
