"""`pmpro doctor` tells beforehand what would keep an engine or its database from working."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.model.errors import StateError, StoreError
from engine.runtime.engine import Engine
from engine.settings.settings import Settings, load_settings
from engine.store.embedded import EmbeddedServer
from pmpro_tui.cli.doctor import engine_surroundings as around
from pmpro_tui.cli.doctor.findings import DoctorFinding
from tests.cli.conftest import Pmpro
from tests.cli.doctor.test_surroundings import gone
from tests.cli.doctor.test_surroundings import pmpro as bare_pmpro
from tests.store.servers import data_of, end_child, postmasters, start_child
from tests.whole.operated import remove_database

STRANGER = 54_321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
Mount = Callable[[str], Path]


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Return a maker of small file systems with options."""
    places: list[Path] = []

    def make(options: str) -> Path:
        place = Path(tempfile.mkdtemp(prefix="pm", dir="/var/tmp"))
        words = ["mount", "-t", "tmpfs", "-o", f"mode=755,{options}", "none", place]
        if subprocess.run(words, capture_output=True, check=False).returncode:
            place.rmdir()
            pytest.skip("no file system can be mounted here")
        places.append(place)
        return place

    yield make
    for place in places:
        subprocess.run(["umount", place], check=True)
        place.rmdir()


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory of one's own that leaves room for a socket's name, wherever the tests' lies."""
    place = Path(tempfile.mkdtemp(prefix="pm", dir="/var/tmp"))
    yield place
    shutil.rmtree(place)


def checks_of(done: "subprocess.CompletedProcess[bytes]") -> dict[str, dict[str, str]]:
    return {check["check"]: check for check in json.loads(done.stdout)["checks"]}


def test_where_and_how_it_is_run(tmp_path: Path) -> None:
    """A deleted directory, a missing locale and a low limit, each with what to do."""
    before = f"ulimit -n 100; {gone(tmp_path)}"
    done = bare_pmpro("doctor", "--json", before=before, HOME=str(tmp_path), LC_ALL="xx_XX")
    checks = checks_of(done)
    assert done.returncode == 1
    assert checks["directory"]["status"] == "warn"
    assert "cannot be used (No such file or directory)" in checks["directory"]["finding"]
    assert checks["locale"]["finding"] == "this box has no locale xx_XX"
    assert "LC_ALL=C.UTF-8" in checks["locale"]["remedy"]
    assert checks["files"]["finding"] == "100 open files, an engine needs 256"
    other = checks_of(bare_pmpro("doctor", "--json", HOME=str(tmp_path), LC_ALL="C"))
    assert other["locale"]["finding"] == "C, which is ANSI_X3.4-1968"
    assert other["directory"]["status"] == other["files"]["status"] == "ok"


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said with what it may keep from working."""
    monkeypatch.setattr(around, "own_uid", lambda: STRANGER)
    found = around.user()
    assert (found.status, found.finding) == (
        "warn",
        f"uid {STRANGER} has no entry in the user database",
    )


@needs_root
def test_what_others_could_change(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file and directory at once, with the command for each, and the whole report."""
    config, own = home / "c.toml", home / "own"
    config.write_text(f'strategies_dir = "{own}"\n', encoding="utf-8")
    own.mkdir()
    (own / "mine.py").touch()
    monkeypatch.setenv("PMPRO_CONFIG", str(config))
    (ok,) = around.owners(load_settings())
    assert ok.status == "ok"
    config.chmod(0o666)
    (own / "mine.py").chmod(0o646)
    os.chown(own, STRANGER, STRANGER)
    found = around.owners(load_settings(lenient=True))
    assert {f.status for f in found} == {"fail"}
    assert [f.remedy for f in found] == [
        f"chmod go-w {config}",
        f"chown 0 {own}",
        f"chown 0 {own}",
    ]
    assert found[0].finding.startswith(f"configuration: {config} has mode 666 and belongs to root")


