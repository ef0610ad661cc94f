"""What must hold after a run: read from the broker's ledger, the journal and the database alone."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import URL, create_engine, select
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from engine.decision.saved import load_core
from engine.decision.state import Core
from engine.execution.journal import Journal
from engine.model.orders import Intent, IntentState, Outcome, book_of
from engine.portfolio.compile import CompiledPortfolio
from engine.store import tables
from engine.store.audit import verify
from engine.terminal.simulated.broker.ledger import SimLedger
from engine.terminal.simulated.broker.state import AccountRecord, Deal, SimOrder, SimPosition
from engine.terminal.simulated.module.constants import DEAL_ENTRY_IN, DEAL_REASON_EXPERT
from tests.journals import intents_since

_CENT, _LOTS = 0.005, 1e-8
_GONE = (IntentState.REJECTED, IntentState.NOT_SENT)


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What broker and journal say. `orders`: ours, as sent by an order of the engine, by magic."""

    account: AccountRecord
    positions: list[SimPosition]
    deals: list[Deal]
    orders: dict[int, list[SimOrder]]
    intents: list[tuple[Intent, Outcome | None]]
    core: Core
    backlog: int

    def deals_of(self, order: int) -> list[Deal]:
        """Return an order's deals."""
        return [deal for deal in self.deals if deal.order == order]


def read(state: Path, compiled: CompiledPortfolio) -> Evidence:
    """Read what a stopped engine and its broker left."""
    ledger = SimLedger(state / "broker.sqlite")
    journal = Journal(state / "journal.sqlite")
    core = compiled.core()
    saved = journal.load_core()
    assert saved is not None
    assert load_core(core, compiled.names, saved.blob) == []
    orders: dict[int, list[SimOrder]] = defaultdict(list)
    for order in ledger.orders():
        if order.reason == DEAL_REASON_EXPERT and book_of(order.magic):
            orders[order.magic].append(order)
    account = ledger.account()
    assert account is not None
    found = Evidence(
        account=account,
        positions=ledger.positions(),
        deals=ledger.deals(),
        orders=dict(orders),
        intents=intents_since(journal, 0),
        core=core,
        backlog=journal.backlog(),
    )
    ledger.close()
    journal.close()
    return found


def violations(found: Evidence, url: URL, n_starts: tuple[int, int]) -> list[str]:
    """Return everything that does not hold, a line each; `n_starts`: at least and at most."""
    engine = create_engine(url, poolclass=NullPool)
    with Session(engine) as session:
        return [
            *_duplicates(found),
            *_lost(found),
            *_owners(found),
            *_stops(found),
            *_money(found),
            *_database(found, session),
            *_audit(found, session, n_starts),
        ]


def _duplicates(found: Evidence) -> Iterator[str]:
    for magic, orders in found.orders.items():
        if len(orders) > 1:
            yield f"duplicate order: magic {magic} has orders {[o.ticket for o in orders]}"


def _lost(found: Evidence) -> Iterator[str]:
    known = {intent.magic for intent, _ in found.intents}
    for magic, orders in found.orders.items():
        if magic not in known:
            yield f"lost order: {[o.ticket for o in orders]} of magic {magic} has no intent"
    for intent, outcome in found.intents:
        orders = found.orders.get(intent.magic, [])
        if outcome is None or outcome.state in (IntentState.CREATED, IntentState.UNKNOWN):
            yield f"lost order: intent {intent.id} is not settled"
        elif outcome.state == IntentState.DONE:
            yield from _done(found, intent, outcome)
        elif filled := [order for order in orders if order.lots_left < order.lots]:
            yield (
                f"lost order: intent {intent.id} is {outcome.state.name}, "
                f"but order {filled[0].ticket} was executed"
            )


def _done(found: Evidence, intent: Intent, outcome: Outcome) -> Iterator[str]:
    deals = found.deals_of(outcome.order)
    if not deals or outcome.order not in {o.ticket for o in found.orders.get(intent.magic, [])}:
        yield f"intent {intent.id}: done as order {outcome.order}, which the broker does not have"
        return
    lots, money = sum(d.volume for d in deals), sum(d.profit + d.commission + d.swap for d in deals)
    ours = outcome.profit_ccy + outcome.commission_ccy + outcome.swap_ccy
    if abs(lots - outcome.lots) > _LOTS or abs(money - ours) > _CENT:
        yield f"intent {intent.id}: {outcome.lots} lots, {ours:.2f} here; {lots}, {money:.2f} there"


def _held(core: Core) -> dict[int, Any]:
    return {int(s["ticket"]): s for s in core.positions if s["direction"] != 0}


