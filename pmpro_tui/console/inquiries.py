"""Details that a screen asks the engine for: the last answers, and what is under way.

A screen says with each drawing what it shows and how old that may be; asked is only what is
missing or too old, a few questions at once, each under its own deadline. Old answers stay on the
screen with their age until newer ones come.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from engine.model.errors import PmproError
from engine.model.times import NS_PER_S
from engine.model.views.details import Detail, Question
from pmpro_tui.console.draw.text import age

KEPT = 32
UNDER_WAY_MAX = 3
RETRY_S = 3.0


class Known(NamedTuple):
    """What is known of a question: the newest answer, and why there is no newer one."""

    answer: Detail | None = None
    fault: str = ""
    answered_ns: int | None = None
    tried_ns: int | None = None


class Inquiries:
    """The questions of all screens. `ask` starts one in a thread, which ends in `told`."""

    def __init__(self, monotonic_ns: Callable[[], int]) -> None:
        self._monotonic_ns = monotonic_ns
        self._known: OrderedDict[bytes, Known] = OrderedDict()
        self._under_way: set[bytes] = set()

    def want(self, question: Question, ask: Callable[[Question], bool], *, every_s: float) -> Known:
        """Return what is known; ask anew if that is older than `every_s`."""
        key = msgspec.msgpack.encode(question)
        known = self._known.get(key, Known())
        if key not in self._under_way and len(self._under_way) < UNDER_WAY_MAX:
            pause_s = RETRY_S if known.fault else every_s
            if self._age_s(known.tried_ns) >= pause_s and ask(question):
                self._under_way.add(key)
        return known

    @property
    def under_way(self) -> bool:
        """Whether an answer is waited for."""
        return bool(self._under_way)

    def told(self, question: Question, result: Detail | Exception) -> None:
        """Take an answer, or why there is none."""
        key = msgspec.msgpack.encode(question)
        self._under_way.discard(key)
        before, now_ns = self._known.get(key, Known()), self._monotonic_ns()
        if isinstance(result, Exception):
            named = isinstance(result, PmproError)
            fault = str(result) if named else f"{type(result).__name__}: {result}"
            self._known[key] = before._replace(fault=fault, tried_ns=now_ns)
        else:
            self._known[key] = Known(result, "", now_ns, now_ns)
        self._known.move_to_end(key)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)

    def remark(self, known: Known) -> str:
        """Return why what is shown is not newer, and how old it is; "" for nothing to say."""
        if not known.fault or known.answer is None:
            return ""
        return f"{age(self.age_s(known))} old: {known.fault}"

    def forget(self) -> None:
        """Ask everything anew at the next drawing."""
        for key, known in self._known.items():
            self._known[key] = known._replace(tried_ns=None)

    def age_s(self, known: Known) -> float:
        """Return how old an answer is; infinite without one."""
        return self._age_s(known.answered_ns)

    def _age_s(self, since_ns: int | None) -> float:
        return math.inf if since_ns is None else (self._monotonic_ns() - since_ns) / NS_PER_S
