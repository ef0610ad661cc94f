"""A real browser: the link shows a console, and a foreign page gets none with the same cookie."""

import asyncio
import contextlib
import itertools
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the extra `web` is not installed")
pytest.importorskip("textual_serve", reason="the extra `web` is not installed")

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.web.test_gate import on_a_loop
from tests.web.worlds import browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

# What a page of another site may try with a cookie that the browser has.
TRIES = """
(async () => {
  const socket = await new Promise(done => {
    const tried = new WebSocket("ws://%(host)s/ws");
    tried.onopen = () => done("open");
    tried.onerror = () => done("refused");
  });
  const page = await fetch("http://%(host)s/", {credentials: "include", mode: "no-cors"})
    .then(answer => answer.type, () => "refused");
  return socket + " " + page;
})()
"""


class Navigated(Exception):
    """The page went elsewhere while it was asked."""


class Page:
    """One tab, driven over the browser's debugging socket."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    async def call(self, method: str, **given: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": given})
        while True:
            answer = await self._socket.receive_json(timeout=30)
            if answer.get("id") == number:
                if "navigated" in answer.get("error", {}).get("message", ""):
                    raise Navigated
                assert "error" not in answer, answer
                return dict(answer["result"])

    async def says(self, script: str) -> Any:
        """Return what a script comes to in the page."""
        given = {"expression": script, "awaitPromise": True, "returnByValue": True}
        return (await self.call("Runtime.evaluate", **given))["result"].get("value")

    async def until(self, script: str) -> None:
        while True:  # bounded by the test
            with contextlib.suppress(Navigated):
                if await self.says(script) is True:
                    return
            await asyncio.sleep(0.05)


@asynccontextmanager
async def chromium(profile: Path) -> AsyncIterator[Page]:
    """A headless browser with one tab."""
    assert CHROMIUM is not None
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        "--headless=new",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        port = None
        while port is None:
            line = (await process.stderr.readline()).decode()
            assert line, "it ended"
            port = re.search(r"ws://127\.0\.0\.1:(\d+)/", line)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port[1]}/json/list") as answer:
                tabs = json.loads(await answer.text())
            address = next(t["webSocketDebuggerUrl"] for t in tabs if t["type"] == "page")
            async with session.ws_connect(address, max_msg_size=0) as socket:
                yield Page(socket)
    finally:
        process.kill()
        await process.communicate()


@on_a_loop
async def test_a_browser_shows_a_console_to_our_own_page_alone(tmp_path: Path) -> None:
    """The screen comes with the link; another origin's page, cookie or not, opens nothing."""
    stranger = web.Application()

    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello", content_type="text/html")

    stranger.add_routes([web.get("/", hello)])
    async with browser() as b, TestServer(stranger) as foreign, chromium(tmp_path) as page:
        link = f"{b.origin}/?token={b.web.gate.token}"
        await page.call("Page.navigate", url=link)
        await page.until('document.body && document.body.classList.contains("-first-byte")')
        assert await page.says("document.cookie") == ""
        assert b.web.n_sessions == 1
        refused = b.web.gate.n_refused
        await page.call("Page.navigate", url=str(foreign.make_url("/")))
        await page.until('document.body && document.body.textContent === "hello"')
        tried = await page.says(TRIES % {"host": b.host})
        assert tried.startswith("refused ")
        assert b.web.gate.n_refused > refused
