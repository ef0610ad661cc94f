"""Every option of the configuration file, with its default, limits and description.

Names carry units. A description is the comment that `config.example.toml` shows.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from engine.model.errors import ConfigError, UserError
from engine.model.times import in_range

Mode = Literal["demo", "paper", "live"]


class Section(BaseModel):
    """A table of the file: immutable, finite numbers, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TerminalOptions(Section):
    """The trading terminal behind the MetaTrader5 module's functions."""

    module: Literal["simulated", "mt5"] = Field(
        "simulated", description="simulated, or mt5 (the MetaTrader5 package, Windows)"
    )
    host: str | None = Field(
        None,
        min_length=1,
        description="HOST:PORT of `pmpro terminal serve`, where the terminal is on another box",
        examples=["10.0.0.5:8222"],
    )
    fingerprint: str | None = Field(
        None,
        pattern=r"^sha256:[0-9a-fA-F]{64}$",
        description="that box's certificate, as `pmpro terminal serve` shows it",
        examples=["sha256:" + "5e" * 32],
    )
    token: SecretStr | None = Field(
        None, description="only from the environment: PMPRO_TERMINAL__TOKEN"
    )
    token_file: Path | None = Field(
        None,
        description="file with the token of `pmpro terminal serve` alone, yours, mode 600",
        examples=["/etc/pmpro/terminal.token"],
    )
    path: Path | None = Field(
        None,
        description="terminal64.exe, where it is not found by itself",
        examples=["C:/Program Files/MetaTrader 5/terminal64.exe"],
    )
    login: int | None = Field(
        None, ge=1, description="account number; live needs it", examples=[12345678]
    )
    server: str | None = Field(
        None,
        min_length=1,
        description="trade server, as the terminal names it",
        examples=["Broker-Live"],
    )
    password: SecretStr | None = Field(
        None, description="only from the environment: PMPRO_TERMINAL__PASSWORD"
    )
    password_file: Path | None = Field(
        None,
        description="file with the password alone, yours, mode 600",
        examples=["/etc/pmpro/terminal.password"],
    )
    server_clock: str = Field(
        "new_york+7",
        description="the broker's wall clock: new_york+7, a zone such as Europe/Athens, or UTC+2",
    )
    symbol_prefix: str = Field(
        "", description='what the broker writes before symbols: "m." makes EURUSD m.EURUSD'
    )
    symbol_suffix: str = Field(
        "", description='what the broker writes after symbols: ".r" makes EURUSD EURUSD.r'
    )
    symbol_names: str = Field(
        "",
        description="symbols with other names there: XAUUSD=GOLD, US500=SPX500.r",
    )
    call_deadline_s: float = Field(
        5.0, gt=0, le=300, description="a call unanswered for so long has the terminal restarted"
    )
    order_deadline_s: float = Field(
        15.0, gt=0, le=300, description="the same for an order; its outcome is then unknown"
    )
    poll_ms: int = Field(10, ge=1, le=1000, description="pause between two looks at prices")
    bar_grace_s: float = Field(
        1.0, ge=0, le=30, description="a bar is closed so long after its end if no tick comes"
    )

    @field_validator("server_clock")
    @classmethod
    def _known_clock(cls, rule: str) -> str:
        if rule != cls.model_fields["server_clock"].default:
            from engine.model.server_clock import ServerClock  # brings NumPy

            try:
                ServerClock(rule)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return rule

    @field_validator("symbol_names")
    @classmethod
    def _pairs(cls, text: str) -> str:
        symbol_pairs(text)
        return text


def symbol_pairs(text: str) -> dict[str, str]:
    """Return `A=B, C=D` as a dictionary; ValueError when it is something else."""
    pairs = [part.split("=") for part in text.split(",") if part.strip()]
    if any(len(pair) != 2 or not all(word.strip() for word in pair) for pair in pairs):
        raise ValueError("must be pairs such as XAUUSD=GOLD, US500=SPX500.r")
    return {ours.strip(): theirs.strip() for ours, theirs in pairs}


