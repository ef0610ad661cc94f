"""What becomes of open positions when members lose their votes, in words and as records.

The answer is the core's own rule on a copy of its state: true when it is given, and until another
signal comes.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

from engine.decision import read
from engine.decision.state import Core
from engine.decision.switches import Carried, carried_without
from engine.model.broker import BrokerPosition
from engine.model.reasons import ExitReason
from engine.model.views.snapshot import PositionFate
from engine.portfolio.compile import Slot

Becomes = Literal["closes", "keeps", "closed", "unsettled"]

_WORDS = (
    *("no", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)


def of_members(
    core: Core, slots: Sequence[Slot], members: Iterable[int], *, kill: bool, close: bool = False
) -> tuple[PositionFate, ...]:
    """Return the fates of what the members' books hold in their symbols; `slots` are the core's.

    `kill`: they are killed, else disabled. `close`: the positions are closed, whoever votes.
    """
    members = list(members)
    concerned = sorted({read.slot_of(core, member) for member in members})
    found = []
    for slot in concerned:
        position = read.position(core, slot)
        if position.direction == 0 and not position.unsettled:
            continue
        own = [m for m in members if read.slot_of(core, m) == slot]
        carried = carried_without(core, slot, own, kill=kill)
        alone = kill and carried.n_alive == 0
        found.append(_fate(core, slots, slot, carried, closes=close or alone, kill=kill))
    return tuple(found)


def of_symbol(
    core: Core, slots: Sequence[Slot], symbol: str, external: Iterable[BrokerPosition]
) -> tuple[PositionFate, ...]:
    """Return the fates of what all books hold in a symbol that is killed; others' stays."""
    held = _held(core)
    ours = [
        _fate(core, slots, slot, None, closes=True, kill=True)
        for slot, which in enumerate(slots)
        if which.symbol == symbol and slot in held
    ]
    others = [
        PositionFate(
            ticket=p.ticket,
            owner="EXTERNAL",
            symbol=symbol,
            direction="BUY" if p.direction > 0 else "SELL",
            lots=p.lots,
            becomes="keeps",
            why="nobody here closes it",
        )
        for p in external
        if p.symbol == symbol
    ]
    return (*ours, *others)


class Previews:
    """What a kill of each member would do to its book's position, kept while nothing changes."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[bytes, list[str]]] = {}

    def of(self, core: Core, slots: Sequence[Slot]) -> list[str]:
        """Return a text for each member, "" where its book holds nothing."""
        texts = [""] * len(core.members)
        kept = {}
        for slot in _held(core):
            members, position = list(slots[slot].members), read.position(core, slot)
            goal = position.ticket, position.lots, position.close_reason, position.unsettled
            state = core.outputs[members].tobytes() + repr(goal).encode()
            before = self._known.get(slots[slot].name)
            if before is None or before[0] != state:
                before = state, [told(of_members(core, slots, [m], kill=True)) for m in members]
            kept[slots[slot].name] = before
            for member, text in zip(members, before[1], strict=True):
                texts[member] = text
        self._known = kept
        return texts


def now_of(before: Sequence[PositionFate], now: Sequence[PositionFate]) -> tuple[PositionFate, ...]:
    """Return the fates as they are now, those of before first.

    What was to close and is gone was closed as it was said; what was to stay and is gone has
    closed all the same.
    """
    there = {(fate.owner, fate.symbol): fate for fate in now}
    found = []
    for fate in before:
        still = there.pop((fate.owner, fate.symbol), None)
        if still is not None and still.ticket == fate.ticket:
            # Decided meanwhile by what was said: the words stay.
            found.append(fate if fate.becomes == still.becomes == "closes" else still)
        elif still is not None:
            found.append(still)
        elif fate.becomes == "closes" or not fate.ticket:
            found.append(fate)
        else:
            found.append(msgspec.structs.replace(fate, becomes="closed", why=""))
    return (*found, *there.values())


def with_goals(
    fates: Sequence[PositionFate], goal: Callable[[str], str]
) -> tuple[PositionFate, ...]:
    """Return the fates with what a closing position waits for; `goal` by the slot's name."""
    waits = [goal(f"{f.owner}/{f.symbol}") if f.becomes == "closes" else "" for f in fates]
    return tuple(
        msgspec.structs.replace(fate, why=wait) if wait.startswith(("WAITING", "UNKNOWN")) else fate
        for fate, wait in zip(fates, waits, strict=True)
    )


def told(fates: Sequence[PositionFate]) -> str:
    """Return the fates in words, for a message."""
    return "; ".join(map(_words, fates)) or "it holds nothing"


def _words(fate: PositionFate) -> str:
    if not fate.direction:
        return f"{fate.owner} in {fate.symbol}: {fate.why}"
    verb = {"closed": "has closed", "unsettled": "closes"}.get(fate.becomes, fate.becomes)
    what = f"{fate.owner} {verb} {fate.direction} {fate.lots:g} {fate.symbol}"
    return f"{what}: {fate.why}" if fate.why else what


def _held(core: Core) -> list[int]:
    """Return the slots that hold a position, or may."""
    return sorted({*read.held_slots(core), *read.unsettled_slots(core)})


def _fate(
    core: Core,
    slots: Sequence[Slot],
    slot: int,
    carried: Carried | None,
    *,
    closes: bool,
    kill: bool,
) -> PositionFate:
    """Return the fate of what a slot holds, or of what an order whose outcome is unknown left."""
    position, which = read.position(core, slot), slots[slot]
    direction = position.direction
    becomes: Becomes = "closes"
    why = ""
    if position.unsettled:
        becomes = "unsettled"
        why = "its order's outcome is being looked for"
        if direction == 0:
            fate = "closed" if closes else "left to the other members"
            why = f"an order's outcome is being looked for; a position that it opened is {fate}"
    elif position.close_reason and not closes:
        why = f"decided before: {_reason(position.close_reason)}"
    elif not closes and carried is not None:
        becomes, why = _voted(carried, which.book.combine, kill=kill)
    return PositionFate(
        ticket=position.ticket if direction else 0,
        owner=which.book.name,
        symbol=which.symbol,
        direction="" if direction == 0 else "BUY" if direction > 0 else "SELL",
        lots=position.lots if direction else 0.0,
        becomes=becomes,
        why=why,
    )


def _voted(carried: Carried, combine: str, *, kill: bool) -> tuple[Becomes, str]:
    """Return what the members that are left make of a position."""
    n = carried.n_voting
    when = "" if kill else ", at its next bar"
    if n == 0:
        if carried.leaves:
            return "closes", f"nobody votes any more, and no signal carries it{when}"
        return "keeps", "nobody votes any more; it stays, protected, until its exit"
    who = _WORDS[n] if n < len(_WORDS) else str(n)
    vote = f"{who} other member{'s' * (n != 1)} vote{'s' * (n == 1)}"
    if not carried.leaves:
        return "keeps", vote
    net = f"{carried.net:+z.2f}" if combine == "weighted" else f"{carried.net:+zg}"
    return "closes", f"{vote}, whose net of {net} does not carry it{when}"


def _reason(number: int) -> str:
    return ExitReason(number).name.lower().replace("_", " ")
