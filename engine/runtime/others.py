"""What others hold and made on this account: EXTERNAL positions counted in the core's risk.

Lots count in exposure and margin. Their money, open profit and everything in the balance that is
not ours, counts in the account's drawdown and never in our own.
"""

from collections.abc import Mapping, Sequence

from engine.decision.money import round_ccy
from engine.decision.state import Core
from engine.execution.terminal import Terminal
from engine.model.broker import BrokerPosition
from engine.runtime.balance import Balance


class Others:
    """Keeps the difference between the terminal's balance and ours."""

    def __init__(self, terminal: Terminal, balance: Balance) -> None:
        self._terminal = terminal
        self._balance = balance
        self._balance_ccy: float | None = None
        self._held: dict[int, float] = {}

    def count(
        self,
        core: Core,
        symbols: Mapping[str, int],
        held: Sequence[BrokerPosition],
        *,
        settled: bool,
        look: bool = False,
    ) -> None:
        """Take what others hold into the core.

        The balance is asked for when they hold something else than before, or at a `look`; unless
        it is `settled`, deals of our own may still be missing in ours, and it waits.

        Raises:
            BrokerError: the terminal could not be read.
        """
        core.quotes["external_lots"] = 0.0
        for position in held:
            if position.symbol in symbols:
                lots = position.direction * position.lots
                core.quotes["external_lots"][symbols[position.symbol]] += lots
        now = {position.identifier: position.lots for position in held}
        if settled and (look or now != self._held):
            there_ccy = self._terminal.account().balance_ccy
            self._balance.look(core, there_ccy)
            theirs_ccy = there_ccy - float(core.account[0]["balance_ccy"])
            self._balance_ccy = float(round_ccy(theirs_ccy, core.limits[0]["currency_digits"]))
            self._held = now
        if self._balance_ccy is None:  # what was saved stands
            return
        open_ccy = sum(position.profit_ccy + position.swap_ccy for position in held)
        core.account[0]["external_ccy"] = self._balance_ccy + open_ccy
