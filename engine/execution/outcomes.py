"""What became of an intent, read from the terminal's deals by order, deal or magic."""

import math
from collections.abc import Iterable, Sequence

from engine.decision.money import round_lots
from engine.model.broker import BrokerDeal
from engine.model.orders import Intent, IntentState, Outcome

# DEAL_ENTRY_* of deals that take volume out of a position: out, out by.
CLOSING = (1, 3)
# Half of the last decimal of a volume.
LOTS_EPS = 5e-9


def deals_of(intent: Intent, order: int, deals: Iterable[BrokerDeal]) -> list[BrokerDeal]:
    """Return an intent's own deals: by its order, else by its magic.

    A stop or target deal carries the magic of the position's opening order; its reason tells it
    apart from the order itself, so entry must match the intent's action.
    """
    opening = intent.action == "OPEN"
    return [
        deal
        for deal in deals
        if ((order and deal.order == order) or deal.magic == intent.magic)
        and (deal.entry in (0, 2)) == opening
    ]


def lots_of(deals: Iterable[BrokerDeal]) -> float:
    """Return the volume of an intent's deals; NaN, which nothing reaches, for none."""
    lots = [deal.lots for deal in deals]
    return sum(lots) if lots else math.nan


def done(intent: Intent, deals: Sequence[BrokerDeal], retcode: int = 0) -> Outcome:
    """Return the outcome that deals prove; several fills count as one at their mean price."""
    lots = sum(deal.lots for deal in deals)
    first = deals[0]
    price = first.price if len(deals) == 1 else sum(deal.price * deal.lots for deal in deals) / lots
    return Outcome(
        intent_id=intent.id,
        state=IntentState.DONE,
        retcode=retcode,
        order=first.order,
        deal=first.ticket,
        position=first.position_id,
        lots=first.lots if len(deals) == 1 else float(round_lots(lots)),
        price=price,
        profit_ccy=sum(deal.profit_ccy for deal in deals),
        commission_ccy=sum(deal.commission_ccy for deal in deals),
        swap_ccy=sum(deal.swap_ccy for deal in deals),
        time_ns=first.time_ns,
    )
