"""Symbols that the broker lets nobody enter for now: closed, switched off, one side only.

A pause ends by its time, or by an operator who enables the symbol or resumes; it is saved with the
engine's state, so that no restart asks the broker again before then. Closes are never paused.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from engine.decision import read
from engine.decision.state import Core
from engine.decision.switches import without_wishes
from engine.model.live_day import RefusedRun
from engine.model.orders import Intent
from engine.model.times import NS_PER_MINUTE, NS_PER_S, to_datetime
from engine.terminal.retcodes import Verdict
from engine.trading.events import EventLog

RUNS_MAX = 10_000
# A slot that is not asked for so long is refused anew.
_GAP_NS = 15 * NS_PER_MINUTE


class Refusals:
    """The newest runs of refusals, one a slot and rule for as long as it goes on."""

    def __init__(self) -> None:
        self._runs: deque[RefusedRun] = deque(maxlen=RUNS_MAX)
        self._newest: dict[str, RefusedRun] = {}

    def note(self, batch_ns: int, refused: Iterable[tuple[str, str]]) -> None:
        """Take the slots that were refused at a batch, each with the rule."""
        for slot, rule in refused:
            run = self._newest.get(slot)
            if run is not None and run.rule == rule and batch_ns - run.to_ns <= _GAP_NS:
                run.to_ns = batch_ns
                continue
            run = RefusedRun(slot=slot, rule=rule, from_ns=batch_ns, to_ns=batch_ns)
            self._runs.append(run)
            self._newest[slot] = run

    def since(self, from_ns: int) -> tuple[RefusedRun, ...]:
        """Return copies of the runs that went on after a time, oldest first."""
        return tuple(msgspec.structs.replace(run) for run in self._runs if run.to_ns > from_ns)


_SIDES = {0: "entries", 1: "long entries", -1: "short entries"}


class Pause(msgspec.Struct, frozen=True):
    """No entries of a `direction`, 0 for both, before `until_ns`."""

    direction: int
    until_ns: int
    reason: str


class Pauses:
    """The symbols' pauses, by what the broker answered; `paused` is saved."""

    def __init__(self, events: EventLog, now_ns: Callable[[], int]) -> None:
        self._events = events
        self._now_ns = now_ns
        self.paused: dict[str, Pause] = {}
        # Symbols that others hold on a netting account: an entry would change what is theirs.
        self.taken: frozenset[str] = frozenset()
        # Why what lies on the disk or in the database is not what runs, by what it is: no entries.
        self.mismatches: dict[str, str] = {}
        # The same of strategies' files: no entries of slots with such a member.
        self.outdated: dict[str, str] = {}

    def take(self, intent: Intent, verdict: Verdict) -> None:
        """Pause an entry's symbol where the answer to it asks for that."""
        if not verdict.pause_s or intent.action != "OPEN":
            return
        until_ns = self._now_ns() + int(verdict.pause_s * NS_PER_S)
        side, note = verdict.pause_direction, f" ({verdict.note})" if verdict.note else ""
        reason = f"no {_SIDES[side]} until {to_datetime(until_ns):%H:%M} UTC: {verdict.name}{note}"
        self.paused[intent.symbol] = Pause(side, until_ns, reason)
        self._events.add("warning", intent.symbol, reason)

    def reason(self, symbol: str, direction: int) -> str:
        """Return why a symbol takes no entry of this direction now, "" where it does."""
        if self.mismatches:
            return f"no entries: {next(iter(self.mismatches.values()))}"
        if symbol in self.taken:
            return f"others hold {symbol} on this netting account: no entries"
        pause = self.paused.get(symbol)
        if pause is None or pause.direction not in (0, direction):
            return ""
        return pause.reason

    def reason_of(self, members: Iterable[str]) -> str:
        """Return why a slot with these members takes no entry, "" where it does."""
        outdated = self.outdated
        if not outdated:
            return ""
        return next((outdated[name] for name in members if name in outdated), "")

    def expire(self) -> None:
        """End the pauses whose time has come."""
        now_ns = self._now_ns()
        for symbol, pause in list(self.paused.items()):
            if now_ns >= pause.until_ns:
                self.end(symbol)

    def end(self, symbol: str = "") -> None:
        """End a symbol's pause, or all of them."""
        for name in [symbol] if symbol else list(self.paused):
            if self.paused.pop(name, None) is not None:
                self._events.add("info", name, "entries are tried again")

    @contextmanager
    def held_back(
        self, core: Core, symbols: Sequence[str], members: Callable[[int], Iterable[str]]
    ) -> Iterator[None]:
        """Decide entries inside it: slots whose wish is paused have none meanwhile.

        So no rule counts what cannot be sent; `symbols` is each slot's, `members` tells a slot's.
        """
        paused = [
            slot
            for slot, direction in read.wishes(core).items()
            if self.reason(symbols[slot], direction) or self.reason_of(members(slot))
        ]
        with without_wishes(core, paused):
            yield
