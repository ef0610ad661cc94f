"""What people read."""

from engine.notify.message import LINES_MAX, compose
from tests.notify.bench import DeskBench


def test_one_alert_is_one_line_that_says_everything() -> None:
    """Whose, how bad, when, what, how often, and how to answer."""
    bench = DeskBench()
    bench.event("critical", "journal", "disk\n full", n=3)
    message = compose("pmpro live 7", list(bench.desk.alerts.values()))
    assert message.title == "pmpro live 7: critical journal"
    assert message.body.splitlines() == [
        "CRITICAL 2026-11-25T12:00:00Z journal: disk full (3 times)",
        "acknowledge: `pmpro alert ack 1`",
    ]


def test_a_digest_is_short_and_the_worst_stands_first() -> None:
    """Fifty alerts fit a message: counts in the title, the rest in a number."""
    bench = DeskBench()
    for number in range(50):
        bench.event("error", f"book-{number}", "x" * 1000)
    bench.event("critical", "risk")
    bench.desk.alerts[51].escalations = 1
    message = compose("pmpro demo", list(bench.desk.alerts.values()))
    lines = message.body.splitlines()
    assert message.title == "pmpro demo: 1 critical, 50 errors"
    assert lines[0].startswith("CRITICAL NOT ACKNOWLEDGED")
    assert lines[LINES_MAX] == f"and {51 - LINES_MAX} more: `pmpro alert list` shows them"
    assert len(message.body) < 4000