@needs_root
def test_a_state_directory_that_cannot_be_written(mount: Mount) -> None:
    """A disk mounted read-only: the doctor says so, and the engine in one line."""
    place = mount("size=1m")
    (place / "demo").mkdir(mode=0o700)
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    done = bare_pmpro("doctor", "--json", HOME="/", PMPRO_STATE_DIR=str(place))
    assert checks_of(done)["state"]["finding"] == f"cannot write {place}/demo"
    with pytest.raises(StateError, match=f"{place}/demo: .* Read-only file system"):
        Engine(load_settings(mode="demo", overrides={"state_dir": place})).start()


@needs_root
def test_a_full_disk_at_the_start(mount: Mount) -> None:
    """The doctor says how little is left; the database's reason is the disk, not its end."""
    place = mount("size=20m,uid=65534,gid=65534")
    done = bare_pmpro("doctor", "--json", HOME="/", PMPRO_STATE_DIR=str(place))
    assert checks_of(done)["disk"]["finding"] == "0.0 GB free for state and database"
    base = mount("size=20m")
    server = EmbeddedServer(
        Path(tempfile.mkdtemp(prefix="pm", dir="/var/tmp")) / "db", place, base_dir=base
    )
    with pytest.raises((StoreError, OSError), match="No space left on device"):
        server.start()
    shutil.rmtree(server._dir.parent)


def database(settings: Settings) -> DoctorFinding:
    return around.embedded(settings)


@needs_root
def test_programs_that_may_not_be_run(mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system mounted noexec is named, by the doctor and by the start."""
    base = mount("size=600m,noexec")
    monkeypatch.setattr("engine.store.embedded.BASE_DIR", base / "base")
    found = database(load_settings(mode="demo"))
    assert found.status == "warn"
    assert f"{base} is on a file system that is mounted noexec" in found.finding
    state = Path(tempfile.mkdtemp(prefix="pm", dir="/var/tmp"))
    server = EmbeddedServer(state / "db", state / "run", base_dir=base / "base")
    with pytest.raises(StoreError, match="may not be run: its file system is mounted noexec"):
        server.start()
    shutil.rmtree(state)


@needs_root
def test_directories_that_the_servers_account_cannot_pass(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root the server runs as another user, who must reach its data."""
    base = short / "base"
    monkeypatch.setattr("engine.store.embedded.BASE_DIR", base)
    found = database(load_settings(mode="demo"))
    assert "not pass, who runs PostgreSQL: chmod o+x " in found.finding
    server = EmbeddedServer(short / "db", short / "run", base_dir=base)
    with pytest.raises(StoreError, match="not pass, who runs PostgreSQL: chmod o"):
        server.start()
    assert not base.exists()


def test_a_server_that_a_dead_engine_has_left(
    home: Path, pmpro: Pmpro, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named with its process and what ends it; a running engine's is no finding."""
    run_dir = Path(tempfile.mkdtemp(prefix="pm", dir="/var/tmp"))
    monkeypatch.setenv("PMPRO_RUN_DIR", str(run_dir))
    settings = load_settings()
    server = EmbeddedServer(settings.state_path / "postgresql", settings.run_path)
    try:
        child = start_child(server)
        (pid,) = postmasters(data_of(server))
        child.kill()
        end_child(child)
        found = database(settings)
        assert found.status == "warn"
        assert f"PostgreSQL (process {pid}) runs on" in found.finding
        assert "`pmpro stop` ends it" in found.remedy
        assert pmpro("stop").returncode == 0
        assert database(settings).status == "ok"
        (data_of(server) / "PG_VERSION").write_text("15\n")
        assert "was made by PostgreSQL 15, installed is 18" in database(settings).finding
    finally:
        with contextlib.suppress(StoreError):
            remove_database(settings)
        shutil.rmtree(run_dir)


@pytest.mark.parametrize(
    ("option", "value"),
    [("STATE_DIR", b"/tmp/\xff"), ("STRATEGIES_DIR", b"/tmp/\xff"), ("DEMO__DATA", b"/tmp/\xff")],
)
def test_names_that_are_no_text(
    option: str, value: bytes, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that cannot be written into a message or a row is refused where it is set."""
    done = bare_pmpro("status", HOME=str(home), **{f"PMPRO_{option}": os.fsdecode(value)})
    assert done.returncode == 2
    assert f"PMPRO_{option}: b'/tmp/\\xff' is not UTF-8 text".encode() in done.stderr
