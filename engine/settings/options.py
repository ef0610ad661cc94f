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
    """The trading terminal."""

    module: Literal["simulated", "mt5"] = Field(
        "simulated",
        description="The terminal: simulated, or mt5 (the MetaTrader5 package, Windows only).",
    )
    host: str | None = Field(
        None,
        min_length=1,
        description="HOST:PORT of `pmpro terminal serve`, if the terminal is on another machine.",
        examples=["10.0.0.5:8222"],
    )
    fingerprint: str | None = Field(
        None,
        pattern=r"^sha256:[0-9a-fA-F]{64}$",
        description="Fingerprint of that machine's certificate, as `pmpro terminal serve` shows "
        "it.",
        examples=["sha256:" + "5e" * 32],
    )
    token: SecretStr | None = Field(
        None, description="set it only in the environment: PMPRO_TERMINAL__TOKEN"
    )
    token_file: Path | None = Field(
        None,
        description="File that holds only the token of `pmpro terminal serve`; you own it, mode "
        "600.",
        examples=["/etc/pmpro/terminal.token"],
    )
    path: Path | None = Field(
        None,
        description="Path of terminal64.exe, if the MetaTrader5 package does not find it.",
        examples=["C:/Program Files/MetaTrader 5/terminal64.exe"],
    )
    login: int | None = Field(
        None, ge=1, description="Account number; required in live mode.", examples=[12345678]
    )
    server: str | None = Field(
        None,
        min_length=1,
        description="Name of the trade server, as the terminal shows it.",
        examples=["Broker-Live"],
    )
    password: SecretStr | None = Field(
        None, description="set it only in the environment: PMPRO_TERMINAL__PASSWORD"
    )
    password_file: Path | None = Field(
        None,
        description="File that holds only the password; you own it, mode 600.",
        examples=["/etc/pmpro/terminal.password"],
    )
    server_clock: str = Field(
        "new_york+7",
        description="The broker's wall clock: new_york+7, a time zone such as Europe/Athens, or "
        "UTC+2.",
    )
    symbol_prefix: str = Field(
        "",
        description='Text that the broker writes before every symbol: with "m.", EURUSD is '
        "m.EURUSD.",
    )
    symbol_suffix: str = Field(
        "",
        description='Text that the broker writes after every symbol: with ".r", EURUSD is '
        "EURUSD.r.",
    )
    symbol_names: str = Field(
        "",
        description="Symbols that the broker names differently: XAUUSD=GOLD, US500=SPX500.r.",
    )
    call_deadline_s: float = Field(
        5.0,
        gt=0,
        le=300,
        description="Seconds without an answer after which the terminal host is killed and "
        "restarted.",
    )
    order_deadline_s: float = Field(
        15.0,
        gt=0,
        le=300,
        description="Seconds without an answer to an order after which the terminal host is "
        "killed and "
        "restarted; the order's outcome is then unknown.",
    )
    poll_ms: int = Field(
        10, ge=1, le=1000, description="Milliseconds between two reads of the prices."
    )
    bar_grace_s: float = Field(
        1.0,
        ge=0,
        le=30,
        description="Seconds after a bar's end at which the bar is closed if no later tick has "
        "come.",
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
    """The prices of the demo."""

    seed: int = Field(
        1, ge=0, description="Seed of the generated prices; equal seeds give equal prices."
    )
    speed: float = Field(
        60.0,
        gt=0,
        le=100_000,
        description="Market seconds per real second; the console can change the speed.",
    )
    data: Path | None = Field(
        None,
        description="Directory of bars to replay instead of generated prices.",
        examples=["/srv/bars"],
    )
    start: datetime | None = Field(
        None, description="Time at which trading begins.", examples=["2018-03-06T08:00:00Z"]
    )
    faults: str = Field(
        "",
        description="Faults of the simulated terminal; see Faults in the user guide.",
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
        0,
        ge=0,
        le=64,
        description="Number of processes that share the strategies; 0 takes one per core, at most "
        "4.",
    )
    deadline_s: float = Field(
        0.5,
        gt=0,
        le=60,
        description="Seconds that a process has for a batch; its slowest strategy is then "
        "quarantined.",
    )
    memory_max_mb: int = Field(
        1024,
        ge=0,
        le=1_000_000,
        description="Megabytes that a process may use above its size at start (Linux); 0 sets no "
        "limit.",
    )


class DatabaseOptions(Section):
    """The PostgreSQL server: the embedded one, or your own by its URL."""

    embedded: bool = Field(
        True,
        description="true: the engine runs the PostgreSQL server that is installed with pmpro.",
    )
    url: SecretStr | None = Field(
        None, description="set it only in the environment: PMPRO_DATABASE__URL (postgresql://…)"
    )
    url_file: Path | None = Field(
        None,
        description="File that holds only the URL; you own it, mode 600. Requires embedded = "
        "false.",
        examples=["/etc/pmpro/database.url"],
    )


class ControlOptions(Section):
    """Roles of other logins. The engine's own user and root are always admin."""

    admins: str = Field("", description="Logins with all rights, such as: alice, bob.")
    operators: str = Field(
        "",
        description="Logins that may kill, enable, disable, halt and flatten, and launch "
        "backtests.",
    )
    viewers: str = Field("", description="Logins that may look but change nothing.")
    tokens_file: Path | None = Field(
        None,
        description="File with the hashes of personal tokens, for several people who share a "
        "login. "
        "Admin commands then require a token. `pmpro token` writes the file; you own it, mode 600.",
        examples=["/etc/pmpro/tokens"],
    )

    @property
    def names_others(self) -> bool:
        """Whether any other login than the engine's has a role."""
        return bool(self.admins.strip() or self.operators.strip() or self.viewers.strip())


class BacktestOptions(Section):
    """Backtests that are launched in the console."""

    data: Path | None = Field(
        None,
        description="Directory of bars for these backtests. Default: demo.data.",
        examples=["/srv/bars"],
    )


class AlertRuleOptions(Section):
    """Which events raise an alert. The first matching rule decides; without rules, errors do.

    A critical event raises an alert whatever the rules say.
    """

    name: str = Field(
        min_length=1, max_length=40, description="Name of the rule.", examples=["orders"]
    )
    level: Literal["debug", "info", "warning", "error", "critical"] = Field(
        "error", description="Lowest level of the events that match."
    )
    source: str = Field(
        "*", description="Shell pattern for the event's source: terminal, risk, EUR*."
    )
    text: str = Field("*", description="Shell pattern for the event's text.")
    count: int = Field(
        1,
        ge=1,
        le=1000,
        description="Number of events within within_s that raise the alert; one critical event is "
        "enough.",
    )
    within_s: float = Field(
        60.0, gt=0, le=86_400, description="Seconds in which events are counted."
    )
    channels: tuple[str, ...] | None = Field(
        None,
        description="Channels that receive the alert. Default: all. []: the console only.",
        examples=[["telegram"]],
    )
    escalate: tuple[str, ...] | None = Field(
        None,
        description="Further channels for critical alerts that nobody has acknowledged. Default: "
        "all.",
        examples=[["phone"]],
    )


class AlertChannelOptions(Section):
    """Quiet hours of a channel. Alerts that are not critical wait until they end."""

    name: str = Field(
        min_length=1, description="Name of the channel, as in urls_file.", examples=["mail"]
    )
    quiet: str = Field("", description='Quiet hours, such as "22:00-07:00"; "" means none.')
    zone: str = Field("UTC", description="Time zone of the quiet hours, such as Europe/Berlin.")

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
    """Alerts that are sent by Telegram, e-mail or any other service that apprise supports."""

    urls: SecretStr | None = Field(
        None, description="set it only in the environment: PMPRO_ALERTS__URLS (NAME=URL …)"
    )
    urls_file: Path | None = Field(
        None,
        description="File with one channel per line, NAME = URL; you own it, mode 600. The URLs "
        "are those "
        "of apprise: tgram://TOKEN/CHAT, mailtos://USER:PASSWORD@HOST?to=ADDRESS.",
        examples=["/etc/pmpro/alerts.urls"],
    )
    digest_s: float = Field(
        20.0,
        ge=1,
        le=3600,
        description="Seconds between two messages of a channel; alerts in between share one "
        "message.",
    )
    repeat_minutes: float = Field(
        10.0,
        ge=1,
        le=1440,
        description="Minutes after which an alert whose events continue is sent again with its "
        "count.",
    )
    escalate_minutes: float = Field(
        15.0,
        ge=1,
        le=1440,
        description="Minutes after which an unacknowledged critical alert is sent again.",
    )
    escalations: int = Field(4, ge=0, le=100, description="Number of times that it is sent again.")
    deadline_s: float = Field(
        20.0,
        ge=1,
        le=300,
        description="Seconds that a channel may take for a message before the delivery has failed.",
    )
    rule: tuple[AlertRuleOptions, ...] = Field(
        (), max_length=50, description="Which events raise alerts, and for which channels."
    )
    channel: tuple[AlertChannelOptions, ...] = Field(
        (), max_length=16, description="Quiet hours of the channels."
    )


class ConsoleOptions(Section):
    """The full-screen console."""

    refresh_hz: float = Field(4.0, gt=0, le=20, description="Updates of the screen per second.")
    theme: Literal["dark", "light", "safe"] = Field(
        "dark", description="Colours: dark, light, or safe (for colour-blind eyes)."
    )
    zone: str = Field(
        "UTC",
        description="Time zone of the times on screen: UTC, local, or a name such as "
        "Europe/Berlin.",
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
    """The engine's log."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level of the events that are logged."
    )


class Options(Section):
    """The whole file."""

    mode: Mode = Field(
        "demo", description="What the engine trades on: demo, paper or live. See the user guide."
    )
    portfolio: Path = Field(
        Path("portfolio.toml"), description="The portfolio file, relative to this file's directory."
    )
    strategies_dir: Path | None = Field(
        None,
        description="Directory of your own strategies (Python files), watched while the engine "
        "runs. "
        "Default: `strategies` beside this file.",
        examples=["/srv/strategies"],
    )
    state_dir: Path | None = Field(
        None,
        description="Directory of journal, database and logs; each mode and account has a "
        "directory in it. "
        "Default: $XDG_STATE_HOME/pmpro or ~/.local/state/pmpro.",
        examples=["/var/lib/pmpro"],
    )
    run_dir: Path | None = Field(
        None,
        description="Directory of the control sockets. Default: /run/pmpro if the engine's user "
        "owns it, else "
        "`run` in state_dir; /tmp/pmpro-UID if that path is too long or [control] names logins.",
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
