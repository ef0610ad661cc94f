"""The simulated broker: positions, fills, stops, swaps, margin, and the ledger behind them.

Every amount comes from `engine.decision.money` and every stop from
`engine.decision.matching`, the rules of the backtest, so that both agree to the last bit.
Every change is in the ledger before anybody hears of it.
"""

import math
from collections.abc import Callable

import msgspec

from engine.decision.matching import NO_HIT, STOP_HIT, match_bar
from engine.decision.money import (
    CURRENCY_DIGITS,
    commission_ccy,
    round_ccy,
    round_lots,
    swap_night_ccy,
    swap_nights,
)
from engine.decision.stop_out import is_stopped_out
from engine.model.errors import StateError
from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_MS
from engine.terminal.simulated.broker.accounting import Accounting, Figures
from engine.terminal.simulated.broker.history import SimHistory
from engine.terminal.simulated.broker.ledger import SimLedger
from engine.terminal.simulated.broker.market import SimMarket
from engine.terminal.simulated.broker.state import AccountRecord, Deal, SimOrder, SimPosition
from engine.terminal.simulated.config import SimulatedConfig
from engine.terminal.simulated.module import constants as c


class SimTrade(msgspec.Struct, frozen=True, kw_only=True):
    """A fill about to happen. `direction` is the deal's; `time_ns` UTC; stops 0.0 for none.

    `ordered_lots`: what the market order behind it asked for, 0.0 for `lots`; with `rests` what
    it did not get goes on working. `since_ns`: see Position.
    """

    symbol: str
    direction: int
    lots: float
    price: float
    time_ns: int
    reason: int
    magic: int = 0
    comment: str = ""
    sl: float = 0.0
    tp: float = 0.0
    type_filling: int = 0
    ordered_lots: float = 0.0
    rests: bool = False
    since_ns: int = 0


