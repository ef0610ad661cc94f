"""Nobody gets a console without the link, no other site's page ever does, nothing is left."""

import asyncio
import functools
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the extra `web` is not installed")
pytest.importorskip("textual_serve", reason="the extra `web` is not installed")

from pmpro_tui.web.gate import COOKIE, TOKEN_HOLDS_S, Gate
from tests.web.worlds import ECHO, Browser, browser


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an asynchronous test."""

    @functools.wraps(test)
    def run(**given: Any) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(60):
                await test(**given)

        asyncio.run(bounded())

    return run


PATHS = ("/", "/page.css", "/static/js/textual.js", "/nothing", "/?fontsize=20")


@on_a_loop
async def test_without_the_link_there_is_nothing() -> None:
    """Page, style, script, websocket, what is not there: 403 and a line without it."""
    async with browser() as b:
        for path in PATHS:
            status, text, _ = await b.get(path)
            assert (status, text.count("\n")) == (403, 1)
        assert await b.refused() == 403
        for token in ("", "x", b.web.gate.token[:-1], b.web.gate.token + "x", "é"):
            status, text, answer = await b.get(f"/?token={token}")
            assert status == 403
            assert COOKIE not in answer.cookies
        assert await b.refused(query=f"?token={b.web.gate.token}") == 403
        assert await b.refused(Cookie=f"{COOKIE}=x") == 403
        assert b.web.gate.n_refused == len(PATHS) + 8


@on_a_loop
async def test_the_link_works_once() -> None:
    """It gives a cookie that scripts cannot read and other sites' requests do not carry."""
    async with browser() as b:
        status, text, answer = await b.get(f"/?token={b.web.gate.token}")
        assert (status, b.web.gate.token in text) == (200, False)
        cookie = answer.cookies[COOKIE]
        assert cookie["httponly"]
        assert (cookie["samesite"], cookie["path"], cookie["domain"]) == ("Strict", "/", "")
        assert b.web.gate.token not in cookie.value
        for path in PATHS:
            assert (await b.get(path))[0] == (404 if path == "/nothing" else 200)
    async with browser(gate=b.web.gate) as other:
        status, text, _ = await other.get(f"/?token={other.web.gate.token}")
        assert (status, "start `pmpro web` anew" in text) == (403, True)
        assert await other.refused() == 403


@on_a_loop
async def test_an_old_link_is_none() -> None:
    """After ten minutes nobody may use it any more."""
    now_s = [0.0]
    async with browser(gate=Gate(lambda: now_s[0])) as b:
        now_s[0] = TOKEN_HOLDS_S + 1.0
        assert (await b.get(f"/?token={b.web.gate.token}"))[0] == 403
        assert await b.refused() == 403


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io:80", "x@localhost", "[::2]",
     "localhost:80:80", "10.0.0.1", "", 'localhost"><script>'],
)  # fmt: skip
@on_a_loop
async def test_a_stranger_s_name_is_refused(host: str) -> None:
    """A name that was made to point here opens nothing, with link and cookie or without."""
    async with browser() as b:
        status, _, answer = await b.get(f"/?token={b.web.gate.token}", Host=host)
        assert (status, COOKIE in answer.cookies) == (403, False)
        await b.enter()
        for path in PATHS:
            assert (await b.get(path, Host=host))[0] == 403
        assert await b.refused(Host=host, Origin=f"http://{host}") == 403


@on_a_loop
async def test_a_tunnel_s_end_may_have_another_port() -> None:
    """The names of the box itself are taken with any port; the page is asked back under it."""
    async with browser() as b:
        await b.enter()
        for host in ("localhost", "localhost:9999", "127.0.0.1:1", "[::1]:8765"):
            status, text, answer = await b.get("/", Host=host)
            assert (status, f"ws://{host}/ws" in text) == (200, True)
            assert f"ws://{host};" in answer.headers["Content-Security-Policy"]


@on_a_loop
async def test_a_foreign_page_is_refused() -> None:
    """Another site, another port of this box, a file, no page at all: no console, no page."""
    async with browser() as b:
        await b.enter()
        port = int(b.host.rpartition(":")[2])
        for origin in (
            "https://evil.example", "null", f"https://{b.host}", f"http://{b.host}.evil.example",
            f"http://127.0.0.1:{port + 1}", f"http://localhost:{port}",
        ):  # fmt: skip
            assert await b.refused(Origin=origin) == 403
            assert (await b.get("/", Origin=origin))[0] == 403
        assert await b.refused(Origin="") == 403
        async with b.console() as page:
            assert (await page.receive_bytes()).startswith(b"80x24")


