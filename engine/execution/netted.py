"""A position that others may have traded too: how much of it is ours, proved by its deals.

On a netting account a symbol has one position, whoever trades it. What others added to ours is
theirs, and what is taken off without an order of ours takes theirs first.
"""

from collections.abc import Collection, Sequence

import msgspec

from engine.decision.money import round_lots
from engine.execution.outcomes import CLOSING, LOTS_EPS
from engine.model.broker import BrokerDeal

_ENTRY_IN = 0


class NettedLots(msgspec.Struct, frozen=True, kw_only=True):
    """What the deals say: lots of ours and of others, and the deals that took from ours.

    `closed_frac`: our part of those deals' money. `orders` are told by now, and count no more.
    """

    ours_lots: float
    others_lots: float
    closing: Sequence[BrokerDeal]
    closed_frac: float
    orders: tuple[int, ...]


def explain(
    held_lots: float, there_lots: float, known_orders: Collection[int], deals: Sequence[BrokerDeal]
) -> NettedLots | None:
    """Return how a position's deals lead from our lots to the terminal's, None where they do not.

    `deals` are all the position's; those of `known_orders`, our opening one among them, are in
    `held_lots` already.
    """
    new = [deal for deal in deals if deal.order not in known_orders]
    added = [deal for deal in new if deal.entry == _ENTRY_IN]
    closing = [deal for deal in new if deal.entry in CLOSING]
    closed_lots = sum(deal.lots for deal in closing)
    left_lots = held_lots + sum(deal.lots for deal in added) - closed_lots
    if not (there_lots >= 0.0 and new and abs(left_lots - there_lots) <= LOTS_EPS):
        return None
    ours_lots = min(held_lots, there_lots)
    gone_lots = held_lots - ours_lots
    if gone_lots <= LOTS_EPS:
        return NettedLots(
            ours_lots=held_lots,
            others_lots=float(round_lots(there_lots - held_lots)),
            closing=(),
            closed_frac=0.0,
            orders=(),
        )
    return NettedLots(
        ours_lots=ours_lots,
        others_lots=0.0,
        closing=closing,
        closed_frac=min(1.0, gone_lots / closed_lots),
        orders=tuple(deal.order for deal in new),
    )
