"""Migrations, run from wherever the `sql` package is installed."""

from collections.abc import Callable
from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection
from sqlalchemy.exc import SQLAlchemyError

from engine.model.errors import SchemaMismatch, StoreError
from engine.store.connection import connect, first_line, place


def upgrade(url: str | URL, revision: str = "head") -> None:
    """Bring the database to a revision; when that fails nothing is changed.

    Raises:
        SchemaMismatch: a newer version made the database, or this user may not migrate an older
            one.
        StoreError: unreachable, or the user may neither create the roles nor act as pmpro_admin.
    """
    if revision == "head" and (found := current(url)) is not None:
        if found == head():
            return  # also for a user who may not migrate
        if found not in _revisions():
            raise SchemaMismatch(
                f"the database's schema is {found}, this version of pmpro works with {head()}: "
                "run the version that made it, or a newer one"
            )
    _run(url, lambda config: command.upgrade(config, revision))


def downgrade(url: str | URL, revision: str) -> None:
    """Take the database back to a revision, `base` for empty. Drops data."""
    _run(url, lambda config: command.downgrade(config, revision))


def head() -> str:
    """Return the revision that this version works with."""
    found = ScriptDirectory.from_config(_config(None)).get_current_head()
    assert found is not None
    return found


def _revisions() -> set[str]:
    return {
        script.revision for script in ScriptDirectory.from_config(_config(None)).walk_revisions()
    }


def current(url: str | URL) -> str | None:
    """Return the database's revision, None for an empty one."""
    engine = connect(url, role=None)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def _run(url: str | URL, action: Callable[[Config], None]) -> None:
    engine = connect(url, role=None)
    try:
        with engine.begin() as connection:
            action(_config(connection))
    except SQLAlchemyError as e:
        raise SchemaMismatch(
            f"database {place(engine.url)}: migration failed: {first_line(e)};"
            " the user must own the database and be able to create roles,"
            " or an administrator runs sql/roles.sql and grants pmpro_admin"
        ) from e
    except CommandError as e:
        raise StoreError(
            f"database {place(engine.url)}: {e}: it was made by another version"
        ) from e
    finally:
        engine.dispose()


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("sql")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
