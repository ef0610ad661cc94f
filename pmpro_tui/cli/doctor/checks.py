"""The checks of `pmpro doctor`. Each looks at one thing, changes nothing and never raises."""

import importlib.util
import os
import platform
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from engine.model.errors import PmproError
from engine.model.printable import described
from engine.settings.settings import Settings, load_settings
from pmpro_tui.cli.doctor import engine_surroundings as around
from pmpro_tui.cli.doctor.findings import DoctorFinding, fail, warn

DISTRIBUTION = "portfolio-manager-pro"
DISK_WARN_GB, DISK_FAIL_GB = 5.0, 0.5
URL_TIMEOUT_S = 5


Check = Callable[[Settings], DoctorFinding]


def examine(config: Path | None, mode: str | None) -> list[DoctorFinding]:
    """Return the findings about this box, and with readable settings about its set-up."""
    findings = [_python(), _packages(), _talib(), _kernels(), _bounds()]
    findings += [around.user(), around.spoken(), around.place(), around.files()]
    try:
        settings = load_settings(config, mode=mode, lenient=True)
    except PmproError as error:
        return [*findings, fail("settings", str(error), "correct it; `pmpro init` shows all keys")]
    named = settings.file or "defaults (no file)"
    findings.append(DoctorFinding(check="settings", finding=f"{named}, mode {settings.mode}"))
    findings += _all_owners(settings)
    checks = (
        _portfolio,
        _strategies,
        _state,
        _disk,
        _socket,
        around.control,
        _terminal,
        _secrets,
        _database,
        _alerts,
    )
    findings += [_guarded(check, settings) for check in checks]
    return findings


def _all_owners(settings: Settings) -> list[DoctorFinding]:
    try:
        return around.owners(settings)
    except PmproError as error:
        return [fail("owners", str(error), "correct it")]


def _guarded(check: Check, settings: Settings) -> DoctorFinding:
    try:
        return check(settings)
    except Exception as error:  # border: one check must not hide the others
        return fail(
            check.__name__.strip("_"), described(error, bare=(PmproError,)), "see the finding"
        )


def _python() -> DoctorFinding:
    text = f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    if (3, 11) <= sys.version_info[:2] <= (3, 14):
        return DoctorFinding(check="python", finding=text)
    return fail("python", text, "use Python 3.11 to 3.14")


def _packages() -> DoctorFinding:
    if not _installed(DISTRIBUTION):
        return fail("packages", f"{DISTRIBUTION} is not installed", "make setup")
    missing = [name for name in _required() if not _installed(name)]
    if missing:
        return fail("packages", f"missing: {', '.join(missing)}", "make setup")
    return DoctorFinding(check="packages", finding=f"pmpro {version(DISTRIBUTION)}, all installed")


def _required() -> Iterator[str]:
    for requirement in requires(DISTRIBUTION) or []:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        elsewhere = "win32" in requirement and sys.platform != "win32"
        if name and "extra ==" not in requirement and not elsewhere:
            yield name[0]


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _talib() -> DoctorFinding:
    try:
        import numpy as np
        import talib

        last = talib.SMA(np.arange(5.0), 2)[-1]
    except Exception as error:  # border: a broken native library raises anything
        return fail("ta-lib", f"{type(error).__name__}: {error}", "reinstall TA-Lib: make setup")
    if last != 3.5:
        return fail("ta-lib", f"SMA of 3, 4 is {last}", "reinstall TA-Lib: make setup")
    return DoctorFinding(check="ta-lib", finding=f"{version('TA-Lib')} computes")


def _kernels() -> DoctorFinding:
    try:
        from engine.kernels.cache import cache_dir
    except PmproError as error:
        return fail("kernels", str(error), "see the finding")
    except Exception as error:  # border: a broken native library raises anything
        return fail("kernels", f"{type(error).__name__}: {error}", "reinstall numba: make setup")
    cache = cache_dir()
    if not any(cache.rglob("*.nbi")):
        return warn("kernels", "not compiled yet", "pmpro compile (or a slower first start)")
    return DoctorFinding(check="kernels", finding=str(cache))


def _portfolio(settings: Settings) -> DoctorFinding:
    from engine.portfolio.file import read_portfolio

    portfolio = read_portfolio(settings.portfolio_path)
    n, path = len(portfolio.strategy), settings.portfolio_path
    return DoctorFinding(check="portfolio", finding=f"{path}: {n} strategies")


def _strategies(settings: Settings) -> DoctorFinding:
    from engine.hosts.files import skipped_files, strategy_files

    directory = settings.strategies_path
    if skipped := skipped_files(directory):
        return warn("strategies", "; ".join(skipped), "rename it, or make it readable")
    n = len(strategy_files(directory))
    return DoctorFinding(check="strategies", finding=f"{directory}: {n} files of your own")


def _bounds() -> DoctorFinding:
    from engine.child.confinement import available

    here = available()
    text = f"Landlock {here.landlock or 'absent'}, seccomp {'there' if here.seccomp else 'absent'}"
    if here.landlock and here.seccomp:
        return DoctorFinding(check="bounds", finding=f"{text}: strategies' code is bounded")
    remedy = "Linux 5.13 or later with Landlock and seccomp; run no code that you do not trust"
    return warn("bounds", f"{text}: strategies' code may do what this user may", remedy)


