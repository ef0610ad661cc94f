"""Alerts beside an engine: threads, children and files as they are, servers of the test's."""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from engine.model.times import NS_PER_HOUR, NS_PER_MINUTE
from engine.model.views.snapshot import EventView
from engine.notify.courier import MODULE
from engine.notify.records import AlertConfig, AlertRule, Channel, Policy
from engine.notify.service import CRITICALS_MAX, EVENTS_MAX, STOP_S, AlertService
from engine.notify.views import AlertsView
from tests.notify.bench import NOON_NS
from tests.notify.servers import http_server

WAIT_S = 30.0
_seq = itertools.count(1)


class Clock:
    """Stands until it is told."""

    def __init__(self) -> None:
        self.now_ns = NOON_NS

    def __call__(self) -> int:
        return self.now_ns


Make = Callable[..., AlertService]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(tmp_path: Path, clock: Clock) -> Iterator[Make]:
    """Return a maker of services on one directory, by the URLs of their channels."""
    made: list[AlertService] = []

    def make(*urls: str, deadline_s: float = 20.0, module: str = MODULE) -> AlertService:
        config = AlertConfig(
            rules=(AlertRule(name="all", level="warning"),),
            channels=tuple(Channel(name=f"c{n}", url=SecretStr(u)) for n, u in enumerate(urls)),
            policy=Policy(deadline_s=deadline_s),
        )
        one = AlertService(
            config,
            tmp_path / "alerts.sqlite",
            log_path=tmp_path / "alerts.log",
            now_ns=clock,
            head="pmpro demo",
            module=module,
        )
        made.append(one)
        return one

    yield make
    for one in made:
        one.stop()


def event(level: str = "error", text: str = "bad", source: str = "risk") -> EventView:
    return EventView(seq=next(_seq), time_ns=NOON_NS, level=level, source=source, text=text)


def until(service: AlertService, found: Callable[[AlertsView], bool]) -> AlertsView:
    end_s = time.monotonic() + WAIT_S
    while not found(service.seen):
        assert time.monotonic() < end_s, service.seen
        time.sleep(0.01)
    return service.seen


def raised(service: AlertService, clock: Clock, *events: EventView) -> None:
    """Have events become alerts, then let the time pass in which a burst is gathered."""
    n = len(service.seen.alerts)
    for one in events:
        service.offer(one)
    until(service, lambda seen: len(seen.alerts) >= n + len(events))
    clock.now_ns += NS_PER_MINUTE


def test_an_event_is_delivered_shown_and_acknowledged(service: Make, clock: Clock) -> None:
    """From the queue to the server and back into what consoles see."""
    with http_server() as server:
        one = service(f"json://127.0.0.1:{server.port}/T0KEN99")
        one.start()
        raised(one, clock, event("critical", "disk full"))
        _, body = server.next()
        assert body["title"] == "pmpro demo: critical risk"
        seen = until(one, lambda seen: seen.alerts[0].delivery.startswith("SENT"))
        assert seen.n_unacked_critical == 1
        assert seen.channels[0].state == "OK"
        one.ack("1", "ann")
        assert one.seen.alerts[0].acked_by == "ann"
        assert one.seen.n_unacked_critical == 0


def test_a_restart_sends_what_is_left_and_only_that(service: Make, clock: Clock) -> None:
    """What a failing channel did not take goes out in the next life; what it took does not."""
    with http_server() as works, http_server("fail") as fails:
        urls = [f"json://127.0.0.1:{server.port}/T0KEN99" for server in (works, fails)]
        first = service(*urls)
        first.start()
        raised(first, clock, event())
        works.next()
        until(first, lambda seen: seen.channels[1].state == "FAILING")
        until(first, lambda seen: seen.channels[0].n_waiting == 0)
        first.stop()

        fails.mode = "ok"
        second = service(*urls)
        assert second.seen.alerts[0].text == "bad"
        second.start()
        fails.next()
        until(second, lambda seen: seen.alerts[0].delivery == "SENT c0, c1")
        assert works.got.empty()


def test_a_queue_that_nobody_empties_costs_the_engine_nothing(service: Make) -> None:
    """Its bound holds, what found no room is counted and shown; criticals have their own room."""
    one = service()
    with one._lock:  # whoever holds this, the engine does not wait for it
        for _ in range(EVENTS_MAX + 7):
            one.offer(event("error"))
        for number in range(CRITICALS_MAX + 5):
            one.offer(event("critical", source=f"book-{number}"))
        one.offer(event("info"))
        assert one._events.qsize() == EVENTS_MAX + CRITICALS_MAX
    one.start()
    seen = until(one, lambda seen: seen.n_lost >= 12)
    assert seen.n_unacked_critical > 0
    assert seen.n_lost >= 12


