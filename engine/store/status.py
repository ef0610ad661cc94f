"""What a database looks like from outside: version, schema, sizes."""

import msgspec
from sqlalchemy import URL, func, select, text

from engine.store import migrate
from engine.store.connection import connect, place
from engine.store.tables import Base, WriterRejectTable

# Estimates of the planner, partitions added up; counting 10 million rows would take seconds.
_ROWS = """
SELECT root.relname, sum(greatest(leaf.reltuples, 0))::bigint
FROM pg_class AS root
CROSS JOIN LATERAL (
    SELECT root.oid AS oid UNION SELECT inhrelid FROM pg_inherits WHERE inhparent = root.oid
) AS part
JOIN pg_class AS leaf ON leaf.oid = part.oid AND leaf.relkind = 'r'
WHERE root.relnamespace = 'public'::regnamespace AND root.relname = ANY(:tables)
GROUP BY root.relname ORDER BY root.relname
"""


class DatabaseStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`rows` are estimates; `revision` None: no schema yet."""

    place: str
    server: str
    revision: str | None
    wanted: str
    size_mb: float
    rows: dict[str, int]
    n_rejected: int


def database_status(url: str | URL) -> DatabaseStatus:
    """Return the database's status; changes nothing.

    Raises:
        StoreError: unreachable.
    """
    revision = migrate.current(url)
    engine = connect(url, role=None)  # also of a database without roles
    try:
        with engine.connect() as connection:
            tables = sorted(Base.metadata.tables)
            found = connection.execute(text(_ROWS), {"tables": tables}).all()
            return DatabaseStatus(
                place=place(engine.url),
                server=str(connection.execute(text("SHOW server_version")).scalar_one()),
                revision=revision,
                wanted=migrate.head(),
                size_mb=connection.execute(
                    text("SELECT pg_database_size(current_database())")
                ).scalar_one()
                / 1e6,
                rows={name: n for name, n in found if n},
                n_rejected=0
                if revision is None
                else connection.execute(
                    select(func.count()).select_from(WriterRejectTable)
                ).scalar_one(),
            )
    finally:
        engine.dispose()
