"""The simulated broker: positions, fills, stops, swaps, margin, and the ledger behind them.

Every amount comes from `engine.decision.money` and every stop from
`engine.decision.matching`, the rules of the backtest, so that both agree to the last bit.
Every change is in the ledger before anybody hears of it.
"""

import math
from typing import Final

import msgspec

from engine.decision.matching import NO_HIT, STOP_HIT, match_bar
from engine.decision.money import (
    CURRENCY_DIGITS,
    commission_ccy,
    round_ccy,
    swap_night_ccy,
    swap_nights,
)
from engine.model.errors import StateError
from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_MS
from engine.terminal.simulated import constants as c
from engine.terminal.simulated.accounting import Accounting
from engine.terminal.simulated.config import SimulatedConfig
from engine.terminal.simulated.history import History
from engine.terminal.simulated.ledger import Ledger
from engine.terminal.simulated.market import Market
from engine.terminal.simulated.state import AccountRecord, Deal, Order, Position

_LOTS_DIGITS: Final = 8


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """A fill about to happen. `direction` is the deal's; `time_ns` UTC; stops 0.0 for none."""

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


class Broker:
    """One account over a market. Positions stay in ticket order."""

    def __init__(
        self, config: SimulatedConfig, market: Market, ledger: Ledger, clock: ServerClock
    ) -> None:
        self.config = config
        self.market = market
        self.clock = clock
        self._ledger = ledger
        stored = ledger.account()
        self.account = stored or self._new_account()
        self.positions = {p.ticket: p for p in ledger.positions()}
        self.money = Accounting(market, self.account, self.positions, config.account.leverage)
        self.orders = History[Order](lambda order: order.ticket, ledger.orders())
        self.deals = History[Deal](lambda deal: deal.order, ledger.deals())
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
        if unknown := {p.symbol for p in self.positions.values()} - self.market.specs.keys():
            raise StateError(
                f"broker ledger {self.config.ledger_path} holds positions in "
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

    def _take_order(self) -> int:
        self.account.next_order += 1
        return self.account.next_order - 1

    def _take_deal(self) -> int:
        self.account.next_deal += 1
        return self.account.next_deal - 1

    def server_msc(self, utc_ns: int) -> int:
        """Return the server's wall clock in milliseconds."""
        return self.clock.to_server_ns(utc_ns) // NS_PER_MS

    def netted(self, symbol: str) -> Position | None:
        """Return the one position of a netting account in `symbol`."""
        return next((p for p in self.positions.values() if p.symbol == symbol), None)

    def execute(self, trade: Trade, position: Position | None) -> Deal:
        """Fill a market order and write it: opens without a position, else adds, reduces, closes
        or reverses.
        """
        ticket = self._take_order()
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
        deal = self._deal(
            trade, ticket, entry=entry, position_id=position_id, profit=profit, swap=swap
        )
        order = _order(trade, ticket, position_id=position_id, time_msc=deal.time_msc)
        balance = self.account.balance_ccy + profit + deal.commission + swap
        self.account.balance_ccy = float(round_ccy(balance, CURRENCY_DIGITS))
        self._ledger.write(
            self.account, positions=touched, closed=closed, orders=[order], deals=[deal]
        )
        self.orders.append(order)
        self.deals.append(deal)
        return deal

    def _open(self, trade: Trade, ticket: int) -> Position:
        msc = self.server_msc(trade.time_ns)
        position = Position(
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
        self.positions[ticket] = position
        return position

    def _add(self, trade: Trade, position: Position) -> Position:
        lots = round(position.lots + trade.lots, _LOTS_DIGITS)
        paid = position.lots * position.price_open + trade.lots * trade.price
        position.price_open = paid / lots
        position.lots = lots
        position.sl = trade.sl or position.sl
        position.tp = trade.tp or position.tp
        position.time_update_msc = self.server_msc(trade.time_ns)
        return position

    def _reduce(
        self, trade: Trade, position: Position, ticket: int
    ) -> tuple[list[Position], list[int]]:
        """Return (positions to write, tickets to delete) after an opposite deal."""
        rest = round(position.lots - trade.lots, _LOTS_DIGITS)
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

    def _take_swap(self, position: Position, lots: float) -> float:
        """Return the closed lots' share of the swap, rounded, and leave the rest accumulated."""
        share = position.swap_ccy
        if lots < position.lots:
            share *= lots / position.lots
        position.swap_ccy -= share
        return float(round_ccy(share, CURRENCY_DIGITS))

    def _deal(
        self,
        trade: Trade,
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

    def set_levels(self, position: Position, sl: float, tp: float, time_ns: int) -> None:
        """Move a position's stop and target and write it."""
        position.sl, position.tp = sl, tp
        position.time_update_msc = self.server_msc(time_ns)
        self._ledger.write(self.account, positions=[position])

    def match(
        self, symbol: str, time_ns: int, prices: tuple[float, float, float], spread: float
    ) -> None:
        """Close the positions whose stop or target (open, high, low) bids reached, at `time_ns`."""
        digits = self.market.specs[symbol].digits
        for position in [p for p in self.positions.values() if p.symbol == symbol]:
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
        self, position: Position, price: float, time_ns: int, reason: int, comment: str
    ) -> None:
        trade = Trade(
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
        """Charge swaps when the server's day has changed, at the quotes as they stand."""
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
                spec.point,
                spec.contract_size,
                self.market.conversion(position.symbol),
            )
        self._ledger.write(self.account, positions=self.positions.values())

    def stop_out(self, now_ns: int) -> None:
        """Below the stop-out margin level, close the largest loser that trades, and look again."""
        while self.positions:
            figures = self.money.figures()
            if not figures.equity < figures.margin * self.config.margin_so_frac:
                return
            losers = [p for p in self.positions.values() if self.market.is_open(p.symbol, now_ns)]
            if not losers:
                return
            worst = min(
                losers, key=lambda p: self.money.profit(p, p.lots, self.money.closing_price(p))
            )
            price = self.money.closing_price(worst)
            comment = f"[so {figures.margin_level:.2f}%]"
            self._close(worst, price, now_ns, c.DEAL_REASON_SO, comment)

    def save_clock(self, now_ns: int) -> None:
        """Write that everything up to `now_ns` is processed."""
        self.account.clock_ns = now_ns
        self._ledger.write(self.account)

    def close(self) -> None:
        """Close the ledger."""
        self._ledger.close()


def _order(trade: Trade, ticket: int, *, position_id: int, time_msc: int) -> Order:
    return Order(
        ticket=ticket,
        symbol=trade.symbol,
        type=c.ORDER_TYPE_BUY if trade.direction > 0 else c.ORDER_TYPE_SELL,
        lots=trade.lots,
        price=trade.price,
        sl=trade.sl,
        tp=trade.tp,
        magic=trade.magic,
        comment=trade.comment,
        # The order's reasons are numbered as the deal's.
        reason=trade.reason,
        type_filling=trade.type_filling,
        position_id=position_id,
        time_msc=time_msc,
    )
