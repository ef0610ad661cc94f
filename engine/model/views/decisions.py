"""What an entry was decided on: every rule's value and limit, the votes, the steps of its size.

Written down with the intent, so that any order can be explained later; compact on disk.
"""

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from engine.model.reasons import Refusal, RuleGroup

# The rules of each group, in the order in which they are asked.
STATE_RULES: Final = tuple(rule for rule in Refusal if rule.group is RuleGroup.STATE)
SIZE_RULES: Final = tuple(rule for rule in Refusal if rule.group is RuleGroup.SIZE)
ORDER_RULES: Final = tuple(rule for rule in Refusal if rule.group is RuleGroup.ORDER)


class Vote(msgspec.Struct, frozen=True, array_like=True):
    """A member's word at a decision; `entry_share` is its part of the position, 0 for dissent."""

    strategy: str
    votes: bool
    direction: int
    confidence: float
    share: float
    entry_share: float


class Sizing(msgspec.Struct, frozen=True, array_like=True):
    """The steps from what a method asks for to lots; None for what is not there or not reached.

    Distances in price units. `lots` is `wanted_lots` × `allocation` × `tier_factor`, rounded down
    to `step_lots`, at most the symbol's largest volume.
    """

    method: str
    equity_ccy: float
    stop_distance: float | None
    target_distance: float | None
    wanted_lots: float | None
    allocation: float
    tier_factor: float
    step_lots: float
    lots: float | None


class Rule(NamedTuple):
    """What a rule said: it refuses unless `value` keeps to `limit`; inf is no limit."""

    name: str
    value: float
    limit: float
    headroom: float
    ok: bool


class Decision(msgspec.Struct, frozen=True, array_like=True):
    """An entry's decision. `refusal` names the rule that refused, 0 for none.

    `checks` are float64 (n rules, 2), little-endian: value and limit by Refusal; those beyond the
    refusing rule's group were not asked. Prices are 0 for none. `code` is the hash of the sources
    that decided.
    """

    refusal: int
    direction: int
    price: float
    stop: float
    target: float
    checks: bytes
    votes: tuple[Vote, ...]
    sizing: Sizing
    code: str = ""

    def rules(self) -> list[Rule]:
        """Return what the rules said that were asked, in the order they were asked."""
        return read_rules(self.checks)

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it: `rules` {name: [value, limit]}, `votes`, `sizing`, `order`."""
        return {
            "refusal": Refusal(self.refusal).name.lower() if self.refusal else None,
            "rules": {rule.name: [rule.value, rule.limit] for rule in self.rules()},
            "votes": [msgspec.structs.asdict(vote) for vote in self.votes],
            "sizing": msgspec.structs.asdict(self.sizing),
            "code": self.code,
            "order": {
                "direction": "BUY" if self.direction > 0 else "SELL",
                "lots": self.sizing.lots,
                "price": self.price,
                "stop": self.stop or None,
                "target": self.target or None,
            },
        }


def read_rules(checks: bytes) -> list[Rule]:
    """Return what the rules said that were asked, in the order they were asked.

    `checks` as in `Decision`: who refuses ends the asking with its group.
    """
    pairs = np.frombuffer(checks, "<f8").reshape(-1, 2).tolist()
    asked: list[Rule] = []
    for group in (STATE_RULES, SIZE_RULES, ORDER_RULES):
        asked += (_rule(rule, *pairs[rule]) for rule in group if rule < len(pairs))
        if not all(rule.ok for rule in asked):
            break
    return asked


def judged(document: Mapping[str, Any]) -> list[Rule]:
    """Return the rules of a `Decision.document` in the order they were asked.

    JSON has neither infinity nor an order: a missing limit is none, a missing distance is endless,
    any other missing value is unknown.
    """
    found = document["rules"]
    out = []
    for rule in (*STATE_RULES, *SIZE_RULES, *ORDER_RULES):
        if (pair := found.get(rule.name.lower())) is not None:
            unknown = math.inf if rule == Refusal.STOP_TOO_CLOSE else math.nan
            value, limit = pair
            value = unknown if value is None else value
            out.append(_rule(rule, value, math.inf if limit is None else limit))
    return out


def _rule(rule: Refusal, value: float, limit: float) -> Rule:
    # Two limits are the least allowed; the others are the most.
    if rule == Refusal.STOP_TOO_CLOSE:
        return Rule(rule.name.lower(), value, limit, value - limit, value > limit)
    if rule == Refusal.VOLUME_BELOW_MIN:
        return Rule(rule.name.lower(), value, limit, value - limit, value > 0.0)
    return Rule(rule.name.lower(), value, limit, limit - value, value <= limit)
