"""The module's `Buy`, `Sell` and `Close`: at market they try again by themselves on requotes.

Scripts use them; the gateway never does.
"""

from typing import Any, Final

from engine.terminal.simulated.module import constants as c

_TRIES: Final = 10
_RETRIED: Final = (c.TRADE_RETCODE_REQUOTE, c.TRADE_RETCODE_PRICE_OFF)


class Helpers:
    """Convenience functions over the terminal's own functions."""

    def Buy(
        self,
        symbol: str,
        volume: float,
        price: float | None = None,
        *,
        comment: str | None = None,
        ticket: int | None = None,
    ) -> Any:
        """Buy at a price, sent once, or at market; return the last OrderSendResult, or None."""
        return self._trade(c.ORDER_TYPE_BUY, symbol, volume, price, comment, ticket)

    def Sell(
        self,
        symbol: str,
        volume: float,
        price: float | None = None,
        *,
        comment: str | None = None,
        ticket: int | None = None,
    ) -> Any:
        """Sell at a price, sent once, or at market; return the last OrderSendResult, or None."""
        return self._trade(c.ORDER_TYPE_SELL, symbol, volume, price, comment, ticket)

    def Close(
        self, symbol: str, *, comment: str | None = None, ticket: int | None = None
    ) -> bool | str | None:
        """Close a symbol's positions, or one: True, "Partially", False, or None on errors."""
        terminal: Any = self
        found = (
            terminal.positions_get(symbol=symbol)
            if ticket is None
            else terminal.positions_get(ticket=ticket)
        )
        if found is None:
            return None
        n_closed = 0
        for position in found:
            buy = position.type == c.POSITION_TYPE_BUY
            side = c.ORDER_TYPE_SELL if buy else c.ORDER_TYPE_BUY
            result = self._trade(side, symbol, position.volume, None, comment, position.ticket)
            if result is None:
                return None
            n_closed += result.retcode == c.TRADE_RETCODE_DONE
        if not n_closed:
            return False
        return True if n_closed == len(found) else "Partially"

    def _trade(
        self,
        side: int,
        symbol: str,
        volume: float,
        price: float | None,
        comment: str | None,
        ticket: int | None,
    ) -> Any:
        if price is not None:
            return self._RawOrder(side, symbol, volume, price, comment, ticket)
        terminal: Any = self
        result = None
        for _ in range(_TRIES):
            tick = terminal.symbol_info_tick(symbol)
            if tick is None:
                return None
            market = tick.ask if side == c.ORDER_TYPE_BUY else tick.bid
            result = self._RawOrder(side, symbol, volume, market, comment, ticket)
            if result is None or result.retcode not in _RETRIED:
                break
        return result

    def _RawOrder(
        self,
        order_type: int,
        symbol: str,
        volume: float,
        price: float,
        comment: str | None = None,
        ticket: int | None = None,
    ) -> Any:
        """Send one market order at a price, once; return its OrderSendResult, or None."""
        request = {
            "action": c.TRADE_ACTION_DEAL,
            "symbol": symbol,
            "volume": volume,
            "type": order_type,
            "price": price,
            "deviation": 10,
        }
        if comment is not None:
            request["comment"] = comment
        if ticket is not None:
            request["position"] = ticket
        terminal: Any = self
        return terminal.order_send(request)