class Broker:
    """One account over a market. Positions and working orders stay in ticket order."""

    def __init__(
        self, config: SimulatedConfig, market: SimMarket, ledger: SimLedger, clock: ServerClock
    ) -> None:
        self.config = config
        self.market = market
        self.clock = clock
        self._ledger = ledger
        stored = ledger.account()
        self.account = stored or self._new_account()
        self.positions = {p.ticket: p for p in ledger.positions()}
        self.money = Accounting(market, self.account, self.positions, config.account.leverage)
        stored_orders = ledger.orders()
        self.working = {order.ticket: order for order in stored_orders if order.is_working}
        done = [order for order in stored_orders if not order.is_working]
        done.sort(key=lambda order: order.closed_msc)
        self.orders = SimHistory[SimOrder](lambda order: order.ticket, done)
        self.deals = SimHistory[Deal](lambda deal: deal.order, ledger.deals())
        if stored is None:
            self._deposit()
        self._check_identity()

    def _new_account(self) -> AccountRecord:
        account = self.config.account
        return AccountRecord(
            login=account.login,
            currency=account.currency,
            hedging=account.hedging,
            balance_ccy=float(account.balance_ccy),
            clock_ns=self.config.start_ns,
        )

    def _check_identity(self) -> None:
        account, wanted = self.account, self.config.account
        held = (account.login, account.currency, account.hedging)
        if held != (wanted.login, wanted.currency, wanted.hedging):
            raise StateError(
                f"broker ledger {self.config.ledger_path} holds account {account.login} "
                f"({account.currency}, {'hedging' if account.hedging else 'netting'}), "
                f"not {wanted.login}: remove it or use another"
            )
        if unknown := self.in_use() - self.market.specs.keys():
            raise StateError(
                f"broker ledger {self.config.ledger_path} holds positions or orders in "
                f"{', '.join(sorted(unknown))}, which this terminal does not have"
            )

    def _deposit(self) -> None:
        deal = Deal(
            ticket=self._take_deal(),
            order=0,
            time_msc=self.server_msc(self.account.clock_ns),
            type=c.DEAL_TYPE_BALANCE,
            entry=c.DEAL_ENTRY_IN,
            magic=0,
            position_id=0,
            reason=c.DEAL_REASON_CLIENT,
            volume=0.0,
            price=0.0,
            commission=0.0,
            swap=0.0,
            profit=self.account.balance_ccy,
            symbol="",
            comment="Deposit",
        )
        self.deals.append(deal)
        self._ledger.write(self.account, deals=[deal])

    def take_order(self) -> int:
        """Return the next order's ticket."""
        self.account.next_order += 1
        return self.account.next_order - 1

    def _take_deal(self) -> int:
        self.account.next_deal += 1
        return self.account.next_deal - 1

    def server_msc(self, utc_ns: int) -> int:
        """Return the server's wall clock in milliseconds."""
        return self.clock.to_server_ns(utc_ns) // NS_PER_MS

    def in_use(self) -> set[str]:
        """Return the symbols that have positions or working orders."""
        symbols = {position.symbol for position in self.positions.values()}
        symbols.update(order.symbol for order in self.working.values())
        return symbols

    def netted(self, symbol: str) -> SimPosition | None:
        """Return the one position of a netting account in `symbol`."""
        return next((p for p in self.positions.values() if p.symbol == symbol), None)

    def place(self, order: SimOrder) -> SimOrder:
        """Let an order work from now on; the broker numbers it."""
        order = msgspec.structs.replace(order, ticket=self.take_order())
        self.amend(order)
        return order

    def amend(self, order: SimOrder) -> None:
        """Write a working order as it now is."""
        self.working[order.ticket] = order
        self._ledger.write(self.account, orders=[order])

    def drop(self, order: SimOrder, state: int, time_ns: int) -> None:
        """End a working order unfilled; `state` says why."""
        done = msgspec.structs.replace(order, state=state, done_msc=self.server_msc(time_ns))
        del self.working[order.ticket]
        self._ledger.write(self.account, orders=[done])
        self.orders.append(done)

    def reject(self, order: SimOrder, time_ns: int) -> SimOrder:
        """Number an order that comes to nothing, and have it in the history as rejected."""
        done = msgspec.structs.replace(
            order,
            ticket=self.take_order(),
            state=c.ORDER_STATE_REJECTED,
            done_msc=self.server_msc(time_ns),
        )
        self._ledger.write(self.account, orders=[done])
        self.orders.append(done)
        return done

    def execute(
        self, trade: SimTrade, position: SimPosition | None, order: SimOrder | None = None
    ) -> Deal:
        """Fill an order, in whole or in part, and write it.

        It opens without a position, else adds, reduces, closes or reverses. `order` is the working
        order behind it; None is a market order, made here.
        """
        msc = self.server_msc(trade.time_ns)
        if order is None:
            order = market_order(trade, self.take_order(), msc)
        ticket = order.ticket
        position_id = position.identifier if position else ticket
        entry, profit, swap = c.DEAL_ENTRY_IN, 0.0, 0.0
        closed: list[int] = []
        if position is None:
            touched = [self._open(trade, ticket)]
        elif trade.direction == position.direction:
            touched = [self._add(trade, position)]
        else:
            lots = min(trade.lots, position.lots)
            profit = self.money.profit(position, lots, trade.price)
            swap = self._take_swap(position, lots)
            entry = c.DEAL_ENTRY_INOUT if trade.lots > position.lots else c.DEAL_ENTRY_OUT
            touched, closed = self._reduce(trade, position, ticket)
        for item in touched:
            item.since_ns = max(item.since_ns, trade.since_ns)
        deal = self._deal(
            trade, ticket, entry=entry, position_id=position_id, profit=profit, swap=swap
        )
        left = float(round_lots(order.lots_left - trade.lots))
        rests = trade.rests and left > 0.0
        order = msgspec.structs.replace(
            order,
            position_id=position_id,
            lots_left=left,
            state=c.ORDER_STATE_PARTIAL if left > 0.0 else c.ORDER_STATE_FILLED,
            done_msc=0 if rests else msc,
        )
        self._book([deal], order, touched, closed)
        return deal

    def _book(
        self, deals: list[Deal], order: SimOrder, touched: list[SimPosition], closed: list[int]
    ) -> None:
        """Write an order's deals with all that they changed, then show them."""
        balance = self.account.balance_ccy
        for deal in deals:
            balance = round_ccy(
                balance + deal.profit + deal.commission + deal.swap, CURRENCY_DIGITS
            )
        self.account.balance_ccy = float(balance)
        self._ledger.write(
            self.account, positions=touched, closed=closed, orders=[order], deals=deals
        )
        if order.done_msc:
            self.working.pop(order.ticket, None)
            self.orders.append(order)
        else:
            self.working[order.ticket] = order
        for deal in deals:
            self.deals.append(deal)

    def _open(self, trade: SimTrade, ticket: int) -> SimPosition:
        msc = self.server_msc(trade.time_ns)
        position = SimPosition(
            ticket=ticket,
            identifier=ticket,
            symbol=trade.symbol,
            direction=trade.direction,
            lots=trade.lots,
            price_open=trade.price,
            sl=trade.sl,
            tp=trade.tp,
            magic=trade.magic,
            comment=trade.comment,
            time_msc=msc,
            time_update_msc=msc,
        )
        # An order that waited has an older ticket than what was opened meanwhile.
        late = bool(self.positions) and ticket < next(reversed(self.positions))
        self.positions[ticket] = position
        if late:
            in_order = sorted(self.positions.items())
            self.positions.clear()
            self.positions.update(in_order)
        return position

    def _add(self, trade: SimTrade, position: SimPosition) -> SimPosition:
        lots = float(round_lots(position.lots + trade.lots))
        paid = position.lots * position.price_open + trade.lots * trade.price
        position.price_open = paid / lots
        position.lots = lots
        position.sl = trade.sl or position.sl
        position.tp = trade.tp or position.tp
        position.time_update_msc = self.server_msc(trade.time_ns)
        return position

    def _reduce(
        self, trade: SimTrade, position: SimPosition, ticket: int
    ) -> tuple[list[SimPosition], list[int]]:
        """Return (positions to write, tickets to delete) after an opposite deal."""
        rest = float(round_lots(position.lots - trade.lots))
        position.time_update_msc = self.server_msc(trade.time_ns)
        if rest > 0.0:
            position.lots = rest
            return [position], []
        del self.positions[position.ticket]
        closed = [position.ticket]
        if rest == 0.0:
            return [], closed
        # A reversal: a new ticket, the old identifier.
        reversed_ = self._open(trade, ticket)
        reversed_.identifier = position.identifier
        reversed_.lots = -rest
        return [reversed_], closed

    def _take_swap(self, position: SimPosition, lots: float) -> float:
        """Return the closed lots' share of the swap, rounded, and leave the rest accumulated."""
        share = position.swap_ccy
        if lots < position.lots:
            share *= lots / position.lots
        position.swap_ccy -= share
        return float(round_ccy(share, CURRENCY_DIGITS))

    def _deal(
        self,
        trade: SimTrade,
        order: int,
        *,
        entry: int,
        position_id: int,
        profit: float,
        swap: float,
    ) -> Deal:
        per_lot = self.market.specs[trade.symbol].commission_per_lot_ccy
        return Deal(
            ticket=self._take_deal(),
            order=order,
            time_msc=self.server_msc(trade.time_ns),
            type=c.DEAL_TYPE_BUY if trade.direction > 0 else c.DEAL_TYPE_SELL,
            entry=entry,
            magic=trade.magic,
            position_id=position_id,
            reason=trade.reason,
            volume=trade.lots,
            price=trade.price,
            commission=float(commission_ccy(trade.lots, per_lot, CURRENCY_DIGITS)),
            swap=swap,
            profit=profit,
            symbol=trade.symbol,
            comment=trade.comment,
        )

    def close_by(self, position: SimPosition, other: SimPosition, trade: SimTrade) -> list[Deal]:
        """Close two opposite positions against each other; the smaller one wholly.

        `trade` has the side of `position`'s closing and the price that `other` was opened at: the
        first deal has the profit, the second none. Nothing is traded, so there is no commission.
        """
        msc, ticket = self.server_msc(trade.time_ns), self.take_order()
        deals, touched, closed = [], [], []
        for item, direction in ((position, trade.direction), (other, -trade.direction)):
            part = msgspec.structs.replace(trade, direction=direction)
            profit = self.money.profit(item, trade.lots, trade.price)
            swap = self._take_swap(item, trade.lots)
            rest, gone = self._reduce(part, item, ticket)
            touched += rest
            closed += gone
            deal = self._deal(
                part,
                ticket,
                entry=c.DEAL_ENTRY_OUT_BY,
                position_id=item.identifier,
                profit=profit,
                swap=swap,
            )
            deals.append(msgspec.structs.replace(deal, commission=0.0))
        order = msgspec.structs.replace(
            market_order(trade, ticket, msc),
            type=c.ORDER_TYPE_CLOSE_BY,
            position_id=position.identifier,
            position_by=other.identifier,
            lots_left=0.0,
            done_msc=msc,
        )
        self._book(deals, order, touched, closed)
        return deals

    def set_levels(self, position: SimPosition, sl: float, tp: float, time_ns: int) -> None:
        """Move a position's stop and target and write it."""
        position.sl, position.tp = sl, tp
        position.time_update_msc = self.server_msc(time_ns)
        self._ledger.write(self.account, positions=[position])

    def match(
        self,
        symbol: str,
        time_ns: int,
        prices: tuple[float, float, float],
        spread: float,
        *,
        late: bool = False,
    ) -> None:
        """Close the positions whose stop or target (open, high, low) bids reached, at `time_ns`.

        `late`: only those that came to be what they are after these prices began.
        """
        digits = self.market.specs[symbol].digits
        for position in [p for p in self.positions.values() if p.symbol == symbol]:
            if (position.since_ns > time_ns) != late:
                continue
            hit, price = match_bar(
                position.direction,
                position.sl or math.nan,
                position.tp or math.nan,
                *prices,
                spread,
                digits,
            )
            if hit != NO_HIT:
                name = "sl" if hit == STOP_HIT else "tp"
                reason = c.DEAL_REASON_SL if hit == STOP_HIT else c.DEAL_REASON_TP
                self._close(position, price, time_ns, reason, f"[{name} {price:.{digits}f}]")

    def _close(
        self, position: SimPosition, price: float, time_ns: int, reason: int, comment: str
    ) -> None:
        trade = SimTrade(
            symbol=position.symbol,
            direction=-position.direction,
            lots=position.lots,
            price=float(price),
            time_ns=time_ns,
            reason=reason,
            magic=position.magic,
            comment=comment,
        )
        self.execute(trade, position)

    def roll_day(self, now_ns: int) -> None:
        """Charge swaps when the server's day has changed, at the quotes as they stand.

        Where orders are daily, stops and targets end with the day.
        """
        day = self.clock.day(now_ns)
        last, self.account.swap_day = self.account.swap_day, max(day, self.account.swap_day)
        if last < 0 or day <= last:
            return
        for position in self.positions.values():
            spec = self.market.specs[position.symbol]
            position.swap_ccy += swap_nights(last, day, spec.swap_triple_weekday) * swap_night_ccy(
                position.direction,
                position.lots,
                spec.swap_long_points,
                spec.swap_short_points,
                spec.digits,
                spec.contract_size,
                self.market.conversion(position.symbol),
            )
            if self.config.orders == "daily":
                position.sl = position.tp = 0.0
        self._ledger.write(self.account, positions=self.positions.values())

    def stop_out(self, now_ns: int, trades: Callable[[str, int], bool]) -> None:
        """Below the stop-out level, close the largest loser that trades, and look again.

        `trades` tells whether a symbol does at a time. A backtest's is `engine.decision.stop_out`.
        """
        while self.positions:
            figures = self.money.figures()
            if not self._is_stopped_out(figures):
                return
            losers = [p for p in self.positions.values() if trades(p.symbol, now_ns)]
            if not losers:
                return
            worst = min(
                losers, key=lambda p: self.money.profit(p, p.lots, self.money.closing_price(p))
            )
            price = self.money.closing_price(worst)
            comment = f"[so {figures.margin_level:z.2f}%]"
            self._close(worst, price, now_ns, c.DEAL_REASON_SO, comment)

    def _is_stopped_out(self, figures: Figures) -> bool:
        if self.config.margin_so_ccy is not None:
            return figures.margin_free < self.config.margin_so_ccy
        return is_stopped_out(figures.equity, figures.margin, self.config.margin_so_frac)

    def save_clock(self, now_ns: int) -> None:
        """Write that everything up to `now_ns` is processed."""
        self.account.clock_ns = now_ns
        self._ledger.write(self.account)

    def close(self) -> None:
        """Close the ledger."""
        self._ledger.close()


def market_order(trade: SimTrade, ticket: int, time_msc: int) -> SimOrder:
    """Return the market order behind a fill, before it."""
    lots = trade.ordered_lots or trade.lots
    return SimOrder(
        ticket=ticket,
        symbol=trade.symbol,
        type=c.ORDER_TYPE_BUY if trade.direction > 0 else c.ORDER_TYPE_SELL,
        lots=lots,
        lots_left=lots,
        price=trade.price,
        sl=trade.sl,
        tp=trade.tp,
        magic=trade.magic,
        comment=trade.comment,
        # The order's reasons are numbered as the deal's.
        reason=trade.reason,
        type_filling=trade.type_filling,
        position_id=0,
        time_msc=time_msc,
    )
