"""Connections to PostgreSQL by URL. Errors are one line and never show the password.

Whoever the URL logs in as, everything but migrations is done as pmpro_operator, who can neither
change nor delete an audit entry.
"""

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from engine.model.errors import StoreError

CONNECT_TIMEOUT_S = 5
OPERATOR = "pmpro_operator"
_UNDEFINED_ROLE = ("permission denied to set role", "does not exist")


def connect(
    url: str | URL, *, timeout_s: int = CONNECT_TIMEOUT_S, role: str | None = OPERATOR
) -> Engine:
    """Return an engine whose first connection has succeeded; `role` None: as the URL's own login.

    Raises:
        StoreError: not a PostgreSQL URL, the server is unreachable or refuses, or the database's
            encoding cannot hold every text.
    """
    engine = lazy_engine(url, timeout_s=timeout_s, role=role)
    try:
        with engine.connect() as connection:
            encoding = str(connection.exec_driver_sql("SHOW server_encoding").scalar())
    except SQLAlchemyError as e:
        engine.dispose()
        raise StoreError(
            f"database {place(engine.url)}: {first_line(e)}; {_remedy(e, role)}"
        ) from e
    if complaint := encoding_complaint(encoding):
        engine.dispose()
        raise StoreError(f"database {place(engine.url)}: {complaint}")
    return engine


def encoding_complaint(encoding: str) -> str:
    """Return why a database's encoding will not do, "" where it does."""
    if encoding == "UTF8":
        return ""
    return (
        f"its encoding is {encoding}, which does not hold every text: "
        "make it with ENCODING 'UTF8' TEMPLATE template0"
    )


def _remedy(error: SQLAlchemyError, role: str | None) -> str:
    text = first_line(error)
    if role is not None and role in text and any(words in text for words in _UNDEFINED_ROLE):
        return (
            f"pmpro works as {role}: run `pmpro db upgrade` as the database's owner, or as an "
            f"administrator GRANT {role} TO the URL's login"
        )
    return "check the server and the database URL"


def lazy_engine(
    url: str | URL, *, timeout_s: int = CONNECT_TIMEOUT_S, role: str | None = OPERATOR
) -> Engine:
    """Return an engine that has not connected yet; a dead peer is noticed in bounded time."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as e:
        raise StoreError(
            "the database URL cannot be read: write postgresql://user:password@host:port/name"
        ) from e
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise StoreError(
            f"the database URL names {parsed.get_backend_name()}: only postgresql:// is supported"
        )
    return create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_size=2,
        max_overflow=3,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": timeout_s,
            "application_name": "pmpro",
            # Without it a SQL_ASCII server gives bytes, and PGCLIENTENCODING anything.
            "client_encoding": "utf8",
            "options": "-c timezone=UTC" + (f" -c role={role}" if role else ""),
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
        },
    )


def place(url: URL) -> str:
    """Return host, port and database for people."""
    host = url.query.get("host", url.host) or "the local socket"
    return f"{url.database or ''} at {host}{f':{url.port}' if url.port else ''}".strip()


def first_line(error: SQLAlchemyError) -> str:
    """Return what went wrong in one line, without statement or parameters."""
    reason = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    return reason.splitlines()[0]
