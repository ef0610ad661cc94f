"""What execution asks of a terminal; `engine.terminal.gateway.Gateway` is the one that runs."""

from typing import Any, Protocol

from engine.model.broker import (
    AccountState,
    BrokerDeal,
    BrokerOrder,
    BrokerPosition,
    OrderRequest,
    OrderResult,
    Quote,
)


class Terminal(Protocol):
    """The gateway's part that execution uses; each has a deadline and may raise."""

    def terminal(self) -> dict[str, Any]:
        """Return the terminal's own description; `connected` is to the trade server."""

    def account(self) -> AccountState:
        """Return the account now."""

    def quotes(self, names: list[str] | None = None) -> list[Quote]:
        """Return the last ticks of these symbols."""

    def positions(self) -> list[BrokerPosition]:
        """Return every open position of the account; a failure raises, it is never empty."""

    def orders(self) -> list[BrokerOrder]:
        """Return working orders."""

    def order_history(self, from_ns: int) -> list[BrokerOrder]:
        """Return orders done since `from_ns`."""

    def deals(self, from_ns: int) -> list[BrokerDeal]:
        """Return deals since `from_ns`, oldest first."""

    def send(self, request: OrderRequest) -> OrderResult:
        """Send once; OutcomeUnknown when nobody can tell, NotSent when it surely was not."""

    def modify(self, position: BrokerPosition, stop: float, target: float) -> OrderResult:
        """Set a position's stop and target; 0.0 removes one."""
