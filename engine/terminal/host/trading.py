"""Send orders through the module: validate, check, send once, never again.

NotSent: certainly nothing left. Every other answer, None included, is returned as OrderResult for
`retcodes.classify`; only the caller's deadline knows about answers that never come.
"""

from decimal import Decimal
from typing import Any, Final

import structlog

from engine.model.broker import OrderRequest, OrderResult
from engine.model.errors import BrokerError, NotSent
from engine.model.times import NS_PER_S
from engine.terminal.host import convert
from engine.terminal.host.requests import deal_request, modify_request
from engine.terminal.host.session import TerminalSession
from engine.terminal.host.symbol_rules import (
    SymbolFacts,
    freeze_problem,
    limit_problem,
    side_problem,
    stops_problem,
)
from engine.terminal.retcodes import Action, classify

_log = structlog.get_logger(__name__)
_TRADE_DISABLED: Final = 10017
# By SYMBOL_TRADE_MODE: long only, short only, close only.
_SIDE_RETCODES: Final = {1: 10042, 2: 10043, 3: 10044}


def calc_profit(
    session: TerminalSession,
    direction: int,
    symbol: str,
    lots: float,
    open_price: float,
    close: float,
) -> float:
    """Return the profit of a trade in account currency, by the terminal."""
    side = 0 if direction > 0 else 1
    name = session.facts(symbol).broker_name
    args = (side, name, float(lots), float(open_price), float(close))
    return float(session.ask("order_calc_profit", *args))


def calc_margin(
    session: TerminalSession, direction: int, symbol: str, lots: float, price: float
) -> float:
    """Return the margin of an order in account currency, by the terminal."""
    side = 0 if direction > 0 else 1
    name = session.facts(symbol).broker_name
    return float(session.ask("order_calc_margin", side, name, float(lots), float(price)))


def check(session: TerminalSession, order: OrderRequest) -> OrderResult:
    """Ask whether the terminal would take the order; retcode 0 with error 1 is yes."""
    session.require_connection()
    return _check(session, _request(session, order))


def prepare_send(
    session: TerminalSession, order: OrderRequest, *, checked: bool
) -> dict[str, Any] | OrderResult:
    """Return the request to send, or the broker's refusal.

    That is what `order_check` answers, or would: a symbol that is closed to one side pauses it.
    """
    session.require_connection()
    late_ns = session.now_ns() - order.valid_until_ns
    if order.valid_until_ns and late_ns > 0:
        raise NotSent(f"{order.symbol}: {late_ns / NS_PER_S:.1f} s too late for its quote")
    request = _request(session, order)
    if not order.position:
        facts = _facts(session, order.symbol)
        closed = side_problem(order.direction, facts)
        if closed:
            retcode = _SIDE_RETCODES.get(facts.trade_mode, _TRADE_DISABLED)
            return OrderResult(retcode=retcode, comment=closed)
        _refuse_bad_entry(session, order, request)
    return _checked(session, request) if checked else request


def prepare_modify(
    session: TerminalSession, symbol: str, ticket: int, stop: float, target: float
) -> dict[str, Any]:
    """Return the request that sets a position's stop and target; 0.0 removes one."""
    session.require_connection()
    facts = _facts(session, symbol)
    request = modify_request(symbol, ticket, stop, target, facts)
    try:
        found = session.ask("positions_get", ticket=ticket)
        quote = session.quote(symbol)
    except BrokerError as error:
        raise NotSent(str(error)) from None
    # One that was opened a moment ago may not be shown yet: then the broker judges alone.
    for item in found:
        position = session.position(item)
        closing_price = quote.closing(position.direction)
        problem = freeze_problem(
            closing_price, position.stop, position.target, facts
        ) or stops_problem(position.direction, closing_price, request["sl"], request["tp"], facts)
        if problem:
            raise NotSent(f"{symbol}: {problem}")
    return request


def send(session: TerminalSession, request: dict[str, Any]) -> OrderResult:
    """Send a prepared request; never raises a PmproError, never sends twice."""
    result = session.api.order_send(request)
    answer = convert.order_result(result, session.last_error() if result is None else (1, ""))
    _log.info(
        "order_send",
        symbol=request["symbol"],
        magic=request.get("magic", 0),
        position=request.get("position", 0),
        retcode=answer.retcode,
        error=answer.error,
    )
    return answer


def _facts(session: TerminalSession, symbol: str, *, recent: bool = False) -> SymbolFacts:
    try:
        return session.recent_facts(symbol) if recent else session.facts(symbol)
    except BrokerError as error:
        raise NotSent(str(error)) from None


def _request(session: TerminalSession, order: OrderRequest) -> dict[str, Any]:
    return deal_request(order, _facts(session, order.symbol, recent=not order.position))


def _refuse_bad_entry(
    session: TerminalSession, order: OrderRequest, request: dict[str, Any]
) -> None:
    """Entries need a measured server clock and what the symbol allows; exits need neither."""
    facts = _facts(session, order.symbol)
    try:
        quote = session.quote(order.symbol)
        session.check_clock()
        held_lots = _held_lots(session, facts, order.direction)
    except BrokerError as error:
        raise NotSent(str(error)) from None
    closing_price = quote.closing(order.direction)
    stop, target = request.get("sl", 0.0), request.get("tp", 0.0)
    problem = limit_problem(order.lots, held_lots, facts) or stops_problem(
        order.direction, closing_price, stop, target, facts
    )
    if problem:
        raise NotSent(f"{order.symbol}: {problem}")


def _held_lots(session: TerminalSession, facts: SymbolFacts, direction: int) -> float:
    """Return what is held and waiting in one direction, where the symbol limits it."""
    if facts.volume_limit_lots <= 0:
        return 0.0
    # Orders of even type buy, those of odd type sell.
    side = 0 if direction > 0 else 1
    items = [
        *((p.type, p.volume) for p in session.ask("positions_get", symbol=facts.broker_name)),
        *(
            (o.type % 2, o.volume_current)
            for o in session.ask("orders_get", symbol=facts.broker_name)
        ),
    ]
    return float(sum(Decimal(repr(float(lots))) for kind, lots in items if kind == side))


def _checked(session: TerminalSession, request: dict[str, Any]) -> dict[str, Any] | OrderResult:
    """Return the request that `order_check` takes, or the broker's refusal.

    Every other answer of a check says nothing of the order: it is not sent.
    """
    verdict = _check(session, request)
    if verdict.retcode == 0:
        return request
    if classify(verdict).action is Action.REFUSED:
        return verdict
    raise NotSent(f"order_check answered {verdict.retcode} {verdict.comment}")


def _check(session: TerminalSession, request: dict[str, Any]) -> OrderResult:
    result = session.api.order_check(request)
    if result is None:
        code, text = session.last_error()
        raise NotSent(f"order_check failed: {code} {text}")
    return convert.order_result(result, (1, ""))
