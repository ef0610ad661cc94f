"""Runs of refusals: one a slot and rule for as long as it goes on; the newest are kept."""

from engine.model.times import NS_PER_MINUTE
from engine.trading.pauses import RUNS_MAX, Refusals


def test_a_run_goes_on_while_the_same_rule_refuses() -> None:
    """Another rule, or a quarter of an hour without a refusal, begins a new one."""
    refusals = Refusals()
    for minute, rule in (
        (1, "SPREAD"),
        (2, "SPREAD"),
        (5, "SPREAD"),
        (6, "MARGIN"),
        (30, "MARGIN"),
    ):
        refusals.note(
            minute * NS_PER_MINUTE, [("a/X", rule), ("b/X", "HALTED")][: 1 + (minute < 3)]
        )
    runs = [
        (r.slot, r.rule, r.from_ns // NS_PER_MINUTE, r.to_ns // NS_PER_MINUTE)
        for r in refusals.since(0)
    ]
    assert runs == [
        ("a/X", "SPREAD", 1, 5),
        ("b/X", "HALTED", 1, 2),
        ("a/X", "MARGIN", 6, 6),
        ("a/X", "MARGIN", 30, 30),
    ]
    assert [r.rule for r in refusals.since(5 * NS_PER_MINUTE)] == ["MARGIN", "MARGIN"]


def test_they_are_bounded() -> None:
    """A rule that flickers for months takes no more memory."""
    refusals = Refusals()
    for n in range(RUNS_MAX + 7):
        refusals.note(n + 1, [("a/X", f"RULE{n % 2}")])
    assert len(refusals.since(0)) == RUNS_MAX
