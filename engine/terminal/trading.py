"""Send orders through the module: validate, check, send once, never again.

NotSent: certainly nothing left. Every other answer, None included, is returned as OrderResult for
`retcodes.classify`; only the caller's deadline knows about answers that never come.
"""

from typing import Any, Final

import structlog

from engine.model.broker import OrderRequest, OrderResult
from engine.model.errors import BrokerError, NotSent
from engine.model.times import NS_PER_S
from engine.terminal import convert
from engine.terminal.protocol import CallFailed
from engine.terminal.requests import deal_request, modify_request
from engine.terminal.retcodes import Action, classify
from engine.terminal.session import Session
from engine.terminal.symbol_rules import stops_problem

_log = structlog.get_logger(__name__)
# A check's answers that are the broker's own word on the order; others mean "not known".
_DEFINITE: Final = (Action.REJECT, Action.STOP, Action.KILL, Action.FIX)


def calc_profit(
    session: Session, direction: int, symbol: str, lots: float, open_price: float, close: float
) -> float:
    """Return the profit of a trade in account currency, by the terminal."""
    side = 0 if direction > 0 else 1
    args = (side, symbol, float(lots), float(open_price), float(close))
    return float(session.ask("order_calc_profit", *args))


def calc_margin(session: Session, direction: int, symbol: str, lots: float, price: float) -> float:
    """Return the margin of an order in account currency, by the terminal."""
    side = 0 if direction > 0 else 1
    return float(session.ask("order_calc_margin", side, symbol, float(lots), float(price)))


def check(session: Session, order: OrderRequest) -> OrderResult:
    """Ask whether the terminal would take the order; retcode 0 with error 1 is yes."""
    session.require_connection()
    return _check(session, _request(session, order))


def prepare_send(
    session: Session, order: OrderRequest, *, checked: bool
) -> dict[str, Any] | OrderResult:
    """Return the request to send, or the broker's refusal when `order_check` gives one."""
    session.require_connection()
    late_ns = session.now_ns() - order.valid_until_ns
    if order.valid_until_ns and late_ns > 0:
        raise NotSent(f"{order.symbol}: {late_ns / NS_PER_S:.1f} s too late for its quote")
    request = _request(session, order)
    if not order.position:
        _refuse_bad_entry(session, order)
    if checked:
        verdict = _check(session, request)
        if verdict.retcode != 0:
            if classify(verdict).action in _DEFINITE:
                return verdict
            raise NotSent(f"order_check answered {verdict.retcode} {verdict.comment}")
    return request


def prepare_modify(
    session: Session, symbol: str, ticket: int, stop: float, target: float
) -> dict[str, Any]:
    """Return the request that sets a position's stop and target; 0.0 removes one."""
    session.require_connection()
    return modify_request(symbol, ticket, stop, target, _facts(session, symbol))


def send(session: Session, request: dict[str, Any]) -> OrderResult:
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


def _facts(session: Session, symbol: str) -> Any:
    try:
        return session.facts(symbol)
    except CallFailed as error:
        raise NotSent(str(error)) from None


def _request(session: Session, order: OrderRequest) -> dict[str, Any]:
    return deal_request(order, _facts(session, order.symbol))


def _refuse_bad_entry(session: Session, order: OrderRequest) -> None:
    """Entries need a measured server clock and stops the symbol allows; exits need neither."""
    try:
        quote = session.quote(order.symbol)
        session.check_clock()
    except BrokerError as error:
        raise NotSent(str(error)) from None
    closing_price = quote.bid if order.direction > 0 else quote.ask
    facts = _facts(session, order.symbol)
    problem = stops_problem(order.direction, closing_price, order.stop, order.target, facts)
    if problem:
        raise NotSent(f"{order.symbol}: {problem}")


def _check(session: Session, request: dict[str, Any]) -> OrderResult:
    result = session.api.order_check(request)
    if result is None:
        code, text = session.last_error()
        raise NotSent(f"order_check failed: {code} {text}")
    return convert.order_result(result, (1, ""))
