"""Alerts beside the engine: events come in by a queue that never waits, a thread does the rest."""

import queue
import sqlite3
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import structlog

from engine.model.times import NS_PER_MINUTE
from engine.model.views.snapshot import EventView
from engine.notify.courier import MODULE, Carrier, Courier
from engine.notify.delivery import DeliveryResult
from engine.notify.desk import AlertRegister
from engine.notify.message import compose
from engine.notify.records import CRITICAL, AlertConfig
from engine.notify.store import AlertStore
from engine.notify.views import AlertsView, seen

log = structlog.get_logger(__name__)

EVENTS_MAX: Final = 1_000
# Room that only critical events may use.
CRITICALS_MAX: Final = 1_000
LOOK_S: Final = 1.0
# Events of a burst are taken, and written to the disk, together.
BURST_S: Final = 0.2
STOP_S: Final = 3.0


class AlertService:
    """Turns events into alerts, has them delivered and keeps them.

    `head` begins every message; `tell` hears, with a level, whether alerts are kept.
    """

    def __init__(
        self,
        config: AlertConfig,
        path: Path,
        *,
        log_path: Path,
        now_ns: Callable[[], int],
        head: str,
        module: str = MODULE,
        tell: Callable[[str, str], object] = lambda level, text: None,
    ) -> None:
        self._now_ns = now_ns
        self._head = head
        self._tell = tell
        self._register = AlertRegister(config, now_ns)
        self._may_alert = self._register.rulebook.may_fit
        self._store = AlertStore(path)
        self._register.load(self._store.loaded)
        self._lock = threading.Lock()
        self._events: queue.SimpleQueue[EventView] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[str, DeliveryResult]] = queue.SimpleQueue()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._n_lost = 0
        self._unsaved = self._failed = ""
        self._seen = AlertsView()
        self._couriers: Mapping[str, Courier] = {
            channel.name: Courier(
                channel.name,
                Carrier(
                    channel,
                    deadline_s=config.policy.deadline_s,
                    log_path=log_path,
                    module=module,
                ),
                self._take_result,
            )
            for channel in config.channels
        }
        self._seen_of = (-1, 0, 0)
        self._show()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    @property
    def seen(self) -> AlertsView:
        """What snapshots show; any thread."""
        return self._seen

    def start(self) -> None:
        """Begin; what an earlier life left goes out."""
        self._thread.start()

    def offer(self, event: EventView) -> None:
        """Take an event; any thread, never waits. What finds no room is counted."""
        if not self._may_alert(event):
            return
        room = EVENTS_MAX + (CRITICALS_MAX if event.level == CRITICAL else 0)
        if self._events.qsize() >= room:
            self._n_lost += 1
            return
        self._events.put(event)
        self._wake.set()

    def ack(self, target: str, who: str, up_to: int = 0) -> str:
        """Acknowledge an alert or all (with an id up to `up_to`); any thread but the engine's.

        Raises:
            UserError: there is no such alert.
        """
        with self._lock:
            text = self._register.ack(target, who, up_to)
            self._save()
            self._show()
        return f"{text}; not on disk: {self._unsaved}" if self._unsaved else text

    def stop(self) -> None:
        """Hand over what waits, give it STOP_S, and end; what is left goes at the next start."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(2 * STOP_S)
        for courier in self._couriers.values():
            courier.close()
        if self._lock.acquire(timeout=STOP_S):  # a disk that hangs is left alone
            self._store.close()
            self._lock.release()

    def _take_result(self, channel: str, result: DeliveryResult) -> None:
        self._results.put((channel, result))
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(LOOK_S)
            self._stopping.wait(BURST_S)
            self._wake.clear()
            self._guarded_turn(hurry=False)
        self._finish()

    def _finish(self) -> None:
        self._guarded_turn(hurry=True)
        for _ in range(int(STOP_S / BURST_S)):
            if not self._register.sending:
                return
            self._wake.wait(BURST_S)
            self._wake.clear()
            self._guarded_turn(hurry=True)

    def _guarded_turn(self, *, hurry: bool) -> None:
        try:
            self._turn(hurry=hurry)
        except Exception as error:  # border: thread; the next turn goes on with what there is
            log.error("alerts_failed", error=f"{type(error).__name__}: {error}")
            self._n_lost += 1
            # By name alone: its text may have an address in it. Once, as its event comes here too.
            if self._failed != (name := type(error).__name__):
                self._failed = name
                self._tell("critical", f"alerts fail inside, {name}: some may not go out")
        else:
            self._failed = ""

    def _turn(self, *, hurry: bool) -> None:
        with self._lock:
            for _ in range(self._results.qsize()):
                channel, result = self._results.get()
                self._register.done(channel, ok=result.ok, detail=result.detail)
            for _ in range(self._events.qsize()):
                self._register.take(self._events.get())
            batches = self._register.turn(hurry=hurry)
            self._save()
            messages = [(batch.channel, compose(self._head, batch.alerts)) for batch in batches]
            self._show()
        for channel, message in messages:
            self._couriers[channel].post(message)

    def _save(self) -> None:
        """Write what changed; what cannot be written is tried again with the next change."""
        changed, forgotten = self._register.take_changes()
        try:
            self._store.save(changed, forgotten)
            if self._unsaved:
                self._tell("info", "alerts are kept on the disk again")
            self._unsaved = ""
        except sqlite3.Error as error:
            self._register.keep_changes(changed, forgotten)
            if not self._unsaved:
                log.error("alerts_not_saved", error=str(error))
                text = f"{self._store.path}: {error}: alerts go out and are not kept over a restart"
                self._tell("error", text)
            self._unsaved = str(error)

    def _show(self) -> None:
        """Make a new picture if something changed; a minute is what quiet hours are told in."""
        now_ns = self._now_ns()
        of = (self._register.n_changes, self._n_lost, now_ns // NS_PER_MINUTE)
        if of != self._seen_of:
            self._seen_of = of
            self._seen = seen(self._register, now_ns, self._n_lost)
