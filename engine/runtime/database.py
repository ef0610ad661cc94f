"""PostgreSQL beside the engine: started, migrated and fed on a thread of its own.

Trading needs no database: while it is away, rows wait in the journal and the console says so.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog
from sqlalchemy import URL

from engine.execution.journal import Outbox
from engine.model.backoff import Backoff
from engine.model.errors import PmproError, SchemaMismatch
from engine.runtime.audit_heads import AuditHeads
from engine.store.connection import connect
from engine.store.embedded import EmbeddedServer
from engine.store.migrate import upgrade
from engine.store.writer import Writer

log = structlog.get_logger(__name__)

# Seconds between two looks while all is well.
LOOK_S = 2.0
RETRY_FIRST_S = 4.0
RETRY_MOST_S = 60.0
FLUSH_S = 10.0


class DatabaseKeeper:
    """Keeps the writer running: on the embedded server, or on a URL.

    `on_damage` hears, on the writer's thread, why the journal cannot be read. `heads` looks at the
    audit trail now and then. `on_mismatch` hears why the schema will not do, "" once it does, and
    `on_reject` what the database refused. `clock`: monotonic, nanoseconds.
    """

    def __init__(
        self,
        journal_path: Path,
        *,
        url: str | None,
        data_dir: Path,
        run_dir: Path,
        on_damage: Callable[[str], object],
        heads: AuditHeads | None = None,
        on_mismatch: Callable[[str], object] = lambda reason: None,
        on_reject: Callable[[str, str], object] = lambda level, text: None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._on_reject = on_reject
        self._on_mismatch = on_mismatch
        self._heads = heads
        self._outbox = partial(Outbox, journal_path, on_damage=on_damage)
        self._url = url
        self._stopping = threading.Event()
        self._server = None if url else EmbeddedServer(data_dir, run_dir, stopping=self._stopping)
        self._writer: Writer | None = None
        self._status = "starting"
        self._ready_url = ""
        self._backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S, clock)
        self._thread = threading.Thread(target=self._run, name="database", daemon=True)

    @property
    def status(self) -> str:
        """`ok`, `starting`, or why it is away."""
        writer = self._writer
        return self._status if writer is None else writer.status.status

    @property
    def url(self) -> str:
        """Where the database is, with its password; "" until it is ready."""
        return self._ready_url

    def start(self) -> None:
        """Start in the background."""
        self._thread.start()

    def rest(self) -> None:
        """Leave the processor to the engine until `wake`: a batch is due."""
        if self._writer is not None:
            self._writer.rest()

    def wake(self) -> None:
        """Move what a batch has left."""
        if self._writer is not None:
            self._writer.wake()

    def stop(self) -> None:
        """Flush what the journal holds, then stop the server."""
        self._stopping.set()
        self._thread.join(timeout=FLUSH_S)
        if self._writer is not None:
            self._writer.stop(FLUSH_S)
        if self._server is not None:
            self._server.stop()

    def abandon(self) -> None:
        """Tell the embedded server to end; waits for nothing."""
        if self._server is not None:
            self._server.abandon()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._writer is None:
                    self._writer = self._begin()
                    self._on_mismatch("")
                elif self._server is not None and not self._server.running():
                    log.warning("database_died", reason=self._server.reason())
                    self._server.start()  # the URLs stay, the writer connects again by itself
                elif self._heads is not None:
                    self._heads.look(self._ready_url)
                self._backoff.succeeded()
                wait_s = LOOK_S
            except PmproError as e:
                if isinstance(e, SchemaMismatch):
                    self._on_mismatch(str(e))
                self._status = f"away: {e}"
                log.error("database_away", error=str(e))
                wait_s = self._backoff.failed()
            except Exception as e:  # border: thread
                self._status = f"away: {type(e).__name__}: {e}"
                log.exception("database_failed")
                wait_s = self._backoff.failed()
            self._stopping.wait(wait_s)

    def _begin(self) -> Writer:
        if self._server is not None:
            urls = self._server.start()
            upgrade(urls.owner)
            url: URL | str = urls.operator
        else:
            assert self._url is not None
            upgrade(self._url)
            connect(self._url).dispose()  # whoever it is, he must be able to act as the operator
            url = self._url
        writer = Writer(self._outbox(), url, on_reject=self._on_reject)
        writer.start()
        self._ready_url = url.render_as_string(hide_password=False) if isinstance(url, URL) else url
        return writer
