"""What surrounds an engine, as `pmpro doctor` sees it: user, locale, place, files and their owners.

Each check looks at one thing and changes nothing.
"""

import locale
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from engine.files.places import own_uid, working_directory
from engine.files.trust import fault_of, trusted, user_name
from engine.model.errors import PmproError, StoreError
from engine.settings.settings import Settings, demo_portfolio
from pmpro_tui.cli.doctor.findings import DoctorFinding, fail, warn
from pmpro_tui.cli.doctor.surroundings import ENGINE_FILES, FILES_WANTED, open_files

if TYPE_CHECKING:
    from engine.store.cluster import ClusterPlace

_UNNAMED = "x" * 12  # as long as a cluster's name


def user() -> DoctorFinding:
    """Who runs this, and where his home is."""
    import pwd

    who = user_name(own_uid())
    try:
        pwd.getpwuid(own_uid())
    except KeyError:
        return warn(
            "user",
            f"{who} has no entry in the user database",
            "add one to /etc/passwd; a new embedded database may need it",
        )
    return DoctorFinding(check="user", finding=who)


def spoken() -> DoctorFinding:
    """Whether the locale is there and UTF-8; pmpro speaks UTF-8 in any case."""
    named = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_CTYPE", "LANG"))), "")
    remedy = "pmpro speaks UTF-8 all the same; `export LC_ALL=C.UTF-8` for everything else"
    try:
        locale.setlocale(locale.LC_CTYPE, "")
    except locale.Error:
        return warn("locale", f"this box has no locale {named}", remedy)
    codeset = locale.nl_langinfo(locale.CODESET)
    if codeset.upper().replace("-", "") != "UTF8":
        return warn("locale", f"{named or 'no locale is set'}, which is {codeset}", remedy)
    return DoctorFinding(check="locale", finding=named or "C.UTF-8")


def place() -> DoctorFinding:
    """Where the shell stands."""
    try:
        return DoctorFinding(check="directory", finding=str(working_directory()))
    except PmproError as error:
        return warn("directory", str(error), "cd")


def files() -> DoctorFinding:
    """How many files an engine may have open, once it has asked for more."""
    text = f"{open_files()} open files"
    if open_files() < ENGINE_FILES:
        return fail("files", f"{text}, an engine needs {ENGINE_FILES}", f"ulimit -n {FILES_WANTED}")
    return DoctorFinding(check="files", finding=text)


def owners(settings: Settings) -> list[DoctorFinding]:
    """Everything that runs or decides and that others could change."""
    from engine.hosts.files import candidates

    named = {"configuration": settings.file, "state": settings.state_path}
    if settings.portfolio_path != demo_portfolio():
        named["portfolio"] = settings.portfolio_path
    named |= {"run directory": settings.run_path, "strategies": settings.strategies_path}
    for key in ("terminal.password_file", "terminal.token_file", "database.url_file"):
        section, _, name = key.partition(".")
        named[key] = getattr(getattr(settings, section), name)
    named |= {"alerts.urls_file": settings.alerts.urls_file}
    named |= {"control.tokens_file": settings.control.tokens_file}
    paths = [(what, path) for what, path in named.items() if path is not None]
    paths += [("strategy", path) for path in candidates(settings.strategies_path)]
    who = trusted()
    found = []
    for what, path in paths:
        if fault := fault_of(path, who):
            text, _, remedy = fault.rpartition(": ")
            found.append(fail("owners", f"{what}: {text}", remedy))
    return found or [DoctorFinding(check="owners", finding="nobody else could change what runs")]


def control(settings: Settings) -> DoctorFinding:
    """Whom the engine lets in, and whether they can reach it."""
    from engine.settings.access import roles_by_uid

    roles = roles_by_uid(settings)
    text = ", ".join(f"{user_name(uid)}: {role}" for uid, role in roles.items())
    return DoctorFinding(check="control", finding=text or "this user and root alone")


def embedded(settings: Settings) -> DoctorFinding:
    """Whether the embedded server can be made, started and reached."""
    if fault := next(_embedded_faults(settings), None):
        return fault
    home = _place(settings).home
    text = f"in {home}" if home.name != _UNNAMED else "made at the first start"
    return DoctorFinding(check="database", finding=f"embedded PostgreSQL, {text}")


def _embedded_faults(settings: Settings) -> Iterator[DoctorFinding]:
    """Yield what is wrong with it; trading goes on without it."""
    from engine.store.binaries import installed_programs, server_account, with_a_name
    from engine.store.cluster import complaint_of
    from engine.store.processes import server_processes

    try:
        account, bin_dir = server_account(), installed_programs()
        found = _place(settings)
        if complaint := complaint_of(found, account):
            yield warn("database", complaint, "until then rows wait in the journal")
        if not (found.home / "data").exists() and account is None:
            with_a_name([])
    except StoreError as error:
        yield warn("database", str(error), "until then rows wait in the journal")
        return
    for directory in (bin_dir, _existing(found.shared[0])):
        if account is not None and _noexec(directory):
            text = f"{directory} is on a file system that is mounted noexec"
            yield warn("database", text, "mount it otherwise, or give a URL")
    left = server_processes(found.home / "data")
    if left and not _engine_lives(settings):
        yield warn(
            "database",
            f"PostgreSQL (process {left[0].pid}) runs on {found.home}, its engine is dead",
            "the next start takes it over; `pmpro stop` ends it",
        )
    yield from _data_faults(found, bin_dir)


def _data_faults(found: "ClusterPlace", bin_dir: Path) -> Iterator[DoctorFinding]:
    version_file = found.home / "data" / "PG_VERSION"
    if not os.access(version_file, os.R_OK):
        return
    made, program = version_file.read_text().strip(), _major(bin_dir)
    if made != program:
        text = f"{found.home} was made by PostgreSQL {made}, installed is {program}"
        yield warn("database", text, "restore a backup into a new state directory")


def _major(bin_dir: Path) -> str:
    import subprocess

    done = subprocess.run(
        [bin_dir / "postgres", "--version"], capture_output=True, text=True, check=False, cwd="/"
    )
    return done.stdout.rpartition(" ")[2].partition(".")[0].strip()


def _place(settings: Settings) -> "ClusterPlace":
    import json

    from engine.store.binaries import server_account
    from engine.store.cluster import place_of
    from engine.store.embedded import BASE_DIR

    data_dir, name = settings.state_path / "postgresql", _UNNAMED
    if os.access(data_dir / "secrets.json", os.R_OK):
        name = json.loads((data_dir / "secrets.json").read_text())["cluster"]
    return place_of(data_dir, settings.run_path, BASE_DIR, name, server_account())


def _engine_lives(settings: Settings) -> bool:
    from engine.files.lock_file import hold_lock
    from engine.model.errors import StateError

    lock = settings.state_path / "engine.lock"
    if not os.access(lock, os.W_OK):
        return False
    try:
        os.close(hold_lock(lock, wait_s=0.0))
    except StateError:
        return True
    return False


def _noexec(directory: Path) -> bool:
    return bool(os.statvfs(directory).f_flag & getattr(os, "ST_NOEXEC", 0))


def _existing(path: Path) -> Path:
    """Return the path, or its nearest directory that exists."""
    return next(p for p in (path, *path.parents) if p.exists())
