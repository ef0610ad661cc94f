"""The database of a one-shot command: a URL, or the embedded server of the state directory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from engine.model.errors import StoreError
from engine.runtime.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine


@contextmanager
def open_database(settings: Settings) -> "Iterator[Engine]":
    """Give a connected engine with the newest schema.

    An embedded server that the engine runs is shared; one that lies still is run for the
    command's time. None is made here.

    Raises:
        StoreError: there is no database yet, or it does not answer.
    """
    url = settings.database_url()
    if url is not None:
        with _connected(url.get_secret_value(), url.get_secret_value()) as engine:
            yield engine
        return
    data_dir = settings.state_path / "postgresql"
    if not (data_dir / "secrets.json").exists():
        raise StoreError(
            f"there is no database in {settings.state_path} yet: `pmpro db init` makes one"
        )
    from engine.store.embedded import EmbeddedServer

    with EmbeddedServer(data_dir, settings.run_path).borrow() as urls:
        owner = urls.owner.render_as_string(hide_password=False)
        operator = urls.operator.render_as_string(hide_password=False)
        with _connected(owner, operator) as engine:
            yield engine


@contextmanager
def _connected(owner: str, operator: str) -> "Iterator[Engine]":
    from engine.store.connection import connect
    from engine.store.migrate import upgrade

    upgrade(owner)
    engine = connect(operator)
    try:
        yield engine
    finally:
        engine.dispose()
