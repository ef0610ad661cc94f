"""A real server for the session, a fresh migrated database for each test."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from engine.execution.journal import Journal, Outbox
from engine.store import migrate
from engine.store.embedded import EmbeddedServer, Urls
from engine.store.writer import Writer
from tests.conftest import REPO

# Tests do not lose power.
FAST = {"fsync": "off", "full_page_writes": "off"}


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A short directory that the server's account can reach, without loosening any other."""
    path = Path(tempfile.mkdtemp(prefix="pmpro-", dir="/var/tmp"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def program(place: Path) -> Path:
    """The engine's packages where any user can read them."""
    program = place / "program"
    for name in ("engine", "sql"):
        shutil.copytree(REPO / name, program / name, ignore=shutil.ignore_patterns("__pycache__"))
    return program


@pytest.fixture(scope="session")
def make_server(place: Path) -> Callable[[str], EmbeddedServer]:
    """Return a maker of servers; one name is one state directory."""

    def make(name: str) -> EmbeddedServer:
        return EmbeddedServer(
            place / name, place / "run", base_dir=place / "base", start_s=60.0, settings=FAST
        )

    return make


@pytest.fixture(scope="session")
def server_urls(make_server: Callable[[str], EmbeddedServer]) -> Iterator[Urls]:
    """The session's server with a migrated database, which is the template of all others."""
    server = make_server("shared")
    urls = server.start()
    migrate.upgrade(urls.owner)
    yield urls
    assert server.stop()


_numbers = itertools.count(1)


@pytest.fixture
def database(server_urls: Urls) -> Urls:
    """A migrated database of this test's own, as owner and as operator."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    admin = create_engine(server_urls.owner.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE pmpro STRATEGY FILE_COPY")
    admin.dispose()
    return Urls(server_urls.owner.set(database=name), server_urls.operator.set(database=name))


@pytest.fixture
def operator(database: Urls) -> Iterator[Engine]:
    """The database as the engine uses it."""
    engine = create_engine(database.operator)
    yield engine
    engine.dispose()


@pytest.fixture
def owner(database: Urls) -> Iterator[Engine]:
    """The database as its owner."""
    engine = create_engine(database.owner)
    yield engine
    engine.dispose()


@pytest.fixture
def session(operator: Engine) -> Iterator[Session]:
    """A session as operator."""
    with Session(operator) as session:
        yield session


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal of this test's own."""
    journal = Journal(tmp_path / "journal.sqlite", durable=False)
    yield journal
    journal.close()


@pytest.fixture
def outbox(journal: Journal) -> Iterator[Outbox]:
    """The journal's outbox."""
    outbox = Outbox(journal.path)
    yield outbox
    outbox.close()


@pytest.fixture
def move(database: Urls, outbox: Outbox) -> Callable[[], Writer]:
    """Move all that waits, as a writer of its own, and return the stopped writer."""

    def run() -> Writer:
        writer = Writer(outbox, database.operator, poll_s=0.01)
        writer.start()
        assert writer.stop(flush_s=20.0), writer.status
        return writer

    return run
