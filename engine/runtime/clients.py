"""The engine's side that clients reach: the socket, commands, details, launched backtests."""

import time
from collections.abc import Callable

from engine.child.parent import living
from engine.control.server import ControlServer
from engine.hosts.private_places import private_places
from engine.model.jobs import JobView
from engine.model.views.snapshot import ControlView, Snapshot
from engine.runtime.commands import Commands
from engine.runtime.jobs import Jobs, Launches
from engine.runtime.state_dir import StateDir
from engine.settings.access import Tokens, roles_by_uid
from engine.settings.settings import Settings
from engine.store.reader import Reader
from engine.trading.events import EventLog
from engine.views.details import CoreCopy, Details


class Front:
    """One engine's clients. `launches` goes into the commands before `start`.

    `database`: its URL, "" while it is away.
    """

    def __init__(
        self,
        settings: Settings,
        state: StateDir,
        events: EventLog,
        *,
        module: str,
        database: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._reader = Reader(database)
        self._jobs = Jobs(
            state.logs,
            module=module,
            hidden=private_places(settings),
            database=database,
            on_end=lambda level, text: events.add(level, "backtest", text),
            now_ns=time.time_ns,
        )
        self.launches = Launches(self._jobs, settings)
        self._server: ControlServer | None = None

    def start(
        self,
        commands: Commands,
        *,
        snapshot: Callable[[], Snapshot],
        picture: Callable[[], CoreCopy | None],
    ) -> None:
        """Listen.

        Raises:
            ConfigError: roles or tokens are not right.
            StateError: another engine listens.
        """
        data = self.launches.data
        details = Details(
            picture=picture,
            reader=self._reader,
            portfolios=self.launches.portfolios,
            data="" if data is None else str(data),
        )
        self._server = ControlServer(
            self._settings.socket_path,
            snapshot=snapshot,
            execute=commands.execute,
            refused=commands.refused,
            needs_person=commands.needs_person,
            answer=details.answer,
            now_ns=time.time_ns,
            roles=roles_by_uid(self._settings),
            person=_person(self._settings),
            children=living,
        )
        self._server.start()

    def control(self) -> ControlView:
        """Return who is connected and what was refused."""
        return ControlView() if self._server is None else self._server.view()

    def jobs(self) -> tuple[JobView, ...]:
        """Return the launched backtests, newest first."""
        return self._jobs.views()

    def close(self) -> None:
        """Let the clients go and end what was launched."""
        if self._server is not None:
            self._server.close()
        self._jobs.close()
        self._reader.close()


def _person(settings: Settings) -> Callable[[str], str | None] | None:
    """Return what tells whose a personal token is; None where none are asked for."""
    path = settings.control.tokens_file
    if path is None:
        return None
    tokens = Tokens(path, settings.where("control.tokens_file"))
    tokens.hashes()  # a file that others may read stops the start
    return tokens.person
