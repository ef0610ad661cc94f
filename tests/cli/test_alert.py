"""`pmpro alert`: what is shown, what reaches the engine."""

import json
from pathlib import Path

import pytest

from engine.model.views.snapshot import AlertView, ChannelView
from tests.cli.conftest import Pmpro
from tests.cli.test_engine import AnsweringEngine, engine, sent
from tests.control.control_engine import START_NS, make_snapshot
from tests.notify.servers import closed_port, http_server

__all__ = ["engine"]

OPEN = AlertView(
    id=8,
    time_ns=START_NS,
    level="critical",
    source="reconcile",
    text="position 7 is not at the terminal",
    n=3,
    delivery="HELD until 07:00",
)
CLOSED = AlertView(
    id=7, time_ns=START_NS, level="error", source="ma", text="bad", acked_by="ann", acked_ns=1
)


def test_alerts_are_listed_for_people_and_machines(engine: AnsweringEngine, pmpro: Pmpro) -> None:
    """The list says what it was, how often, whether it got out, and who has seen it."""
    engine.current = make_snapshot(
        2,
        alerts=(OPEN, CLOSED),
        n_unacked_critical=1,
        channels=(ChannelView(name="mail", state="FAILING", detail="refused"),),
    )
    document = json.loads(pmpro("alert", "list", "--json").stdout)
    assert [alert["id"] for alert in document["alerts"]] == [8, 7]
    assert document["n_unacked_critical"] == 1
    text = pmpro("alert", "list").stdout
    for part in ("critical", "reconcile", "HELD until", "ann", "FAILING", "refused"):
        assert part in text
    assert len(json.loads(pmpro("alert", "list", "-n", "1", "--json").stdout)["alerts"]) == 1


@pytest.mark.parametrize("target", ["8", "all"])
def test_an_acknowledgement_reaches_the_engine(
    target: str, engine: AnsweringEngine, pmpro: Pmpro
) -> None:
    """It asks nothing, and names what was meant."""
    done = pmpro("alert", "ack", target, "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"ok": True, "text": "done"})
    assert sent(engine) == [("ack", target)]


def channels(home: Path, monkeypatch: pytest.MonkeyPatch, **urls: str) -> None:
    """Name these channels in a private file."""
    file = home / "alerts.urls"
    file.write_text("".join(f"{name} = {url}\n" for name, url in urls.items()))
    file.chmod(0o600)
    monkeypatch.setenv("PMPRO_ALERTS__URLS_FILE", str(file))


def test_each_channel_is_tried_and_tells_what_came_back(
    home: Path, pmpro: Pmpro, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One works, one answers 500, one refuses: three rows, exit code 1, no token, no engine."""
    with http_server() as works, http_server("fail") as fails:
        channels(
            home,
            monkeypatch,
            hook=f"json://127.0.0.1:{works.port}/T0KEN99",
            broken=f"json://127.0.0.1:{fails.port}/T0KEN99",
            gone=f"json://127.0.0.1:{closed_port()}/T0KEN99",
        )
        done = pmpro("--debug", "alert", "test", "--json")
        assert works.next()[1]["title"] == "pmpro demo: test"
        table = pmpro("alert", "test", "hook")
    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert not document["ok"]
    assert [(c["channel"], c["ok"]) for c in document["channels"]] == [
        ("hook", True),
        ("broken", False),
        ("gone", False),
    ]
    assert "error=500" in document["channels"][1]["detail"]
    assert (table.returncode, table.stderr) == (0, "")
    assert "SENT" in table.stdout
    for text in (done.stdout, done.stderr, table.stdout):
        assert "T0KEN99" not in text


def test_trying_needs_a_channel(home: Path, pmpro: Pmpro, monkeypatch: pytest.MonkeyPatch) -> None:
    """None, another name, a file that others may read: one line that says what to do."""
    assert "alerts.urls_file" in pmpro("alert", "test").stderr
    channels(home, monkeypatch, hook="json://127.0.0.1:9/T0KEN99")
    done = pmpro("alert", "test", "fax")
    assert (done.returncode, done.stderr) == (2, "pmpro: no channel is named 'fax': hook\n")
    (home / "alerts.urls").chmod(0o644)
    done = pmpro("alert", "test")
    assert done.returncode == 2
    assert "chmod 600" in done.stderr


def test_the_doctor_checks_channels_without_sending(
    home: Path, pmpro: Pmpro, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the service, or says that the URL is none; nothing leaves the box."""

    def found() -> dict[str, str]:
        checks = json.loads(pmpro("doctor", "--json").stdout)["checks"]
        return next(check for check in checks if check["check"] == "alerts")

    assert found()["finding"] == "no channel: alerts are shown in the console alone"
    with http_server() as server:
        channels(home, monkeypatch, hook=f"json://127.0.0.1:{server.port}/T0KEN99")
        assert found()["status"] == "ok"
        assert "hook (JSON)" in found()["finding"]
        assert not server.arrived.is_set()
    channels(home, monkeypatch, chat="tgram://T0KEN99")
    assert found()["status"] == "fail"
    assert "T0KEN99" not in found()["finding"]
