"""The child that sends, against real servers that work, hang, refuse or fail."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from engine.notify.courier import MODULE, Carrier
from engine.notify.delivery import DeliveryResult
from engine.notify.message import Message
from engine.notify.records import Channel
from tests.notify.servers import closed_port, http_server, smtp_server

TOKEN = "123456789:AAFsecretTOKENsecretTOKEN12345678901"
MESSAGE = Message(title="pmpro demo: critical risk", body="CRITICAL <b> & 12 %", level="critical")
DEADLINE_S = 1.0

Make = Callable[..., Carrier]


@pytest.fixture
def carrier(tmp_path: Path) -> Iterator[Make]:
    """Return a maker of carriers by URL, ended by the test's end."""
    made: list[Carrier] = []

    def make(url: str, deadline_s: float = 30.0, module: str = MODULE) -> Carrier:
        channel = Channel(name="c", url=SecretStr(url))
        log = tmp_path / "alerts.log"
        made.append(Carrier(channel, deadline_s=deadline_s, log_path=log, module=module))
        return made[-1]

    yield make
    for one in made:
        one.kill()


def test_a_working_web_hook_gets_the_message_once(carrier: Make) -> None:
    """Title, text and severity arrive as they are."""
    with http_server() as server:
        assert carrier(f"json://127.0.0.1:{server.port}/T0KEN99").send(MESSAGE) == DeliveryResult(
            ok=True, detail="JSON"
        )
        path, body = server.next()
        assert server.got.empty()
    assert path == "/T0KEN99"
    assert (body["title"], body["message"], body["type"]) == (
        MESSAGE.title,
        MESSAGE.body,
        "failure",
    )


def test_a_working_mail_server_gets_the_message(carrier: Make) -> None:
    """A real SMTP conversation ends in a mail with subject and text."""
    with smtp_server() as server:
        url = f"mailto://127.0.0.1:{server.port}?from=a@example.com&to=ops@example.com"
        assert carrier(url).send(MESSAGE).ok
        text = server.next()
    assert f"Subject: {MESSAGE.title}" in text
    assert "To: ops@example.com" in text


def test_telegram_gets_what_its_own_plugin_makes_of_it(
    carrier: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apprise's plugin posts the escaped text to the bot's chat; only the address is ours."""
    with http_server() as server:
        monkeypatch.setenv("LOCAL_TELEGRAM_URL", f"http://127.0.0.1:{server.port}/bot")
        one = carrier(f"tgram://{TOKEN}/987654321", module="tests.notify.local_telegram")
        assert one.send(MESSAGE) == DeliveryResult(ok=True, detail="Telegram")
        path, body = server.next()
    assert path == f"/bot{TOKEN}/sendMessage"
    assert str(body["chat_id"]) == "987654321"
    assert MESSAGE.title in body["text"]
    assert "&lt;b&gt; &amp; 12 %" in body["text"]


@pytest.mark.parametrize("mode", ["hang", "drip"])
def test_a_hanging_channel_has_its_child_killed(carrier: Make, mode: str) -> None:
    """Within its deadline, also where every byte comes in time; the next message works again."""
    with http_server(mode) as server:
        one = carrier(f"json://127.0.0.1:{server.port}/T0KEN99", DEADLINE_S)
        assert one.check().ok  # the process is there: what follows is the channel's time
        began_s = time.monotonic()
        result = one.send(MESSAGE)
        took_s = time.monotonic() - began_s
        assert server.arrived.is_set()
        assert not result.ok
        assert "no answer within" in result.detail
        assert "killed" in result.detail
        assert 0.9 * DEADLINE_S <= took_s < DEADLINE_S + 5.0
        server.mode = "ok"
        assert one.send(MESSAGE).ok


def test_a_hanging_mail_server_has_its_child_killed(carrier: Make) -> None:
    """A server that accepts and says nothing takes the deadline and no more."""
    with smtp_server("hang") as server:
        url = f"mailto://127.0.0.1:{server.port}?from=a@example.com&to=ops@example.com"
        result = carrier(url, DEADLINE_S).send(MESSAGE)
        assert server.arrived.is_set()
    assert not result.ok
    assert "killed" in result.detail


def test_what_went_wrong_is_told_without_secrets(carrier: Make) -> None:
    """Refused, answered 500, unknown: each says so, none shows the token."""
    with http_server("fail") as server, smtp_server("refuse") as mail:
        told = {
            f"json://127.0.0.1:{server.port}/T0KEN99": "error=500",
            f"json://127.0.0.1:{closed_port()}/T0KEN99": "Connection error",
            f"mailto://ann:T0KEN99@127.0.0.1:{mail.port}?from=a@x.com&to=b@x.com&mode=insecure": (
                "failed"
            ),
            "nonsense://T0KEN99": "Unparseable",
            "tgram://T0KEN99": "Unparseable",
        }
        for url, words in told.items():
            result = carrier(url).send(MESSAGE)
            assert not result.ok
            assert words in result.detail
            assert "T0KEN99" not in result.detail


def test_a_child_that_dies_is_a_failed_try_and_no_more(carrier: Make) -> None:
    """The next message starts another one."""
    with http_server() as server:
        one = carrier(f"json://127.0.0.1:{server.port}/T0KEN99")
        assert one.check().ok
        assert one._child is not None
        one._child.kill()
        assert one.send(MESSAGE).ok
        assert not carrier("json://127.0.0.1:9/x", module="tests.no_such_module").send(MESSAGE).ok
