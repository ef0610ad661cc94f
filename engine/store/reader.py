"""Reads PostgreSQL for consoles: a few questions at once, each with a deadline, nothing written.

A server that hangs costs a waiting thread, never the one who asks longer than the deadline; when
all threads wait, whoever asks next is told so at once.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from engine.model.errors import StoreError
from engine.store.connection import first_line, lazy_engine

T = TypeVar("T")

READERS_MAX = 2
DEADLINE_S = 3.0
STATEMENT_S = 2
CONNECT_S = 2


class Reader:
    """Runs questions in sessions of their own. `url`: where the database is, "" while away."""

    def __init__(self, url: Callable[[], str], *, deadline_s: float = DEADLINE_S) -> None:
        self._url = url
        self._deadline_s = deadline_s
        self._free = threading.BoundedSemaphore(READERS_MAX)
        self._lock = threading.Lock()
        self._engine: Engine | None = None

    def read(self, work: Callable[[Session], T]) -> T:
        """Return what `work` reads; any thread.

        Raises:
            StoreError: the database is away, too slow, or busy with other questions.
            PmproError: what `work` raises on purpose.
        """
        engine = self._connected()
        if not self._free.acquire(blocking=False):
            raise StoreError(f"{READERS_MAX} questions wait for it already; ask again in a moment")
        answer: Future[T] = Future()

        def run() -> None:
            try:
                answer.set_result(_read(engine, work))
            except SQLAlchemyError as error:
                answer.set_exception(StoreError(first_line(error)))
            except Exception as error:  # border: thread
                answer.set_exception(error)
            finally:
                self._free.release()

        threading.Thread(target=run, name="reader", daemon=True).start()
        try:
            return answer.result(self._deadline_s)
        except TimeoutError:
            raise StoreError(f"no answer within {self._deadline_s:g} s") from None

    def close(self) -> None:
        """Let go of the connections that are not in use."""
        if self._engine is not None:
            self._engine.dispose()

    def _connected(self) -> Engine:
        url = self._url()
        if not url:
            raise StoreError("it is not there yet")
        with self._lock:
            if self._engine is None:
                self._engine = lazy_engine(url, timeout_s=CONNECT_S)
            return self._engine


def _read(engine: Engine, work: Callable[[Session], T]) -> T:
    with Session(engine) as session:
        connection = session.connection()
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{STATEMENT_S}s'")
        return work(session)