class DemoOptions(Section):
    """The demo's prices."""

    seed: int = Field(1, ge=0, description="generated prices are a function of this number")
    speed: float = Field(
        60.0, gt=0, le=100_000, description="market seconds a second; adjustable in the console"
    )
    data: Path | None = Field(
        None,
        description="directory of bars to replay instead of generated prices",
        examples=["/srv/bars"],
    )
    start: datetime | None = Field(
        None, description="first moment that is traded", examples=["2018-03-06T08:00:00Z"]
    )
    faults: str = Field(
        "",
        description="what goes wrong at the simulated terminal: see Faults in the user guide",
        examples=["lost-reply%0.01*9, requote%0.05*99, seed=4"],
    )

    @field_validator("start")
    @classmethod
    def _in_range(cls, start: datetime | None) -> datetime | None:
        return None if start is None else in_range(start)

    @field_validator("faults")
    @classmethod
    def _known_faults(cls, text: str) -> str:
        if text:
            from engine.terminal.simulated.fault_text import read_faults  # brings NumPy

            try:
                read_faults(text)
            except UserError as error:
                raise ValueError(str(error)) from None
        return text


class StrategyHostsOptions(Section):
    """The processes that evaluate strategies."""

    count: int = Field(
        0, ge=0, le=64, description="processes that share the strategies; 0: one a core, at most 4"
    )
    deadline_s: float = Field(
        0.5, gt=0, le=60, description="a strategy without an answer by then is quarantined"
    )
    memory_max_mb: int = Field(
        1024,
        ge=0,
        le=1_000_000,
        description="what a process may take above its size at the start (Linux); 0: anything",
    )


class DatabaseOptions(Section):
    """PostgreSQL: started by the engine itself, or somewhere else by URL."""

    embedded: bool = Field(True, description="run the server that is installed with pmpro")
    url: SecretStr | None = Field(
        None, description="only from the environment: PMPRO_DATABASE__URL (postgresql://…)"
    )
    url_file: Path | None = Field(
        None,
        description="file with the URL alone, yours, mode 600; needs embedded = false",
        examples=["/etc/pmpro/database.url"],
    )


class ControlOptions(Section):
    """Who may use the engine's socket beside its own user and root, which are admin."""

    admins: str = Field("", description="logins that may do everything: alice, bob")
    operators: str = Field(
        "", description="logins that may kill, enable, flatten and the like, and launch backtests"
    )
    viewers: str = Field("", description="logins that may look")
    tokens_file: Path | None = Field(
        None,
        description="where several people share a login: hashes of their personal tokens, which "
        "an admin's commands then need; written by `pmpro token`, yours, mode 600",
        examples=["/etc/pmpro/tokens"],
    )

    @property
    def names_others(self) -> bool:
        """Whether any other login than the engine's has a role."""
        return bool(self.admins.strip() or self.operators.strip() or self.viewers.strip())


class BacktestOptions(Section):
    """Backtests that the console launches."""

    data: Path | None = Field(
        None,
        description="directory of bars to test on; default: demo.data",
        examples=["/srv/bars"],
    )


class AlertRuleOptions(Section):
    """Which events raise an alert: the first rule that fits. Without one: errors and worse, to all.

    A critical event raises an alert whatever the rules say.
    """

    name: str = Field(min_length=1, max_length=40, description="its name", examples=["orders"])
    level: Literal["debug", "info", "warning", "error", "critical"] = Field(
        "error", description="least level of its events"
    )
    source: str = Field(
        "*", description="what the event is about, as a shell pattern: terminal, risk, EUR*"
    )
    text: str = Field("*", description="the event's text, as a shell pattern")
    count: int = Field(
        1,
        ge=1,
        le=1000,
        description="so many events within within_s raise it; critical ones at once",
    )
    within_s: float = Field(60.0, gt=0, le=86_400, description="see count")
    channels: tuple[str, ...] | None = Field(
        None, description="where it goes; default: everywhere; []: console", examples=[["telegram"]]
    )
    escalate: tuple[str, ...] | None = Field(
        None,
        description="where critical ones go as well that nobody acknowledges; default: everywhere",
        examples=[["phone"]],
    )


