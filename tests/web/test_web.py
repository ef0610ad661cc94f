"""`pmpro web` as it is run: its link, the console behind it, what it leaves."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("aiohttp", reason="the extra `web` is not installed")
pytest.importorskip("textual_serve", reason="the extra `web` is not installed")

import aiohttp

from engine.settings.settings import load_settings
from tests.console.terminal import REPO, without_escapes
from tests.launch.test_attach import commands, state
from tests.processes import all_ended, lives
from tests.web.test_gate import on_a_loop

__all__ = ["state"]
DEADLINE_S = 40.0
WEB = [sys.executable, "-P", "-m", "pmpro_tui.cli.main", "web", "--mode", "demo"]


@pytest.fixture
def fake_engine(state: Path) -> Iterator[Path]:
    """The fake engine, answering in a state directory of its own."""
    (state / "demo").mkdir()
    daemon = subprocess.Popen(
        [sys.executable, "-P", "-m", "tests.console.fake_daemon", "--demo"],
        env=os.environ | {"PYTHONPATH": str(REPO)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        end_s = time.monotonic() + DEADLINE_S
        while not (state / "demo" / "pid").exists():
            assert daemon.poll() is None
            assert time.monotonic() < end_s
            time.sleep(0.02)
        yield state
    finally:
        daemon.terminate()
        daemon.wait(10)


class Served:
    """A running `pmpro web`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1].decode()
        self.facts: dict[str, Any] = json.loads(line)

    @property
    def base(self) -> str:
        return str(self.facts["link"]).partition("/?")[0]

    def consoles(self) -> list[psutil.Process]:
        """The consoles that it has started."""
        return psutil.Process(self.process.pid).children()


@contextlib.contextmanager
def served(*options: str) -> Iterator[Served]:
    process = subprocess.Popen(
        [*WEB, "--json", *options],
        env=os.environ | {"PYTHONPATH": str(REPO)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield Served(process)
    finally:
        process.kill()
        process.communicate(timeout=10)


def refused(*options: str) -> str:
    """Return the one line of a `pmpro web` that does not start."""
    done = subprocess.run(
        [*WEB, *options],
        env=os.environ | {"PYTHONPATH": str(REPO)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    return done.stderr


@contextlib.asynccontextmanager
async def entered(web: Served, path: str | None = None) -> Any:
    """A browser's session that has used the link; `path`: through a Unix socket."""
    connector = None if path is None else aiohttp.UnixConnector(path)
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=jar) as session:
        async with session.get(web.facts["link"]) as answer:
            assert answer.status == 200
        yield session


async def shows(page: Any, text: str) -> None:
    """Read the screen until it has had a text."""
    seen = b""
    while text not in without_escapes(seen):
        try:
            message = await page.receive(timeout=10)
        except TimeoutError:
            raise AssertionError(f"no {text!r} in {without_escapes(seen)[-2000:]}") from None
        assert isinstance(message.data, bytes), (message, seen[-500:])
        seen += message.data


async def press(page: Any, keys: str) -> None:
    await page.send_str(json.dumps(["stdin", keys]))


def open_console(session: Any, web: Served) -> Any:
    url = f"{web.base}/ws?width=120&height=40"
    return session.ws_connect(url, headers={"Origin": web.base})


@on_a_loop
async def test_a_browser_looks_and_may_command_only_where_that_was_asked_for(
    fake_engine: Path,
) -> None:
    """Read-only refuses K on the screen, and the engine hears nothing; `--control` sends it."""
    with served("--port", "0") as web:
        async with entered(web) as session, open_console(session, web) as page:
            await shows(page, "eur-ma-14")
            await press(page, "K")
            await shows(page, "read-only")
            await press(page, "q")
            while not page.closed:
                await page.receive(timeout=DEADLINE_S)
        assert commands(fake_engine) == []
        web.process.send_signal(signal.SIGTERM)
        assert web.process.wait(20) == 0
    with served("--port", "0", "--control") as web:
        async with entered(web) as session, open_console(session, web) as page:
            await shows(page, "eur-ma-14")
            await press(page, "K")
            await shows(page, "kill done")
        assert [c[0] for c in commands(fake_engine)] == ["kill"]


@on_a_loop
async def test_nothing_outlives_it(fake_engine: Path) -> None:
    """Stopped or killed, it leaves no console, and the engine goes on."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with served("--port", "0") as web:
            async with entered(web) as session, open_console(session, web) as page:
                await shows(page, "eur-ma-14")
                consoles = web.consoles()
                assert len(consoles) == 1
                web.process.send_signal(number)
                web.process.wait(20)
                assert all_ended(console.pid for console in consoles)
    assert lives(int((fake_engine / "demo" / "pid").read_text()))


@on_a_loop
async def test_a_socket_is_its_owner_s_alone(fake_engine: Path) -> None:
    """Mode 600, the same link and checks behind it; gone afterwards, a dead one replaced."""
    path = load_settings(mode="demo").socket_path.with_suffix(".web.sock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with served("--socket") as web:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert f"ssh -L 8765:{path} " in web.facts["tunnel"]
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as stranger,
            stranger.get(f"{web.base}/") as answer,
        ):
            assert answer.status == 403
        async with entered(web, str(path)) as session, open_console(session, web) as page:
            await shows(page, "eur-ma-14")
        assert "another `pmpro web` listens" in await asyncio.to_thread(refused, "--socket")
        web.process.send_signal(signal.SIGINT)
        assert web.process.wait(20) == 0
    assert not path.exists()


def test_without_an_engine_it_says_so(state: Path) -> None:
    """One line, code 1; nothing is started, no engine either."""
    line = "pmpro: no engine answers: start one with `pmpro-tui --daemon`\n"
    assert refused("--port", "0") == line
    assert not (state / "demo" / "pid").exists()
