"""Which events raise alerts: the first rule that fits, once its rate is reached."""

from collections import deque
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

from engine.model.times import NS_PER_S
from engine.model.views.snapshot import EventView
from engine.notify.records import CRITICAL, RANKS, AlertRule

DEFAULT_RULES: Final = (AlertRule(name="errors", level="error"),)
# A critical event that no rule wants is an alert all the same.
UNFORESEEN: Final = AlertRule(name="critical", level="critical")
# Once a day, to be kept where the owner of this box's database cannot change it.
AUDIT_HEAD: Final = AlertRule(name="audit head", level="info", source="audit", text="audit head *")


class Rulebook:
    """The rules in their order, and how often each has lately fitted. Without any: the default."""

    def __init__(self, rules: Sequence[AlertRule]) -> None:
        self._rules = tuple(rules) or DEFAULT_RULES
        self._seen: dict[str, deque[int]] = {rule.name: deque() for rule in self._rules}
        self._least = min(RANKS[rule.level] for rule in self._rules)

    def may_fit(self, event: EventView) -> bool:
        """Tell whether an event can raise an alert at all; any thread."""
        level = event.level
        return level == CRITICAL or RANKS[level] >= self._least or _fits(AUDIT_HEAD, event)

    def rule(self, name: str) -> AlertRule:
        """Return a rule by its name; one of a former configuration is the default."""
        return next((rule for rule in (*self._rules, AUDIT_HEAD) if rule.name == name), UNFORESEEN)

    def match(self, event: EventView) -> AlertRule | None:
        """Return the rule that an event falls under."""
        found = next((rule for rule in (*self._rules, AUDIT_HEAD) if _fits(rule, event)), None)
        return UNFORESEEN if found is None and event.level == CRITICAL else found

    def reached(self, rule: AlertRule, event: EventView, now_ns: int) -> int:
        """Count an event; return how many have come in time when they are enough, else 0."""
        if rule.count <= 1 or event.level == CRITICAL:
            return 1
        seen = self._seen[rule.name]
        seen.append(now_ns)
        while seen[0] < now_ns - rule.within_s * NS_PER_S:
            seen.popleft()
        if len(seen) < rule.count:
            return 0
        n = len(seen)
        seen.clear()
        return n


def _fits(rule: AlertRule, event: EventView) -> bool:
    return (
        RANKS[event.level] >= RANKS[rule.level]
        and fnmatchcase(event.source, rule.source)
        and fnmatchcase(event.text, rule.text)
    )