def _owners(found: Evidence) -> Iterator[str]:
    held = _held(found.core)
    there = {p.identifier: p for p in found.positions}
    for ticket in there.keys() - held.keys():
        yield f"unowned position: {ticket} of magic {there[ticket].magic}"
    for ticket in held.keys() - there.keys():
        yield f"position {ticket} is held here alone"
    for ticket in held.keys() & there.keys():
        ours, theirs = held[ticket], there[ticket]
        if ours["direction"] != theirs.direction or abs(ours["lots"] - theirs.lots) > _LOTS:
            yield (
                f"position {ticket}: {ours['direction'] * ours['lots']:g} lots here, "
                f"{theirs.direction * theirs.lots:g} there"
            )
        if not math.isclose(ours["entry_price"], theirs.price_open, rel_tol=1e-9):
            yield f"position {ticket}: {ours['entry_price']} here, {theirs.price_open} there"


def _stops(found: Evidence) -> Iterator[str]:
    """Each entry left with its stop and target, and what is held still has them."""
    by_magic = {intent.magic: intent for intent, _ in found.intents if intent.action == "OPEN"}
    for magic, orders in found.orders.items():
        intent = by_magic.get(magic)
        for order in orders if intent is not None else ():
            if (order.sl, order.tp) != (intent.stop, intent.target):
                yield f"order {order.ticket}: stop {order.sl}, decided was {intent.stop}"
    held = _held(found.core)
    for position in found.positions:
        ours = held.get(position.identifier)
        if ours is None:
            continue
        levels = tuple(float(np.nan_to_num(ours[name])) for name in ("stop", "target"))
        if levels != (position.sl, position.tp):
            yield (
                f"position {position.identifier}: stop and target {levels} here, "
                f"{(position.sl, position.tp)} there"
            )


def _money(found: Evidence) -> Iterator[str]:
    ours = float(found.core.account[0]["balance_ccy"])
    if abs(ours - found.account.balance_ccy) > _CENT:
        yield f"balance {ours:.2f} here, {found.account.balance_ccy:.2f} there"


def _database(found: Evidence, session: Session) -> Iterator[str]:
    if found.backlog:
        yield f"{found.backlog} rows never reached the database"
    for reject in session.scalars(select(tables.WriterRejectTable)):
        yield f"the database refused a {reject.kind}: {reject.error}"
    rows = {row.magic: row for row in session.scalars(select(tables.OrderTable))}
    for intent, outcome in found.intents:
        row = rows.get(intent.magic)
        state = None if outcome is None else outcome.state.name
        if row is None or outcome is None:
            yield f"intent {intent.id} ({state}) is not in the database"
        elif (row.state, row.order_ticket) != (state, outcome.order):
            yield (
                f"intent {intent.id} is {state} as order {outcome.order}, in the database "
                f"{row.state} as {row.order_ticket}"
            )
    yield from _trades(found, session)
    shown = {row.ticket for row in session.scalars(select(tables.PositionTable))}
    held = {p.identifier for p in found.positions}
    if shown != held:
        yield f"positions {sorted(shown)} in the database, {sorted(held)} at the broker"


def _trades(found: Evidence, session: Session) -> Iterator[str]:
    """Every position that a slot of ours took is a trade, open or closed, with its deals' money."""
    position_of = {d.order: d.position_id for d in found.deals if d.entry == DEAL_ENTRY_IN}
    rows = {
        position_of.get(row.order_ticket or 0, 0): row
        for row in session.scalars(select(tables.TradeTable))
    }
    held = {p.identifier for p in found.positions}
    deals: Mapping[int, list[Deal]] = defaultdict(list)
    for deal in found.deals:
        deals[deal.position_id].append(deal)
    for position, row in rows.items():
        if (row.status == "OPEN") != (position in held):
            yield f"trade of position {position} is {row.status} in the database"
        money = sum(d.profit + d.commission + d.swap for d in deals[position])
        if row.status == "CLOSED" and abs(float(row.profit_loss or 0) - money) > _CENT:
            yield f"trade of position {position}: {row.profit_loss} in the database, {money:.2f}"
    missing = sorted(held - rows.keys())
    if missing:
        yield f"positions {missing} have no trade in the database"


def _audit(found: Evidence, session: Session, n_starts: tuple[int, int]) -> Iterator[str]:
    if (broken := verify(session).first_broken_id) is not None:
        yield f"audit chain broken at entry {broken}"
    commands = [
        entry.details.get("command")
        for entry in session.scalars(select(tables.AuditLogTable))
        if entry.event_type == "COMMAND"
    ]
    for name, (least, most) in (("start", n_starts), ("stop", (1, 1))):
        if not least <= commands.count(name) <= most:
            yield f"{least} to {most} × {name} happened, {commands.count(name)} are in the audit"


def summary(found: Evidence) -> Sequence[int]:
    """Return how many orders and positions there were."""
    return len(found.intents), len(found.positions)
