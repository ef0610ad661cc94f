"""Settings of one process: command line over environment over file over default.

The file is TOML; `PMPRO_SECTION__KEY` in the environment overrides its `key` in `[section]`.
Every mistake is a ConfigError of one line that names where it stands and what is allowed.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

from pydantic import SecretStr, ValidationError

from engine.control.paths import fits, socket_path
from engine.files.places import (
    absolute,
    base_directory,
    expanded,
    own_uid,
    private_temporary,
    working_directory,
)
from engine.files.trust import fault_of, trusted
from engine.model.errors import ConfigError
from engine.settings.errors import explain
from engine.settings.options import Options
from engine.settings.secrets import read_secret
from engine.settings.sources import (
    Layer,
    absolute_paths,
    merge,
    nested,
    place_of,
    read_environment,
    read_file,
)

# What a file for paper or live says of the account, or of whom to wake: not a demo's.
_REAL = frozenset({"terminal", "database", "alerts", "portfolio"})


class Settings(Options):
    """What the operator asked for, with every default filled in."""

    _file: Path | None = None
    # Where the process stood; None if that directory was deleted.
    _here: Path | None = None
    # How others could change the file, "" if nobody could.
    _fault: str = ""

    @property
    def file(self) -> Path | None:
        """The configuration file that was read."""
        return self._file

    @property
    def fault(self) -> str:
        """How others could change the configuration file, "" if nobody could."""
        return self._fault

    @property
    def state_root(self) -> Path:
        """Directory of all modes' state directories."""
        if self.state_dir is not None:
            return self.state_dir
        return base_directory("XDG_STATE_HOME", ".local/state") / "pmpro"

    @property
    def state_path(self) -> Path:
        """This mode's and account's own directory: journal, database, lock, logs.

        A demo on recorded bars has one for each directory of bars: its account lives in their time.
        """
        if self.mode == "demo" and self.demo.data is not None:
            data = os.fsencode(absolute(self.demo.data))
            return self.state_root / f"demo-{hashlib.sha256(data).hexdigest()[:8]}"
        login = self.terminal.login
        return self.state_root / (self.mode if login is None else f"{self.mode}-{login}")

    @property
    def owner_uid(self) -> int:
        """Whose engine these settings mean: the owner of its state, else this process's user."""
        try:
            return self.state_path.stat().st_uid
        except PermissionError:  # it is in a directory of the engine's user alone
            return self.state_root.stat().st_uid
        except OSError:
            return own_uid()

    @property
    def owners(self) -> frozenset[int]:
        """Whose processes a client takes for this engine, beside root's and its own user's.

        The configuration's owner decides what is read anyhow. The state's owner counts where
        nobody else could have made that directory first, or where others are given roles.
        """
        found: set[int] = set()
        if self._fault:  # whoever has written it does not say whom to trust
            return frozenset()
        with suppress(OSError):
            if self._file is not None:
                found.add(self._file.stat().st_uid)
        with suppress(OSError):
            if self.control.names_others or not self.state_root.parent.stat().st_mode & 0o002:
                found.add(self.state_path.stat().st_uid)
        return frozenset(found)

    @property
    def run_path(self) -> Path:
        """Directory of the control sockets; the same for the engine and all its clients.

        Never $XDG_RUNTIME_DIR: it is removed with the user's last session, and the engine stays.
        """
        if self.run_dir is not None:
            return self.run_dir
        owner = self.owner_uid
        shared = Path("/run/pmpro")
        with suppress(OSError):
            if shared.stat().st_uid == owner:
                return shared
        own = self.state_root / "run"
        # A deep state directory leaves too little of a socket path's 107 bytes, and others may not
        # pass a directory that is the engine's alone.
        if fits(own) and not self.control.names_others:
            return own
        return private_temporary(owner)

    @property
    def socket_path(self) -> Path:
        """Control socket of this state directory's engine; the same for every process."""
        return socket_path(self.run_path, self.state_path)

    @property
    def portfolio_path(self) -> Path:
        """The portfolio file; in the demo the packaged one if none is there."""
        if "portfolio" in self.model_fields_set:
            return self.portfolio
        if self.mode == "demo":
            return demo_portfolio()
        base = self._file.parent if self._file is not None else self._here
        return (working_directory() if base is None else base) / self.portfolio

    @property
    def strategies_path(self) -> Path:
        """The directory of the operator's own strategies; it need not be there."""
        if self.strategies_dir is not None:
            return self.strategies_dir
        file = self._file if self._file is not None else _usual_file()
        return (self.state_root if file is None else file.parent) / "strategies"

    def terminal_password(self) -> SecretStr | None:
        """Return the account's password from the environment or its file."""
        path = self.terminal.password_file
        if path is None:
            return self.terminal.password
        return read_secret(path, self.where("terminal.password_file"))

    def terminal_token(self) -> SecretStr | None:
        """Return the token of `pmpro terminal serve` from the environment or its file."""
        path = self.terminal.token_file
        if path is None:
            return self.terminal.token
        return read_secret(path, self.where("terminal.token_file"))

    def database_url(self) -> SecretStr | None:
        """Return the database's URL from the environment or its file; None: the embedded one."""
        path = self.database.url_file
        if path is None:
            return self.database.url
        return read_secret(path, self.where("database.url_file"))

    def alert_urls(self) -> Mapping[str, SecretStr]:
        """Return the URL of each channel of alerts, from the environment or its file."""
        from engine.notify.channels import read_channels

        path, where = self.alerts.urls_file, self.where("alerts.urls_file")
        if path is None and self.alerts.urls is None:
            return {}
        if path is None:
            assert self.alerts.urls is not None
            return read_channels(self.alerts.urls, self.where("alerts.urls"))
        return read_channels(read_secret(path, where), f"{where}, {path}")

    def where(self, key: str) -> str:
        """Return how errors name an option: its variable or its file and key."""
        return place_of({}, self._file)(key)


