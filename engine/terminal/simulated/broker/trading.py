"""`order_check` and `order_send`: checks, execution at the quote, and what becomes visible."""

import copy
import time
from collections.abc import Callable
from typing import Any

import msgspec

from engine.decision.money import floor_lots, round_price
from engine.terminal.simulated.broker.broker import Broker, SimTrade, market_order
from engine.terminal.simulated.broker.checks import ACCEPTED, COMMENTS, Checks, SimVerdict
from engine.terminal.simulated.broker.history import SimHistory
from engine.terminal.simulated.broker.liquidity import Liquidity
from engine.terminal.simulated.broker.pending import Pending, crosses
from engine.terminal.simulated.broker.state import Deal, SimOrder, SimPosition
from engine.terminal.simulated.faults import Faults, Switches
from engine.terminal.simulated.module import constants as c
from engine.terminal.simulated.module import structs
from engine.terminal.simulated.module.arguments import SimCallFailed
from engine.terminal.simulated.module.structs import StructSequence, build
from engine.terminal.simulated.module.views import rounded

# Until somebody ends it.
_ENDLESS_NS = 2**63 - 1


class _Lag(msgspec.Struct):
    """What positions (None: what there is) and history show until `until_ns` (monotonic)."""

    until_ns: int
    positions: list[SimPosition] | None
    working: list[SimOrder]
    orders: SimHistory[SimOrder]
    deals: SimHistory[Deal]