@on_a_loop
async def test_answers_tell_the_browser_to_take_nothing_from_elsewhere() -> None:
    """No frame, no cache, no script but ours; the page names no address but its own."""
    async with browser() as b:
        refused = await b.get("/")
        await b.enter()
        status, text, page = await b.get("/")
        for answer in (refused[2], page):
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'; script-src 'self';" in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert "Access-Control-Allow-Origin" not in answer.headers
        assert status == 200
        assert "https://" not in text
        assert text.count("http") == 0
        assert "https://" not in (await b.get("/page.css"))[1]


async def echoed(page: Any, *message: Any) -> bytes:
    await page.send_str(json.dumps(message))
    got: bytes = await page.receive_bytes(timeout=10)
    return got


@on_a_loop
async def test_a_console_gets_keys_size_and_focus_and_its_screen_is_passed_on() -> None:
    """As they were typed; numbers that no screen has are cut; what the link said is not passed."""
    async with browser(words=("--readonly",)) as b:
        await b.enter()
        async with b.console("?width=120&height=99999&token=x") as page:
            assert await page.receive_bytes() == b"120x1000 ['--readonly']"
            assert await echoed(page, "stdin", "é\x1b[A") == "D:é\x1b[A".encode()
            sized = await echoed(page, "resize", {"width": 0, "height": 10**9})
            assert sized == b'M:{"type": "resize", "width": 1, "height": 1000}'
            assert await echoed(page, "blur") == b'M:{"type": "blur"}'
            await page.send_str('["ping", 7]')
            assert await page.receive_str() == '["pong", 7]'
        await gone(b)


async def gone(b: Browser, left: int = 0) -> None:
    """Wait until no more than so many consoles are left."""
    while b.web.n_sessions > left:  # noqa: ASYNC110  (bounded by each test)
        await asyncio.sleep(0.01)


MESSAGES = {
    "empty": "",
    "no-json": "no json",
    "number": "7",
    "object": "{}",
    "nothing": "[]",
    "no-keys": '["stdin"]',
    "odd-keys": '["stdin", 7]',
    "odd-size": '["resize", {"width": "1"}]',
    "unknown": '["quit"]',
    "deep": "[" * 50_000,
    "huge": "x" * 70_000,
    "bytes": b"bytes",
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
@on_a_loop
async def test_what_is_no_message_ends_that_console_alone(message: str | bytes) -> None:
    """Malformed, huge, unknown: the websocket closes, its child ends, others go on."""
    async with browser() as b:
        await b.enter()
        async with b.console() as other:
            await other.receive_bytes()
            async with b.console() as page:
                await page.receive_bytes()
                await (page.send_bytes if isinstance(message, bytes) else page.send_str)(message)
                while not page.closed:
                    await page.receive(timeout=10)
                assert page.close_code in (1008, 1009)
            assert await echoed(other, "stdin", "x") == b"D:x"


@on_a_loop
async def test_consoles_are_capped() -> None:
    """One more is refused before anything is started; one that closes makes room."""
    async with browser(sessions_max=2) as b:
        await b.enter()
        async with b.console() as first, b.console() as second:
            await first.receive_bytes()
            await second.receive_bytes()
            assert await b.refused() == 503
            await first.close()
            await gone(b, left=1)
            async with b.console() as third:
                assert (await third.receive_bytes()).startswith(b"80x24")


STUCK = ECHO + "\nimport signal\n" + "while True: signal.pause()"


@on_a_loop
async def test_a_console_that_ends_closes_its_page_and_one_that_hangs_is_killed() -> None:
    """Whoever ends first, page or console: nothing of the other is left."""
    async with browser() as b:
        await b.enter()
        async with b.console() as page:
            await page.receive_bytes()
            await echoed(page, "stdin", "die")
            while not page.closed:
                await page.receive(timeout=10)
        await gone(b)
    async with browser(code=STUCK) as b:
        await b.enter()
        async with b.console() as page:
            await page.receive_bytes()
        await gone(b)


@on_a_loop
async def test_a_console_that_cannot_start_closes_its_page() -> None:
    """Its last words are in the log; the place is free again."""
    async with browser(code="raise SystemExit('no engine answers')") as b:
        await b.enter()
        async with b.console() as page:
            while not page.closed:
                await page.receive(timeout=10)
        await gone(b)