def demo_portfolio() -> Path:
    """Return the packaged portfolio of the demo."""
    return Path(str(files("engine.portfolio") / "demo.toml"))


def default_file() -> Path:
    """Return where the configuration is looked for when none is named."""
    if named := os.environ.get("PMPRO_CONFIG"):
        return absolute(expanded(Path(named)))
    return base_directory("XDG_CONFIG_HOME", ".config") / "pmpro" / "config.toml"


def load_settings(
    path: Path | None = None,
    *,
    mode: str | None = None,
    overrides: Mapping[str, object] = MappingProxyType({}),
    lenient: bool = False,
) -> Settings:
    """Return checked settings.

    Args:
        path: configuration file; None takes `default_file()` if it exists.
        mode: demo, paper or live, over the file's and the environment's.
        overrides: from the command line, `"section.key"` to value; None is "not given".
        lenient: take a file that others could change, and say so in `fault`.

    Raises:
        ConfigError: one line naming file, variable or option, key and what is allowed.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    if mode is not None:
        given["mode"] = mode
    named = path is not None
    path = _present_file() if path is None else absolute(path)
    layers = [] if path is None else [absolute_paths(read_file(path), lambda: path.parent)]
    if mode == "demo" and not named:
        layers = [_without_account(layer) for layer in layers]
    for layer in (read_environment(), nested(given)):
        layers.append(absolute_paths(layer, working_directory))
    place = place_of(given, path)
    try:
        settings = Settings.model_validate(merge(layers))
    except ValidationError as error:
        raise explain(error, Options, place) from None
    _refuse_odd_names(settings, path, place)
    settings._file = path
    settings._fault = "" if path is None else _fault_of(path)
    if settings._fault and not lenient:
        raise ConfigError(f"configuration {settings._fault}")
    with suppress(ConfigError):
        settings._here = working_directory()
    _refuse_contradictions(settings, place)
    return settings


def _refuse_odd_names(settings: Settings, file: Path | None, place: Callable[[str], str]) -> None:
    """Refuse paths that are no UTF-8 text: they could not stand in a message, a log or a row."""
    paths = {
        "state_dir": settings.state_root,
        "run_dir": settings.run_dir,
        "portfolio": settings.portfolio,
        "strategies_dir": settings.strategies_dir,
        "demo.data": settings.demo.data,
        "backtest.data": settings.backtest.data,
    }
    named = [(place(key), path) for key, path in paths.items()] + [("configuration", file)]
    for where, path in named:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise ConfigError(
                f"{where}: {os.fsencode(str(path))!r} is not UTF-8 text: choose another name"
            ) from None


def _fault_of(file: Path) -> str:
    """Return how anybody but its owner could change a configuration; an engine asks for more."""
    with suppress(OSError):
        return fault_of(file, trusted().also({file.stat().st_uid})) or ""
    return ""


def _usual_file() -> Path | None:
    """Return where the configuration is when none is named; None for who has no home."""
    try:
        return default_file()
    except ConfigError:
        if os.environ.get("PMPRO_CONFIG"):
            raise
        return None


def _present_file() -> Path | None:
    # A file that was named and is missing is the reader's error; the usual one may be absent.
    path = _usual_file()
    return path if path is None or path.exists() or os.environ.get("PMPRO_CONFIG") else None


def _without_account(layer: Layer) -> Layer:
    """Return what a file for paper or live also means for a demo on the same box."""
    if layer.get("mode", "demo") == "demo":
        return layer
    return {k: v for k, v in layer.items() if k not in _REAL}


def _refuse_contradictions(settings: Settings, place: Callable[[str], str]) -> None:
    terminal, database = settings.terminal, settings.database
    if settings.mode == "live" and terminal.module != "mt5":
        raise ConfigError(f'{place("mode")} is live, which needs terminal.module = "mt5"')
    if settings.mode == "live" and terminal.login is None:
        raise ConfigError(f"{place('mode')} is live, which needs terminal.login")
    if settings.mode == "demo" and terminal.module != "simulated":
        raise ConfigError(
            f'{place("terminal.module")} is mt5, but the demo is simulated: set mode = "paper"'
        )
    if terminal.password is not None and terminal.password_file is not None:
        raise ConfigError(
            f"{place('terminal.password')} and {place('terminal.password_file')} exclude each other"
        )
    if terminal.token is not None and terminal.token_file is not None:
        raise ConfigError(
            f"{place('terminal.token')} and {place('terminal.token_file')} exclude each other"
        )
    if settings.alerts.urls is not None and settings.alerts.urls_file is not None:
        raise ConfigError(
            f"{place('alerts.urls')} and {place('alerts.urls_file')} exclude each other"
        )
    if terminal.host is not None:
        _refuse_incomplete_host(settings, place)
    if database.url is not None and database.url_file is not None:
        raise ConfigError(
            f"{place('database.url')} and {place('database.url_file')} exclude each other"
        )
    has_url = database.url is not None or database.url_file is not None
    if database.embedded and has_url:
        named = "database.url" if database.url is not None else "database.url_file"
        raise ConfigError(
            f"{place(named)} contradicts database.embedded = true: set embedded = false, or no URL"
        )
    if not database.embedded and not has_url:
        raise ConfigError(
            f"{place('database.embedded')} is false, which needs a URL: "
            "set PMPRO_DATABASE__URL or database.url_file"
        )


def _refuse_incomplete_host(settings: Settings, place: Callable[[str], str]) -> None:
    terminal = settings.terminal
    if terminal.module != "mt5":
        raise ConfigError(f'{place("terminal.host")} is set, which needs terminal.module = "mt5"')
    if terminal.fingerprint is None:
        raise ConfigError(
            f"{place('terminal.host')} needs terminal.fingerprint: `pmpro terminal serve` shows it"
        )
    if terminal.token is None and terminal.token_file is None:
        raise ConfigError(
            f"{place('terminal.host')} needs a token: "
            "set PMPRO_TERMINAL__TOKEN or terminal.token_file"
        )