class AlertChannelOptions(Section):
    """Quiet hours of a channel: what is not critical waits for their end."""

    name: str = Field(min_length=1, description="one of the names in urls_file", examples=["mail"])
    quiet: str = Field("", description='such as "22:00-07:00"; "" for none')
    zone: str = Field("UTC", description="time zone of the hours, such as Europe/Berlin")

    @field_validator("quiet")
    @classmethod
    def _hours(cls, hours: str) -> str:
        return _checked(hours, lambda quiet_hours: quiet_hours(hours, "UTC"))

    @field_validator("zone")
    @classmethod
    def _zone(cls, zone: str) -> str:
        return _checked(zone, lambda quiet_hours: quiet_hours("", zone))


def _checked(text: str, check: Callable[[Callable[[str, str], object]], object]) -> str:
    from engine.notify.quiet import quiet_hours

    try:
        check(quiet_hours)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return text


class AlertsOptions(Section):
    """Events that leave the box: Telegram, e-mail, whatever apprise knows."""

    urls: SecretStr | None = Field(
        None, description="only from the environment: PMPRO_ALERTS__URLS (NAME=URL …)"
    )
    urls_file: Path | None = Field(
        None,
        description="file with the channels, a line NAME = URL each, yours, mode 600; "
        "URLs as apprise has them: tgram://TOKEN/CHAT, mailtos://USER:PASSWORD@HOST?to=ADDRESS",
        examples=["/etc/pmpro/alerts.urls"],
    )
    digest_s: float = Field(
        20.0, ge=1, le=3600, description="between two messages of a channel; meanwhile it gathers"
    )
    repeat_minutes: float = Field(
        10.0, ge=1, le=1440, description="what goes on is sent again after so long, with its count"
    )
    escalate_minutes: float = Field(
        15.0, ge=1, le=1440, description="a critical one that nobody acknowledges goes again"
    )
    escalations: int = Field(4, ge=0, le=100, description="so many times")
    deadline_s: float = Field(
        20.0, ge=1, le=300, description="a channel that takes longer for a message has failed"
    )
    rule: tuple[AlertRuleOptions, ...] = Field(
        (), max_length=50, description="which events, and where to"
    )
    channel: tuple[AlertChannelOptions, ...] = Field((), max_length=16, description="quiet hours")


class ConsoleOptions(Section):
    """The full-screen console."""

    refresh_hz: float = Field(4.0, gt=0, le=20, description="looks at the engine a second")
    theme: Literal["dark", "light", "safe"] = Field(
        "dark", description="dark, light, or safe for colour-blind eyes"
    )
    zone: str = Field(
        "UTC", description="times are shown in it: UTC, local, or a name such as Europe/Berlin"
    )

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name not in ("UTC", "local"):
            try:
                ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError("no such time zone: UTC, local, or as in Europe/Berlin") from None
        return name


class LogOptions(Section):
    """What the engine writes down."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least level that is logged"
    )


class Options(Section):
    """The whole file."""

    mode: Mode = Field(
        "demo", description="demo (generated or past prices), paper (simulated fills) or live"
    )
    portfolio: Path = Field(
        Path("portfolio.toml"), description="what trades; relative to this file's directory"
    )
    strategies_dir: Path | None = Field(
        None,
        description="Python files with strategies of your own, watched while the engine runs; "
        "default: `strategies` beside this file",
        examples=["/srv/strategies"],
    )
    state_dir: Path | None = Field(
        None,
        description="journal, database and logs, one directory a mode and account inside; "
        "default: $XDG_STATE_HOME/pmpro or ~/.local/state/pmpro",
        examples=["/var/lib/pmpro"],
    )
    run_dir: Path | None = Field(
        None,
        description="control sockets; default: /run/pmpro where the engine's user owns it, else "
        "`run` inside state_dir, or /tmp/pmpro-UID where that is too deep or others have roles",
        examples=["/run/pmpro"],
    )
    terminal: TerminalOptions = TerminalOptions()
    demo: DemoOptions = DemoOptions()
    strategy_hosts: StrategyHostsOptions = StrategyHostsOptions()
    database: DatabaseOptions = DatabaseOptions()
    control: ControlOptions = ControlOptions()
    backtest: BacktestOptions = BacktestOptions()
    alerts: AlertsOptions = AlertsOptions()
    console: ConsoleOptions = ConsoleOptions()
    log: LogOptions = LogOptions()
