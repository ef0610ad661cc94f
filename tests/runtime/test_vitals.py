"""A thread beside the engine's says what stands still, once each time, and that it goes on."""

from engine.child.output import NO_LOG
from engine.runtime.vitals import SILENT_S, Vitals
from engine.trading.events import EventLog


def test_a_terminal_host_that_sends_nothing_is_said() -> None:
    """Its heartbeats come every second, in a market at rest as well: without them nothing is
    marked or decided, although the link stands and nothing has failed."""
    events = EventLog(lambda: 0)
    silent_s = iter((1.0, SILENT_S, SILENT_S + 5.0, 0.5, 0.1, SILENT_S))
    vitals = Vitals(events, log=lambda: NO_LOG, turn_s=lambda: 0.0, feed_s=lambda: next(silent_s))
    for _ in range(6):
        vitals.look()
    said = [(e.level, e.source, e.text.partition(":")[0]) for e in events.newest()]
    assert said == [
        ("critical", "terminal", "the terminal host has sent nothing for 30 s"),
        ("warning", "terminal", "the terminal host sends again"),
        ("critical", "terminal", "the terminal host has sent nothing for 30 s"),
    ]
