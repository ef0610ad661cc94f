"""`order_check` and `order_send`: checks, execution at the quote, and what becomes visible."""

import copy
import time
from collections.abc import Callable
from typing import Any

import msgspec

from engine.decision.money import round_price
from engine.terminal.simulated import constants as c
from engine.terminal.simulated import structs
from engine.terminal.simulated.arguments import CallFailed
from engine.terminal.simulated.broker import Broker, Trade
from engine.terminal.simulated.checks import ACCEPTED, COMMENTS, Checks, Verdict
from engine.terminal.simulated.faults import Faults, Switches
from engine.terminal.simulated.history import History
from engine.terminal.simulated.state import Deal, Order, Position
from engine.terminal.simulated.structs import StructSequence, build
from engine.terminal.simulated.views import rounded


class _Lag(msgspec.Struct):
    """What positions and history show until `until_ns` (monotonic)."""

    until_ns: int
    positions: list[Position]
    orders: History[Order]
    deals: History[Deal]


class Trading:
    """The order functions of one terminal. `now_ns`: its simulated UTC."""

    def __init__(
        self,
        broker: Broker,
        checks: Checks,
        faults: Faults,
        switches: Switches,
        now_ns: Callable[[], int],
    ) -> None:
        self._broker = broker
        self._checks = checks
        self._faults = faults
        self._switches = switches
        self._now_ns = now_ns
        self._n_requests = 0
        self._lag: _Lag | None = None

    def check(self, request: Any) -> StructSequence:
        """Return OrderCheckResult of a TradeRequest."""
        verdict = self._judge(request)
        money = self._broker.money
        figures = money.figures()
        margin = figures.margin
        if verdict.retcode == ACCEPTED and request.action == c.TRADE_ACTION_DEAL:
            margin = money.margin_after(*self._exposure(request, verdict.position))
        return build(
            structs.OrderCheckResult,
            retcode=verdict.retcode,
            balance=figures.balance,
            equity=figures.equity,
            profit=figures.profit,
            margin=margin,
            margin_free=rounded(figures.equity - margin),
            margin_level=figures.equity / margin * 100.0 if margin else 0.0,
            comment=COMMENTS.get(verdict.retcode, ""),
            request=request,
        )

    def _exposure(self, request: Any, position: Position | None) -> tuple[str, float]:
        """Return (symbol, signed lots) that an order adds to the margin; closing adds none."""
        if position and self._broker.account.hedging:
            return "", 0.0
        direction = 1 if request.type == c.ORDER_TYPE_BUY else -1
        return request.symbol, direction * request.volume

    def _judge(self, request: Any) -> Verdict:
        if not self._switches.api_enabled:
            raise CallFailed(c.RES_E_AUTO_TRADING_DISABLED)
        return self._checks.check(request, self._now_ns())

    def send(self, request: Any) -> StructSequence:
        """Execute a TradeRequest and return OrderSendResult."""
        self._n_requests += 1
        verdict = self._judge(request)
        if fault := self._faults.take("order_send", "retcode"):
            verdict = Verdict(fault.retcode)
        if verdict.retcode != ACCEPTED:
            return self._refusal(request, verdict.retcode)
        if fault := self._faults.take("order_send", "lag"):
            self._start_lag(fault.delay_s or 0.0)
        if request.action == c.TRADE_ACTION_SLTP:
            assert verdict.position is not None
            levels = self._on_grid(request, request.sl), self._on_grid(request, request.tp)
            self._broker.set_levels(verdict.position, *levels, self._now_ns())
            return self._result(request, c.TRADE_RETCODE_DONE)
        deal = self._broker.execute(self._trade(request, verdict.position), verdict.position)
        return self._result(
            request,
            c.TRADE_RETCODE_DONE,
            deal=deal.ticket,
            order=deal.order,
            volume=deal.volume,
            price=deal.price,
        )

    def _trade(self, request: Any, position: Position | None) -> Trade:
        direction = 1 if request.type == c.ORDER_TYPE_BUY else -1
        closing = position is not None and position.direction != direction
        # Stops belong to what a deal opens.
        keeps = not (closing and self._broker.account.hedging)
        return Trade(
            symbol=request.symbol,
            direction=direction,
            lots=float(request.volume),
            price=self._checks.fill_price(request.symbol, direction),
            time_ns=self._now_ns(),
            reason=c.DEAL_REASON_EXPERT,
            magic=request.magic,
            comment=request.comment,
            sl=self._on_grid(request, request.sl) if keeps else 0.0,
            tp=self._on_grid(request, request.tp) if keeps else 0.0,
            type_filling=request.type_filling,
        )

    def _on_grid(self, request: Any, level: float) -> float:
        return float(round_price(level, self._broker.market.specs[request.symbol].digits))

    def _refusal(self, request: Any, retcode: int) -> StructSequence:
        if retcode not in (c.TRADE_RETCODE_REQUOTE, c.TRADE_RETCODE_PRICE_CHANGED):
            return self._result(request, retcode, quoted=False)
        direction = 1 if request.type == c.ORDER_TYPE_BUY else -1
        return self._result(
            request, retcode, price=self._checks.fill_price(request.symbol, direction)
        )

    def _result(
        self, request: Any, retcode: int, *, quoted: bool = True, **fields: Any
    ) -> StructSequence:
        quote = self._broker.market.quotes.get(request.symbol) if quoted else None
        return build(
            structs.OrderSendResult,
            retcode=retcode,
            bid=quote.bid if quote else 0.0,
            ask=quote.ask if quote else 0.0,
            comment=COMMENTS.get(retcode, ""),
            request_id=self._n_requests,
            request=request,
            **fields,
        )

    def _start_lag(self, delay_s: float) -> None:
        broker = self._broker
        self._lag = _Lag(
            until_ns=time.monotonic_ns() + int(delay_s * 1e9),
            positions=[copy.copy(p) for p in broker.positions.values()],
            orders=History[Order](lambda order: order.ticket, broker.orders.items),
            deals=History[Deal](lambda deal: deal.order, broker.deals.items),
        )

    def _lagging(self) -> _Lag | None:
        if self._lag and time.monotonic_ns() >= self._lag.until_ns:
            self._lag = None
        return self._lag

    def visible_positions(self) -> list[Position]:
        """Return the open positions as the terminal shows them now."""
        lag = self._lagging()
        return lag.positions if lag else list(self._broker.positions.values())

    def visible_orders(self) -> History[Order]:
        """Return the order history as the terminal shows it now."""
        lag = self._lagging()
        return lag.orders if lag else self._broker.orders

    def visible_deals(self) -> History[Deal]:
        """Return the deal history as the terminal shows it now."""
        lag = self._lagging()
        return lag.deals if lag else self._broker.deals
