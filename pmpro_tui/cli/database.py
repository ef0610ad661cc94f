"""The database of a one-shot command: a URL, or the embedded server of the state directory."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from engine.model.errors import StoreError
from engine.settings.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine


_DEMO = re.compile(r"demo(-[0-9a-f]{8})?")


def state_paths(settings: Settings) -> list[Path]:
    """Return the state directories whose databases keep backtests, the settings' own first.

    A demo has one for each directory of bars that it replays (`demo.data`): what was stored while
    it replayed others is there still. The own one is left out where it has no database and another
    demo's has.
    """
    own = settings.state_path
    if settings.mode != "demo" or settings.database_url() is not None:
        return [own]
    others = sorted(
        path
        for path in settings.state_root.glob("demo*")
        if path != own and _DEMO.fullmatch(path.name) and _has_database(path)
    )
    return [own, *others] if _has_database(own) or not others else others


def _has_database(state_path: Path) -> bool:
    return (state_path / "postgresql" / "secrets.json").exists()


@contextmanager
def open_database(settings: Settings, state_path: Path | None = None) -> "Iterator[Engine]":
    """Give a connected engine with the newest schema; `state_path` for another state's database.

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
    state_path = state_path or settings.state_path
    data_dir = state_path / "postgresql"
    if not _has_database(state_path):
        raise StoreError(f"there is no database in {state_path} yet: `pmpro db init` makes one")
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