def test_stopping_does_not_wait_for_a_channel_that_hangs(service: Make, clock: Clock) -> None:
    """The end is bounded, the message is not lost, and no child is left."""
    with http_server("hang") as server:
        url = f"json://127.0.0.1:{server.port}/T0KEN99"
        one = service(url)
        one.start()
        raised(one, clock, event("critical"))
        assert server.arrived.wait(WAIT_S)
        child = one._couriers["c0"]._carrier._child
        assert child is not None
        began_s = time.monotonic()
        one.stop()
        assert time.monotonic() - began_s < 3 * STOP_S
        assert not child.alive
        server.mode = "ok"
        again = service(url)
        again.start()
        server.next()


def test_what_is_raised_last_still_leaves(service: Make) -> None:
    """An engine that ends right after a critical event has it sent, gathered or not."""
    with http_server() as server:
        one = service(f"json://127.0.0.1:{server.port}/T0KEN99")
        one.start()
        one.offer(event("critical", "account is another one"))
        one.stop()
        assert "account is another one" in server.next()[1]["message"]


def test_a_disk_that_fails_stops_no_alert(service: Make, clock: Clock) -> None:
    """It is delivered all the same, acknowledging says what is missing."""
    with http_server() as server:
        one = service(f"json://127.0.0.1:{server.port}/T0KEN99")
        one._store.close()
        one.start()
        raised(one, clock, event("critical"))
        server.next()
        assert "not on disk" in one.ack("1", "ann")
        assert one.seen.alerts[0].acked_by == "ann"


def test_a_damaged_file_is_set_aside(service: Make, tmp_path: Path) -> None:
    """Yesterday's alerts keep no engine from starting; the file stays for who wants to look."""
    (tmp_path / "alerts.sqlite").write_bytes(b"x" * 5000)
    one = service()
    one.start()
    one.offer(event())
    until(one, lambda seen: len(seen.alerts) == 1)
    assert (tmp_path / "alerts.sqlite.damaged").read_bytes() == b"x" * 5000


def test_a_disk_that_cannot_be_opened_leaves_alerts_working(service: Make, tmp_path: Path) -> None:
    """It is no damage: what lies there is not touched, and today's alerts go on without it."""
    (tmp_path / "alerts.sqlite").mkdir()
    one = service()
    one.start()
    one.offer(event())
    until(one, lambda seen: len(seen.alerts) == 1)
    assert "not on disk" in one.ack("1", "ann")
    assert [path.name for path in tmp_path.iterdir()] == ["alerts.sqlite"]


def test_no_secret_of_telegram_is_written_anywhere(
    service: Make,
    clock: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Whether it works, fails or hangs: not in logs, files, views, output or the process list."""
    secret = "AAFsecretTOKENsecretTOKEN12345678901"
    url = f"tgram://123456789:{secret}/987654321"
    with http_server("fail") as server:
        monkeypatch.setenv("LOCAL_TELEGRAM_URL", f"http://127.0.0.1:{server.port}/bot")
        one = service(url, deadline_s=2.0, module="tests.notify.local_telegram")
        one.start()
        raised(one, clock, event("critical", "one"))
        until(one, lambda seen: "error=500" in seen.channels[0].detail)
        server.mode = "hang"
        clock.now_ns += NS_PER_HOUR
        until(one, lambda seen: "killed" in seen.channels[0].detail)
        server.mode = "ok"
        clock.now_ns += NS_PER_HOUR
        assert secret in server.next()[0]
        child = one._couriers["c0"]._carrier._child
        assert child is not None
        seen_of_process = Path(f"/proc/{child.pid}/cmdline").read_bytes()
        until(one, lambda seen: seen.alerts[0].delivery == "SENT c0")
        shown = repr(one.seen)
        one.stop()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    printed = "".join(capfd.readouterr())
    assert b"WARNING apprise: " in written
    assert b"DEBUG" not in written
    for text in (written, seen_of_process, shown.encode(), printed.encode()):
        assert secret.encode() not in text
        assert b"987654321" not in text


def test_a_turn_that_fails_inside_is_said_once_and_counted(service: Make, clock: Clock) -> None:
    """Whoever would have been alerted must hear from somewhere that he may not be."""
    one = service()
    told: list[tuple[str, str]] = []
    one._tell = lambda level, text: told.append((level, text))
    works = one._register.turn

    def fails(*, hurry: bool) -> Any:
        raise KeyError("secret")

    one._register.turn = fails  # type: ignore[method-assign]
    for _ in range(3):
        one._guarded_turn(hurry=False)
    assert told == [("critical", "alerts fail inside, KeyError: some may not go out")]
    one._register.turn = works  # type: ignore[method-assign]
    one._guarded_turn(hurry=False)
    assert one.seen.n_lost == 3
    one._register.turn = fails  # type: ignore[method-assign]
    one._guarded_turn(hurry=False)
    assert len(told) == 2
