"""A web server on a free port with a small console, and a browser's requests to it."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp.test_utils import TestServer

from pmpro_tui.web.gate import Gate
from pmpro_tui.web.server import WebServer

# Says how it was started, then every frame that it gets, as a screen's frame.
ECHO = r"""
import os, sys
def say(body):
    os.write(1, b"D" + len(body).to_bytes(4, "big") + body)
os.write(1, b"__GANGLION__\n")
say(f"{os.environ['COLUMNS']}x{os.environ['ROWS']} {sys.argv[1:]}".encode())
while head := sys.stdin.buffer.read(5):
    body = sys.stdin.buffer.read(int.from_bytes(head[1:], "big"))
    if b'"quit"' in body:
        break
    say(head[:1] + b":" + body)
    if b"die" in body:
        sys.exit("last words")
"""


class Browser:
    """Requests to one server; what it was given as a cookie it carries."""

    def __init__(self, session: aiohttp.ClientSession, server: TestServer, web: WebServer) -> None:
        self.session = session
        self.web = web
        self.host = f"127.0.0.1:{server.port}"
        self.origin = f"http://{self.host}"

    async def get(self, path: str, **headers: str) -> tuple[int, str, aiohttp.ClientResponse]:
        """Return status and text of an answer; nothing is followed."""
        url = f"http://{self.host}{path}"
        async with self.session.get(url, headers=headers, allow_redirects=False) as answer:
            return answer.status, await answer.text(), answer

    async def enter(self) -> None:
        """Use the link."""
        status, _, _ = await self.get(f"/?token={self.web.gate.token}")
        assert status == 200

    def console(self, query: str = "", **headers: str) -> Any:
        """Open a websocket, from the server's own page unless headers say otherwise."""
        given = {"Origin": self.origin} | headers
        kept = {name: value for name, value in given.items() if value}
        return self.session.ws_connect(f"http://{self.host}/ws{query}", headers=kept)

    async def refused(self, query: str = "", **headers: str) -> int:
        """Return the status that refuses a websocket; no console was started for it."""
        before = self.web.n_sessions
        try:
            async with self.console(query, **headers):
                raise AssertionError("it was opened")
        except aiohttp.WSServerHandshakeError as error:
            assert self.web.n_sessions == before
            return error.status


@asynccontextmanager
async def browser(
    *,
    sessions_max: int = 4,
    gate: Gate | None = None,
    code: str = ECHO,
    words: tuple[str, ...] = (),
) -> AsyncIterator[Browser]:
    """A browser that has not used its link, and the server behind it."""
    started = [sys.executable, "-P", "-c", code, *words]
    web = WebServer(gate or Gate(), started, sessions_max=sessions_max)
    async with (
        TestServer(web.app()) as server,
        # Without `unsafe` no cookie is kept for a host that is a number.
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
    ):
        yield Browser(session, server, web)
