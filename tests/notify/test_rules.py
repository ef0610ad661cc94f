"""Which events raise alerts, and where they go."""

from engine.notify.records import AlertRule
from tests.notify.bench import DeskBench, channel


def test_without_rules_errors_and_worse_go_everywhere() -> None:
    """A channel alone is a sensible configuration."""
    bench = DeskBench(channel("mail"), channel("chat"))
    for level in ("debug", "info", "warning", "error", "critical"):
        bench.event(level, text=level)
    bench.gather()
    assert [texts for _, _, texts in bench.sent] == 2 * [["1 error", "1 critical"]]


def test_the_first_rule_that_fits_decides() -> None:
    """By level, source and text; an empty list of channels means the console alone."""
    rules = [
        AlertRule(name="mute", source="eur*", text="*requote*", channels=()),
        AlertRule(name="eur", level="warning", source="eur*", channels=("chat",)),
        AlertRule(name="rest", channels=("mail",)),
    ]
    bench = DeskBench(channel("mail"), channel("chat"), rules=rules)
    bench.event("error", "eur-ma", "requote 10004")
    bench.event("warning", "eur-ma", "late")
    bench.event("error", "gbp-ma", "gone")
    bench.event("warning", "gbp-ma", "late")
    bench.gather()
    assert [(name, texts) for _, name, texts in bench.sent] == [
        ("mail", ["1 gone"]),
        ("chat", ["1 late"]),
    ]
    assert bench.views()[-1].delivery == "NONE"


def test_a_critical_event_is_an_alert_whatever_the_rules_say() -> None:
    """What no rule foresaw goes everywhere, and no rate holds it back."""
    rules = [AlertRule(name="books", source="book-*", count=100)]
    bench = DeskBench(channel("mail"), channel("chat"), rules=rules)
    bench.event("critical", "journal")
    bench.event("critical", "book-1")
    bench.gather()
    assert bench.channels_sent() == ["mail", "chat"]
    assert {view.source for view in bench.views()} == {"journal", "book-1"}


def test_a_rate_must_be_reached_within_its_time() -> None:
    """Single warnings are life, five within a minute are an alert that says so."""
    rules = [AlertRule(name="warnings", level="warning", count=5, within_s=60)]
    bench = DeskBench(rules=rules)
    for _ in range(20):
        bench.event("warning", text="late")
        bench.run(20)
    assert bench.views() == ()
    bench.event("warning", text="late", n=2)
    assert [view.n for view in bench.views()] == [5]
    bench.event("warning", text="late")
    assert [view.n for view in bench.views()] == [6]
