"""A slot's decision read back from the core, right after `decide_entries`: live and backtest."""

import math

from engine.decision import read
from engine.decision.allocation.sizing import TIER_1_SIZE_FRAC, wanted_lots
from engine.decision.entries import entry_distances
from engine.decision.money import round_price
from engine.decision.signals import is_due, votes
from engine.decision.state import Core
from engine.kernels.cache import CODE_HASH
from engine.model.reasons import Refusal
from engine.model.views.decisions import ORDER_RULES, STATE_RULES, Decision, Sizing, Vote
from engine.portfolio.compile import CompiledPortfolio


def was_asked(core: Core, slot: int) -> bool:
    """Tell whether a slot's entry was decided at this batch; before the entries are filled."""
    position = read.position(core, slot)
    wants = position.wish != 0 and position.direction == 0 and not position.spent
    return wants and bool(is_due(core, slot))


def refused_by(core: Core, slot: int) -> str:
    """Return the rule that refused a slot's entry at this batch, "" if none did."""
    refusal = Refusal(read.position(core, slot).refusal)
    return refusal.name if refusal is not Refusal.ACCEPTED and was_asked(core, slot) else ""


def read_decision(compiled: CompiledPortfolio, core: Core, slot: int) -> Decision:
    """Return what a slot's entry was decided on; call before anything else is decided or filled."""
    position = read.position(core, slot)
    refusal = position.refusal
    accepted = refusal == 0
    direction = position.pending_direction if accepted else position.wish
    symbol = read.symbol_of(core, slot)
    quote = read.quote(core, symbol)
    price = quote.ask if direction > 0 else quote.bid
    if accepted:
        stop_distance = position.pending_stop_distance
        target_distance = position.pending_target_distance
    else:  # the shares of the coming trade are fixed anew: of a flat slot, nothing reads them
        stop_distance, target_distance = entry_distances(core, slot, direction)
    if refusal in STATE_RULES:  # no size was asked for
        stop_distance = target_distance = wanted = lots = math.nan
    else:
        wanted = wanted_lots(core, slot, stop_distance)
        # What was sized stands in the rules, also where a later one refused it.
        sized = accepted or refusal in ORDER_RULES
        lots = float(core.checks[slot, ORDER_RULES[0], 0]) if sized else 0.0
    account = read.account(core)
    digits = read.digits(core, symbol)
    return Decision(
        refusal=refusal,
        direction=direction,
        price=price,
        stop=_level(price - direction * stop_distance, digits),
        target=_level(price + direction * target_distance, digits),
        checks=core.checks[slot].astype("<f8", copy=False).tobytes(),
        votes=_votes(compiled, core, slot),
        sizing=Sizing(
            method=_method(compiled, slot),
            equity_ccy=account.equity_ccy,
            stop_distance=_known(stop_distance),
            target_distance=_known(target_distance),
            wanted_lots=_known(wanted),
            allocation=position.allocation,
            tier_factor=TIER_1_SIZE_FRAC if account.tier == 1 else 1.0,
            step_lots=read.volume_step_lots(core, symbol),
            lots=_known(lots),
        ),
        code=CODE_HASH,
    )


def _method(compiled: CompiledPortfolio, slot: int) -> str:
    sizing = compiled.slots[slot].book.sizing
    return "fixed_fraction" if sizing is None else sizing.method


def _votes(compiled: CompiledPortfolio, core: Core, slot: int) -> tuple[Vote, ...]:
    members = compiled.slots[slot].members
    said = read.members(core.outputs[members[0] : members[-1] + 1])
    return tuple(
        Vote(
            strategy=compiled.strategies[m].name,
            votes=bool(votes(core, m)),
            direction=member.direction,
            confidence=member.confidence,
            share=member.share,
            entry_share=member.entry_share,
        )
        for m, member in zip(members, said, strict=True)
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _level(price: float, digits: int) -> float:
    return 0.0 if math.isnan(price) else float(round_price(price, digits))
