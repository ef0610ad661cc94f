"""Alembic environment: migrates over the connection that `engine.store.migrate` hands it.

Roles first, then everything as pmpro_admin, who so owns every table; one transaction for it all,
and a lock, so that two engines on one database do not migrate at once.
"""

from importlib.resources import files

from alembic import context
from sqlalchemy import Connection, text

from engine.store.tables import Base

_MIGRATION_LOCK = 7_304_212_026


def migrate(connection: Connection) -> None:
    """Run the migrations that the Alembic command asked for."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
    roles = (files("sql") / "roles.sql").read_text(encoding="utf-8")
    connection.exec_driver_sql(roles, execution_options={"no_parameters": True})
    connection.exec_driver_sql("SET LOCAL ROLE pmpro_admin")
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()


migrate(context.config.attributes["connection"])
