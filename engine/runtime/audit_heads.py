"""The audit trail's head, told once a day: who notes it elsewhere can prove the trail up to it.

It goes into the events, so into the log and the alerts, and into what `pmpro status` shows. The
newest one that was told is kept beside the journal, and looked for in the trail ever after: where
it is not, the trail was rewritten or cut off, or the database is another one.
"""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from engine.model.errors import StoreError
from engine.model.times import NS_PER_DAY, NS_PER_S, iso_utc
from engine.store.audit import Head, hash_of, head
from engine.store.connection import lazy_engine

LOOK_NS = 60 * NS_PER_S
STATEMENT_S = 5
SOURCE = "audit"
_log = structlog.get_logger(__name__)


class ToldHead(msgspec.Struct, frozen=True, kw_only=True):
    """A head and when it was told, by the box's clock."""

    id: int
    hash: str
    told_ns: int


class AuditHeads:
    """Looks at the trail every minute, on the database's thread.

    Args:
        path: where the newest head that was told is kept.
        tell: an event: its level, source and text.
        now_ns: the box's clock.
    """

    def __init__(
        self,
        path: Path,
        tell: Callable[[str, str, str], object],
        now_ns: Callable[[], int],
    ) -> None:
        self._path = path
        self._tell = tell
        self._now_ns = now_ns
        self._told = _read(path)
        self._missed: Head | None = None
        self._looked_ns = -LOOK_NS
        self._newest = ""

    @property
    def newest(self) -> str:
        """The head that was told last, with its time, for people; any thread."""
        told = self._told
        return "" if told is None else f"{told.id}:{told.hash} of {iso_utc(told.told_ns)}"

    def look(self, url: str | URL) -> None:
        """Look if it is time to; a database that is away is somebody else's to tell."""
        if self._now_ns() - self._looked_ns < LOOK_NS:
            return
        self._looked_ns = self._now_ns()
        engine = lazy_engine(url)
        try:
            with Session(engine) as session:
                session.connection().exec_driver_sql(
                    f"SET LOCAL statement_timeout = '{STATEMENT_S}s'"
                )
                self._check(session)
                self._tell_daily(head(session))
        except StoreError as error:
            self._tell("critical", SOURCE, str(error))
        except SQLAlchemyError as error:
            _log.info("audit_head_not_read", error=type(error).__name__)
        finally:
            engine.dispose()

    def _check(self, session: Session) -> None:
        """Look for the head that was told last; say once that it is not there."""
        told = self._told
        if told is None or self._missed == (told.id, told.hash):
            return
        if hash_of(session, told.id) == told.hash:
            self._missed = None
            return
        self._missed = Head(told.id, told.hash)
        self._tell(
            "critical",
            SOURCE,
            f"audit entry {told.id}, told on {iso_utc(told.told_ns)}, is not in the trail any "
            "more: it was rewritten or cut off, or this is another database; "
            f"`pmpro audit verify --expect {self._missed}` says more",
        )

    def _tell_daily(self, newest: Head) -> None:
        now_ns, told = self._now_ns(), self._told
        if newest.id == 0 or (told and now_ns // NS_PER_DAY == told.told_ns // NS_PER_DAY):
            return
        self._told = ToldHead(id=newest.id, hash=newest.hash, told_ns=now_ns)
        self._missed = None
        _write(self._path, self._told)
        if told is None:
            self._tell("info", SOURCE, f"the audit trail's head is told daily; now it is {newest}")
        else:
            self._tell("info", SOURCE, f"audit head {newest}: note it outside this box")


def _read(path: Path) -> ToldHead | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=ToldHead)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        _log.warning("audit_head_not_read", path=str(path), error=str(error))
        return None


def _write(path: Path, told: ToldHead) -> None:
    """Write the file whole or not at all."""
    draft = path.with_name(f"{path.name}.new")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(told))
        draft.replace(path)
    except OSError as error:
        _log.warning("audit_head_not_written", path=str(path), error=str(error))
