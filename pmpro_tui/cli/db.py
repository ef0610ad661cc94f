"""`pmpro db init|upgrade|status`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from engine.model.errors import StoreError
from engine.settings.settings import Settings, load_settings
from pmpro_tui.cli.app import App
from pmpro_tui.cli.output import Config, Json, Mode, print_json, print_line
from pmpro_tui.cli.tables import print_table

if TYPE_CHECKING:
    from sqlalchemy import URL

    from engine.store.status import DatabaseStatus

app = App()


@app.command()
def init(config: Config = None, mode: Mode = None, json: Json = False) -> None:
    """Create the database, embedded or at the URL, with the newest schema."""
    _upgrade(load_settings(config, mode=mode), json=json)


@app.command()
def upgrade(config: Config = None, mode: Mode = None, json: Json = False) -> None:
    """Upgrade the database's schema to this version's."""
    settings = load_settings(config, mode=mode)
    _require(settings)
    _upgrade(settings, json=json)


@app.command()
def status(config: Config = None, mode: Mode = None, json: Json = False) -> None:
    """Show the schema, sizes, and the rows that the writer has moved or rejected."""
    from engine.store.status import database_status

    settings = load_settings(config, mode=mode)
    _require(settings)
    with _owner_url(settings) as url:
        found = database_status(url)
    if json:
        print_json(found)
    else:
        print_table(f"Database {found.place}", ("figure", "value"), _facts(found))


def _upgrade(settings: Settings, *, json: bool) -> None:
    from engine.store import migrate

    with _owner_url(settings) as url:
        before = migrate.current(url)
        migrate.upgrade(url)
        after = migrate.current(url)
    if json:
        print_json({"before": before, "after": after})
    elif before == after:
        print_line(f"the schema is {after} already")
    else:
        print_line(f"the schema is {after} now, was {before or 'empty'}")


@contextmanager
def _owner_url(settings: Settings) -> "Iterator[str | URL]":
    secret = settings.database_url()
    if secret is not None:
        yield secret.get_secret_value()
        return
    from engine.store.embedded import EmbeddedServer

    server = EmbeddedServer(settings.state_path / "postgresql", settings.run_path)
    with server.borrow() as urls:
        yield urls.owner


def _require(settings: Settings) -> None:
    """Refuse to make an embedded database where one is expected."""
    if settings.database_url() is not None:
        return
    if not (settings.state_path / "postgresql" / "secrets.json").exists():
        raise StoreError(
            f"there is no database in {settings.state_path} yet: pmpro db init makes it"
        )


def _facts(found: "DatabaseStatus") -> list[tuple[str, str]]:
    facts = [
        ("server", f"PostgreSQL {found.server}"),
        ("schema", f"{found.revision or 'empty'}, this version wants {found.wanted}"),
        ("size", f"{found.size_mb:,.1f} MB"),
    ]
    facts += [(table, f"{n:,} rows, about") for table, n in found.rows.items()]
    return [*facts, ("rejected rows", str(found.n_rejected))]
