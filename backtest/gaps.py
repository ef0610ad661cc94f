"""Why live and a backtest of the same hours were not alike: the best reason that is known."""

from collections.abc import Callable, Collection, Mapping
from typing import Final

import numpy as np

from engine.model.bars import Bars
from engine.model.live_day import LiveDay, LiveTrade
from engine.model.parity import Gap
from engine.model.times import NS_PER_MINUTE

# Entries that are further apart are of two trades.
LATE_MINUTES: Final = 10
# How far back bars that were not the same may have misled a decision.
BARS_BEFORE: Final = 60
# Two exits that are further apart are not of the same ticks.
TICKS_MINUTES: Final = 60
INSIDE: Final = ("stop", "target")
"""Reasons of exits inside a bar."""
_BY_TICKS: Final = (*INSIDE, "drawdown")
_HANDS: Final = ("kill", "flatten", "operator", "external", "stop_out")


RefusalAt = Callable[[str, int], str]
"""Tells which rule refused an entry of a slot in the backtest's batch at a time, "" if none."""
REFUSALS_MAX: Final = 20
"""Asked for so often: each is a backtest."""


def minute_of(time_ns: int) -> int:
    """Return the minute of a time, counted from the epoch."""
    return time_ns // NS_PER_MINUTE


class Reasons:
    """What is known of live's hours that can explain a gap. `members`: each slot's."""

    def __init__(
        self,
        day: LiveDay,
        bars: Mapping[str, Bars],
        from_ns: int,
        *,
        members: Mapping[str, Collection[str]],
        refusal: RefusalAt,
    ) -> None:
        self._day = day
        self._members = members
        self._refusal = refusal
        self._n_asked = 0
        self._from_ns = from_ns
        self._seen = {
            symbol: {minute_of(time_ns): values for time_ns, *values in rows}
            for symbol, rows in day.bars.items()
        }
        self._now = {
            symbol: {
                minute_of(bar["time_ns"]): [bar["high"], bar["low"], bar["close"]]
                for bar in rows[np.searchsorted(rows["time_ns"], from_ns) :]
            }
            for symbol, rows in bars.items()
        }

    def gap(
        self,
        at_ns: int,
        trade: LiveTrade,
        what: str,
        earlier: Gap | None,
        *,
        late: int = 0,
        exits: tuple[str, ...] = (),
        apart: float = 0.0,
    ) -> Gap:
        """Return the gap with the best reason there is.

        `late`: above 0 where live's entry or exit came later or never, below 0 where the other's
        entry did. `exits` are the reasons of both, live's first, `apart` the minutes between.
        """
        if earlier is not None:
            why = f"earlier gap: {earlier.why}"
            return Gap(
                time_ns=at_ns, symbol=trade.symbol, what=what, why=why, explained=earlier.explained
            )
        why = (
            self._hand(exits)
            or (late > 0 and self._order(at_ns, trade))
            or (late > 0 and not exits and self._refused(at_ns, trade))
            or (late < 0 and self._rule(at_ns, trade))
            or self._absence(at_ns, trade.symbol)
            or (apart <= TICKS_MINUTES and self._ticks(exits))
            or self._command(at_ns, trade)
            or self._bars(at_ns, trade.symbol)
        )
        return Gap(
            time_ns=at_ns,
            symbol=trade.symbol,
            what=what,
            why=why or "not explained",
            explained=bool(why),
        )

    @staticmethod
    def _hand(exits: tuple[str, ...]) -> str:
        return (
            f"closed by hand or by the broker: {exits[0]}"
            if exits[:1] and exits[0] in _HANDS
            else ""
        )

    @staticmethod
    def _ticks(exits: tuple[str, ...]) -> str:
        reached = any(reason in _BY_TICKS for reason in exits)
        return "live looks at every tick, a backtest at bars" if reached else ""

    def _order(self, at_ns: int, trade: LiveTrade) -> str:
        for order in self._day.orders:
            if (
                order.book == trade.book
                and order.symbol == trade.symbol
                and 0 <= minute_of(order.time_ns) - minute_of(at_ns) <= LATE_MINUTES
            ):
                return f"the order was not filled: {order.text}"
        return ""

    def _refused(self, at_ns: int, trade: LiveTrade) -> str:
        slot, minute = f"{trade.book}/{trade.symbol}", minute_of(at_ns)
        for run in self._day.refused:
            if run.slot == slot and minute_of(run.from_ns) <= minute <= minute_of(run.to_ns):
                return f"live's tick did not pass {run.rule}, the backtest's bar did"
        return ""

    def _rule(self, at_ns: int, trade: LiveTrade) -> str:
        if self._n_asked >= REFUSALS_MAX:
            return ""
        self._n_asked += 1
        rule = self._refusal(f"{trade.book}/{trade.symbol}", at_ns)
        return f"the backtest's bar did not pass {rule}, live's tick did" if rule else ""

    def _absence(self, at_ns: int, symbol: str) -> str:
        """Say that live never had the bar that closed at a batch."""
        before = minute_of(at_ns) - 1
        if before < minute_of(self._from_ns) or before not in self._now.get(symbol, {}):
            return ""
        return "" if before in self._seen.get(symbol, {}) else "live had no bar then: it was away"

    def _command(self, at_ns: int, trade: LiveTrade) -> str:
        # A member without a share in the trade may have been what stood against it.
        members = self._members.get(f"{trade.book}/{trade.symbol}", ())
        concerned = {"", trade.book, trade.symbol, *trade.shares, *members}
        done = [
            command.text
            for command in self._day.commands
            if command.target in concerned
            and command.time_ns <= at_ns
            and (not command.until_ns or minute_of(at_ns) <= minute_of(command.until_ns))
        ]
        return done[-1] if done else ""

    def _bars(self, at_ns: int, symbol: str) -> str:
        now, seen = self._now.get(symbol, {}), self._seen.get(symbol, {})
        minutes = [m for m in range(minute_of(at_ns) - BARS_BEFORE, minute_of(at_ns)) if m in now]
        other = [
            m for m in minutes if m in seen and not np.allclose(now[m], seen[m], rtol=1e-9, atol=0)
        ]
        missing = [m for m in minutes if m not in seen and m >= minute_of(self._from_ns)]
        parts = [
            text
            for n, text in (
                (len(other), f"{len(other)} of the last {len(minutes)} bars changed since"),
                (len(missing), f"{len(missing)} of the last {len(minutes)} bars live did not see"),
            )
            if n
        ]
        return "; ".join(parts)
