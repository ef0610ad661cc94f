"""The settings' alerts as `engine.notify` takes them, and the service that an engine runs."""

import time

from engine.model.errors import ConfigError
from engine.model.near import meant
from engine.model.times import NS_PER_MINUTE, NS_PER_S
from engine.notify.quiet import NEVER, quiet_hours
from engine.notify.records import AlertConfig, AlertRule, Channel, Policy
from engine.notify.service import AlertService
from engine.runtime.state_dir import StateDir
from engine.settings.settings import Settings
from engine.trading.events import EventLog


def alert_config(settings: Settings) -> AlertConfig:
    """Return rules, channels and times.

    Raises:
        ConfigError: the URLs are not readable by their owner alone, or a name is none of theirs.
    """
    alerts, urls = settings.alerts, settings.alert_urls()
    hours = {channel.name: channel for channel in alerts.channel}
    named = [("alerts.channel", name) for name in hours]
    for rule in alerts.rule:
        named += [("alerts.rule", n) for n in (*(rule.channels or ()), *(rule.escalate or ()))]
    for key, name in named:
        if name not in urls:
            known = ", ".join(urls) or "none"
            where = settings.where(key)
            hint = meant(name, urls) or ";"
            raise ConfigError(f"{where} names channel {name!r}{hint} channels with a URL: {known}")
    _refuse_twice([rule.name for rule in alerts.rule], settings.where("alerts.rule"))
    _refuse_twice([channel.name for channel in alerts.channel], settings.where("alerts.channel"))
    return AlertConfig(
        rules=tuple(AlertRule(**rule.model_dump()) for rule in alerts.rule),
        channels=tuple(
            Channel(
                name=name,
                url=url,
                quiet=quiet_hours(hours[name].quiet, hours[name].zone) if name in hours else NEVER,
            )
            for name, url in urls.items()
        ),
        policy=Policy(
            digest_ns=int(alerts.digest_s * NS_PER_S),
            repeat_ns=int(alerts.repeat_minutes * NS_PER_MINUTE),
            escalate_ns=int(alerts.escalate_minutes * NS_PER_MINUTE),
            escalations=alerts.escalations,
            deadline_s=alerts.deadline_s,
        ),
    )


def start_alerts(settings: Settings, state: StateDir, events: EventLog) -> AlertService:
    """Have events raise alerts from now on."""
    service = AlertService(
        alert_config(settings),
        state.path / "alerts.sqlite",
        log_path=state.logs / "alerts.log",
        now_ns=time.time_ns,
        head=head(settings),
        tell=lambda level, text: events.add(level, "alerts", text),
    )
    events.listen(service.offer)
    service.start()
    return service


def head(settings: Settings) -> str:
    """Return how messages begin: whose they are."""
    login = settings.terminal.login
    return f"pmpro {settings.mode}" + ("" if login is None else f" {login}")


def _refuse_twice(names: list[str], where: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{where}: {name!r} stands there twice")