class Trading:
    """The order functions of one terminal. `now_ns`: its simulated UTC."""

    def __init__(
        self,
        broker: Broker,
        checks: Checks,
        pending: Pending,
        liquidity: Liquidity,
        faults: Faults,
        switches: Switches,
        now_ns: Callable[[], int],
    ) -> None:
        self._broker = broker
        self._checks = checks
        self._pending = pending
        self._liquidity = liquidity
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

    def _exposure(self, request: Any, position: SimPosition | None) -> tuple[str, float]:
        """Return (symbol, signed lots) that an order adds to the margin; closing adds none."""
        if position and self._broker.account.hedging:
            return "", 0.0
        direction = 1 if request.type == c.ORDER_TYPE_BUY else -1
        return request.symbol, direction * request.volume

    def _judge(self, request: Any) -> SimVerdict:
        if not self._switches.api_enabled:
            raise SimCallFailed(c.RES_E_AUTO_TRADING_DISABLED)
        return self._checks.check(request, self._now_ns())

    def send(self, request: Any) -> StructSequence:
        """Execute a TradeRequest and return OrderSendResult."""
        self._n_requests += 1
        verdict = self._judge(request)
        if fault := self._faults.take("order_send", "retcode"):
            verdict = SimVerdict(fault.retcode)
        if verdict.retcode != ACCEPTED:
            return self._refusal(request, verdict.retcode)
        if fault := self._faults.take("order_send", "placed"):
            return self._placed_in_vain(request, verdict, fault.delay_s)
        placed = self._faults.take("order_send", "placed", when="after")
        if fault := placed or self._faults.take("order_send", "lag"):
            self._start_lag(fault.delay_s)
        elif fault := self._faults.take("order_send", "late"):
            self._start_lag(fault.delay_s, positions=False)
        done = self._perform(request, verdict)
        if placed:
            made: Any = done
            return self._result(request, c.TRADE_RETCODE_PLACED, order=made.order)
        return done

    def _placed_in_vain(
        self, request: Any, verdict: SimVerdict, delay_s: float | None
    ) -> StructSequence:
        """Accept an order that is rejected afterwards: the history says so, perhaps later."""
        order = verdict.order
        if request.action == c.TRADE_ACTION_DEAL:
            trade = self._trade(request, verdict.position)
            order = market_order(trade, 0, self._broker.server_msc(trade.time_ns))
            order = msgspec.structs.replace(order, position_id=request.position)
        elif request.action != c.TRADE_ACTION_PENDING:
            return self._result(request, c.TRADE_RETCODE_PLACED)
        assert order is not None
        if delay_s is not None:
            self._start_lag(delay_s)
        done = self._broker.reject(order, self._now_ns())
        return self._result(request, c.TRADE_RETCODE_PLACED, order=done.ticket)

    def _perform(self, request: Any, verdict: SimVerdict) -> StructSequence:
        """Do what an accepted request asks."""
        broker, now_ns = self._broker, self._now_ns()
        if request.action == c.TRADE_ACTION_DEAL:
            return self._deal(request, verdict.position)
        if request.action == c.TRADE_ACTION_CLOSE_BY:
            assert verdict.position is not None
            assert verdict.other is not None
            return self._close_by(request, verdict.position, verdict.other)
        if request.action == c.TRADE_ACTION_SLTP:
            assert verdict.position is not None
            digits = broker.market.specs[verdict.position.symbol].digits
            sl, tp = (float(round_price(level, digits)) for level in (request.sl, request.tp))
            broker.set_levels(verdict.position, sl, tp, now_ns)
            return self._result(request, c.TRADE_RETCODE_DONE)
        order = verdict.order
        assert order is not None
        if request.action == c.TRADE_ACTION_REMOVE:
            broker.drop(order, c.ORDER_STATE_CANCELED, now_ns)
        elif request.action == c.TRADE_ACTION_MODIFY:
            broker.amend(order)
        else:
            return self._place(request, order)
        return self._result(request, c.TRADE_RETCODE_DONE, order=order.ticket, quoted=False)

    def _place(self, request: Any, order: SimOrder) -> StructSequence:
        """Let an order work; one that crosses an exchange's quote is filled, or is not passive."""
        quote = self._broker.market.quotes[order.symbol]
        crossing = crosses(order, quote.bid, quote.ask)
        if crossing and order.type_filling == c.ORDER_FILLING_BOC:
            return self._refusal(request, c.TRADE_RETCODE_REJECT)
        order = self._broker.place(order)
        if crossing:
            price = self._checks.fill_price(order.symbol, order.direction)
            now_ns = self._now_ns()
            self._pending.fill(order, price, now_ns, now_ns)
        return self._result(
            request, c.TRADE_RETCODE_DONE, order=order.ticket, volume=order.lots, quoted=False
        )

    def _close_by(self, request: Any, position: SimPosition, other: SimPosition) -> StructSequence:
        trade = SimTrade(
            symbol=position.symbol,
            direction=-position.direction,
            lots=min(position.lots, other.lots),
            price=other.price_open,
            time_ns=self._now_ns(),
            reason=c.DEAL_REASON_EXPERT,
            magic=request.magic,
            comment=request.comment,
        )
        first, _ = self._broker.close_by(position, other, trade)
        return self._dealt(request, c.TRADE_RETCODE_DONE, first)

    def _deal(self, request: Any, position: SimPosition | None) -> StructSequence:
        """Fill a market order as far as its filling and the liquidity allow."""
        trade = self._trade(request, position)
        left = self._liquidity.left(trade.symbol, trade.direction)
        wanted = self._filled(request)  # less than was asked for by a fault alone
        if left < wanted and (left <= 0.0 or trade.type_filling == c.ORDER_FILLING_FOK):
            return self._refusal(request, c.TRADE_RETCODE_REJECT)
        retcode = c.TRADE_RETCODE_DONE
        lots = min(left, wanted)
        if lots < trade.lots:
            retcode = c.TRADE_RETCODE_DONE_PARTIAL
            trade = msgspec.structs.replace(
                trade,
                lots=lots,
                ordered_lots=trade.lots,
                rests=trade.type_filling == c.ORDER_FILLING_RETURN,
            )
        self._liquidity.take(trade.symbol, trade.direction, trade.lots)
        return self._dealt(request, retcode, self._broker.execute(trade, position))

    def _dealt(self, request: Any, retcode: int, deal: Deal) -> StructSequence:
        return self._result(
            request,
            retcode,
            deal=deal.ticket,
            order=deal.order,
            volume=deal.volume,
            price=deal.price,
        )

    def _filled(self, request: Any) -> float:
        """Return the lots that are filled; a part that rounds to nothing is the whole."""
        fault = self._faults.take("order_send", "partial")
        if fault is None:
            return float(request.volume)
        spec = self._broker.market.specs[request.symbol]
        lots = floor_lots(request.volume * fault.fill_frac, spec.volume_step_lots)
        return float(lots or request.volume)

    def _trade(self, request: Any, position: SimPosition | None) -> SimTrade:
        direction = 1 if request.type == c.ORDER_TYPE_BUY else -1
        closing = position is not None and position.direction != direction
        # Stops belong to what a deal opens.
        keeps = not (closing and self._broker.account.hedging)
        return SimTrade(
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

    def freeze(self) -> None:
        """Go on showing positions and history as they are now, until `end_lag`."""
        self._start_lag(None)

    def end_lag(self) -> None:
        """Show everything there is."""
        self._lag = None

    def _start_lag(self, delay_s: float | None, *, positions: bool = True) -> None:
        """Show the history, and positions too, as they are now for a while; None is for ever."""
        broker = self._broker
        until_ns = _ENDLESS_NS if delay_s is None else time.monotonic_ns() + int(delay_s * 1e9)
        self._lag = _Lag(
            until_ns=until_ns,
            positions=[copy.copy(p) for p in broker.positions.values()] if positions else None,
            working=list(broker.working.values()),
            orders=broker.orders.copy(),
            deals=broker.deals.copy(),
        )

    def _lagging(self) -> _Lag | None:
        if self._lag and time.monotonic_ns() >= self._lag.until_ns:
            self._lag = None
        return self._lag

    def visible_positions(self) -> list[SimPosition]:
        """Return the open positions as the terminal shows them now."""
        lag = self._lagging()
        if self._switches.other_login:
            return []
        if lag is None or lag.positions is None:
            return list(self._broker.positions.values())
        return lag.positions

    def visible_working(self) -> list[SimOrder]:
        """Return the working orders as the terminal shows them now, in ticket order."""
        lag = self._lagging()
        return lag.working if lag else list(self._broker.working.values())

    def visible_orders(self) -> SimHistory[SimOrder]:
        """Return the order history as the terminal shows it now."""
        lag = self._lagging()
        if self._switches.other_login:
            return SimHistory[SimOrder](lambda order: order.ticket)
        return lag.orders if lag else self._broker.orders

    def visible_deals(self) -> SimHistory[Deal]:
        """Return the deal history as the terminal shows it now."""
        lag = self._lagging()
        if self._switches.other_login:
            return SimHistory[Deal](lambda deal: deal.order)
        return lag.deals if lag else self._broker.deals