def _state(settings: Settings) -> DoctorFinding:
    path = settings.state_path
    if not path.exists():
        if _can_create(path):
            return DoctorFinding(check="state", finding=f"{path} will be made at the first start")
        return fail("state", f"cannot make {path}", "set state_dir to a directory of yours")
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    if os.name == "posix" and status.st_uid != os.geteuid():
        return fail("state", f"{path} belongs to uid {status.st_uid}", "run as its owner")
    if not os.access(path, os.W_OK | os.X_OK):
        return fail(
            "state", f"cannot write {path}", "its modes, or a file system mounted read-only"
        )
    if os.name == "posix" and mode & 0o077:
        return warn("state", f"{path} has mode {mode:o}", "the next start closes it to others")
    real = path.resolve()
    return DoctorFinding(
        check="state", finding=str(path) if real == path else f"{path}, which is {real}"
    )


def _disk(settings: Settings) -> DoctorFinding:
    place = _existing(settings.state_path)
    free_gb = shutil.disk_usage(place).free / 1e9
    if hasattr(os, "statvfs") and (room := os.statvfs(place)).f_files and not room.f_favail:
        return fail("disk", f"no more files can be made at {place}", "remove some: inodes are out")
    text = f"{free_gb:.1f} GB free for state and database"
    if free_gb < DISK_FAIL_GB:
        return fail("disk", text, "make room")
    if free_gb < DISK_WARN_GB:
        return warn("disk", text, "make room")
    return DoctorFinding(check="disk", finding=text)


def _socket(settings: Settings) -> DoctorFinding:
    from engine.control.client import ControlClient
    from engine.model.errors import ControlError

    path = settings.socket_path
    client = ControlClient(path, timeout_s=2.0, owners=settings.owners)
    try:
        client.connect()
    except ControlError:
        if _can_create(path):
            return DoctorFinding(
                check="socket", finding=f"no engine is running; it would use {path}"
            )
        return fail("socket", f"cannot make {path}", "set run_dir to a directory of yours")
    finally:
        client.close()
    return DoctorFinding(check="socket", finding=f"an engine answers on {path}")


def _terminal(settings: Settings) -> DoctorFinding:
    if settings.terminal.module == "simulated":
        return DoctorFinding(check="terminal", finding="simulated")
    if settings.terminal.host is not None:
        return DoctorFinding(check="terminal", finding=f"on {settings.terminal.host}")
    if importlib.util.find_spec("MetaTrader5") is None:
        return fail(
            "terminal", "the MetaTrader5 package is not here", "set terminal.host, or simulated"
        )
    return DoctorFinding(check="terminal", finding=f"MetaTrader5 {version('MetaTrader5')}")


def _secrets(settings: Settings) -> DoctorFinding:
    password, url = settings.terminal_password(), settings.database_url()
    if settings.terminal.module == "mt5" and password is None:
        return warn("secrets", "no terminal password", "needed unless the terminal has saved it")
    present = [name for name, it in (("password", password), ("database URL", url)) if it]
    return DoctorFinding(check="secrets", finding=", ".join(present) or "none needed")


# Nothing where the role is not there yet: the first migration makes it.
_MAY_OPERATE = "SELECT pg_has_role(oid, 'SET') FROM pg_roles WHERE rolname = 'pmpro_operator'"


def _database(settings: Settings) -> DoctorFinding:
    url = settings.database_url()
    if url is None:
        return around.embedded(settings)
    import psycopg

    from engine.store.connection import encoding_complaint

    address = re.sub(r"^postgresql\+\w+:", "postgresql:", url.get_secret_value())
    try:
        with psycopg.connect(address, connect_timeout=URL_TIMEOUT_S) as connection:
            number = connection.info.server_version // 10_000
            encoding = connection.info.parameter_status("server_encoding") or ""
            may_operate = connection.execute(_MAY_OPERATE).fetchone()
    except psycopg.Error as error:
        # The first line says why; the URL holds a password and is not repeated.
        reason = str(error).strip().splitlines()[0]
        return fail("database", reason, "correct the URL, start the server, or embedded = true")
    if complaint := encoding_complaint(encoding):
        return fail("database", complaint, "a database of its own")
    if may_operate == (False,):
        remedy = "as an administrator: GRANT pmpro_operator TO the URL's login"
        return fail("database", "the URL's login may not act as pmpro_operator", remedy)
    if shutil.which("pg_dump") is None:
        return warn("database", f"PostgreSQL {number} answers", "install pg_dump for backups")
    return DoctorFinding(check="database", finding=f"PostgreSQL {number} answers")


def _alerts(settings: Settings) -> DoctorFinding:
    from engine.notify.courier import Carrier
    from engine.runtime.alerts import alert_config

    config = alert_config(settings)
    if not config.channels:
        text = "no channel: alerts are shown in the console alone"
        if settings.mode == "live":
            return warn("alerts", text, "set alerts.urls_file, then `pmpro alert test`")
        return DoctorFinding(check="alerts", finding=text)
    found = {}
    for channel in config.channels:
        carrier = Carrier(channel, deadline_s=config.policy.deadline_s)
        found[channel.name] = carrier.check()
        carrier.close()
    wrong = {name: result.detail for name, result in found.items() if not result.ok}
    if wrong:
        text = "; ".join(f"channel {name}: {detail}" for name, detail in wrong.items())
        return fail("alerts", text, "correct its URL: `pmpro alert test` tries it")
    text = ", ".join(f"{name} ({result.detail})" for name, result in found.items())
    return DoctorFinding(check="alerts", finding=f"{text}; `pmpro alert test` tries them")


def _existing(path: Path) -> Path:
    """Return the path, or its nearest directory that exists."""
    return next(p for p in (path, *path.parents) if p.exists())


def _can_create(path: Path) -> bool:
    return os.access(_existing(path), os.W_OK | os.X_OK)
