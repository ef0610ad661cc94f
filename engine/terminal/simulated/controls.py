"""Simulation control, beside the module's functions: time, speed, faults, switches.

`control` takes plain messages, so that the host can pass them on:
{"op": "advance", "to_ns": …} · {"op": "jump", "to_ns": …} · {"op": "set_speed", "speed": …} ·
{"op": "set_fault", …Fault fields} · {"op": "script", "text": …} · {"op": "clear_faults"} ·
{"op": "end_lag"} · {"op": "set_switches", …Switches fields} · {"op": "trace", "on": …} ·
{"op": "state"}.
Each answers the state; "trace" that turns it off has what was traced in it, as `trace`.
"""

import time
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from engine.model.errors import StateError, UserError
from engine.terminal.simulated.broker.broker import Broker
from engine.terminal.simulated.broker.checks import Checks
from engine.terminal.simulated.broker.ledger import SimLedger
from engine.terminal.simulated.broker.liquidity import Liquidity
from engine.terminal.simulated.broker.market import SimMarket
from engine.terminal.simulated.broker.pending import Pending
from engine.terminal.simulated.broker.trading import Trading
from engine.terminal.simulated.config import SimulatedConfig
from engine.terminal.simulated.fault_text import read_faults
from engine.terminal.simulated.faults import Fault, Faults, Switches
from engine.terminal.simulated.module import constants as c
from engine.terminal.simulated.module.arguments import ERROR_TEXTS
from engine.terminal.simulated.module.trace import Trace
from engine.terminal.simulated.prices.clock import SimClock
from engine.terminal.simulated.prices.jumping_clock import JumpingClock
from engine.terminal.simulated.prices.prices import PriceSource
from engine.terminal.simulated.prices.rates import RateHistory
from engine.terminal.simulated.prices.sessions import SessionSource
from engine.terminal.simulated.prices.timeline import RealTime, SteppedTime

_log = structlog.get_logger(__name__)


class Controls:
    """The parts of a simulated terminal and the ways to move and disturb it."""

    def __init__(
        self,
        config: SimulatedConfig,
        source: PriceSource,
        ledger: SimLedger,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        clock = self._server_clock = JumpingClock(config.server_clock)
        if config.hours or config.holidays:
            source = SessionSource(source, clock, config.hours, config.holidays)
        self.config = config
        self.faults = Faults()
        self.switches = Switches()
        self.market = SimMarket(
            config.specs, source, config.account.currency, filtered=config.filtered
        )
        self.broker = Broker(config, self.market, ledger, clock)
        self.liquidity = Liquidity(self.market, self.broker.account, config.liquidity_lots)
        pending = Pending(self.broker, self.liquidity)
        self.timeline: SteppedTime | RealTime
        if config.speed is None:
            self.timeline = SteppedTime(self.market, self.broker, pending)
        else:
            running = SimClock(self.broker.account.clock_ns, config.speed, monotonic_ns)
            self.timeline = RealTime(self.market, self.broker, pending, running)
        self.rates = RateHistory(self.market, self.timeline, clock)
        self.selected = self.broker.in_use()
        self.books: set[str] = set()
        checks = Checks(self.broker, self.switches, self.selected)
        self.trading = Trading(
            self.broker,
            checks,
            pending,
            self.liquidity,
            self.faults,
            self.switches,
            lambda: self.timeline.now_ns,
        )
        self._trace: Trace | None = None
        self._initialized = False
        self._lost = False
        self._error = c.RES_S_OK, ERROR_TEXTS[c.RES_S_OK]
        self._script(config.faults)

    def _lose(self, error: StateError) -> None:
        """Be a crashed terminal: memory is ahead of a ledger that could not be written.

        Only another process, which reads the ledger, knows what the broker knows.
        """
        self.sever()
        _log.critical("broker_ledger_lost", error=str(error))

    def sever(self) -> None:
        """Be a terminal that this process cannot reach any more, also not by `initialize`."""
        self._lost, self._initialized = True, False
        self._error = c.RES_S_OK, ERROR_TEXTS[c.RES_S_OK]

    def _catch_up(self) -> None:
        if self.switches.connected and not self._lost:
            try:
                self.timeline.catch_up()
            except StateError as error:
                self._lose(error)

    def now_ns(self) -> int:
        """Return simulated UTC, after processing everything up to it."""
        self._catch_up()
        return self.timeline.now_ns

    def advance(self, to_ns: int) -> None:
        """Move stepped time: see SteppedTime.advance."""
        if not isinstance(self.timeline, SteppedTime):
            raise UserError("this simulated terminal runs in real time: advance needs stepped time")
        try:
            self.timeline.advance(to_ns)
        except StateError as error:
            self._lose(error)
            raise

    def set_speed(self, speed: float) -> None:
        """Set simulated seconds per second of a terminal in real time; 0 stands still."""
        if not isinstance(self.timeline, RealTime):
            raise UserError("this simulated terminal is stepped: it has no speed")
        if not 0.0 <= speed <= 1e6:
            raise UserError(f"speed {speed} is not between 0 and 1000000")
        self._catch_up()
        self.timeline.clock.set_speed(speed)

    def jump(self, to_ns: int) -> None:
        """Move the clock of a terminal in real time forward; everything up to it is processed."""
        if not isinstance(self.timeline, RealTime):
            raise UserError("this simulated terminal is stepped: advance it")
        self._catch_up()
        self.timeline.clock.jump(max(to_ns, self.timeline.now_ns))

    def _set_trace(self, *, on: bool) -> dict[str, Any]:
        """Begin to note when new minutes are shown and orders come, or end it; return the notes."""
        trace, self._trace = self._trace, Trace() if on else None
        if trace is not None:
            trace.stop(self)
        if self._trace is not None:
            self._trace.start(self)
        if trace is None:
            return {"seen_ns": [], "sent_ns": []}
        return {"seen_ns": trace.seen_ns, "sent_ns": trace.sent_ns}

    def _script(self, text: str) -> None:
        """Add the faults that a text names, and set the states; see `fault_text`."""
        script = read_faults(text)
        if script.seed is not None:
            self.faults.seed(script.seed)
        for fault in script.faults:
            self.faults.add(fault)
        self._set_switches(script.switches)

    def _set_switches(self, fields: dict[str, Any]) -> None:
        switches = _read({**msgspec.to_builtins(self.switches), **fields}, Switches)
        changed = [
            name
            for name in switches.__struct_fields__
            if getattr(switches, name) != getattr(self.switches, name)
        ]
        for name in changed:
            setattr(self.switches, name, getattr(switches, name))
        if "connected" in changed:
            if switches.connected:
                self.trading.end_lag()
            else:
                self.trading.freeze()
        if "clock_off_s" in changed:
            self._server_clock.set_off(self.timeline.now_ns, switches.clock_off_s)

    def control(self, message: dict[str, Any]) -> dict[str, Any]:
        """Obey a control message and return the state; a message not understood is a UserError."""
        match message:
            case {"op": "advance", "to_ns": int(to_ns)}:
                self.advance(to_ns)
            case {"op": "jump", "to_ns": int(to_ns)}:
                self.jump(to_ns)
            case {"op": "trace", "on": bool(on)}:
                return {**self.state(), "trace": self._set_trace(on=on)}
            case {"op": "set_speed", "speed": int() | float() as speed}:
                self.set_speed(speed)
            case {"op": "set_fault", **fields}:
                self.faults.add(_read(fields, Fault))
            case {"op": "script", "text": str(text)}:
                self._script(text)
            case {"op": "end_lag"}:
                self.trading.end_lag()
            case {"op": "clear_faults"}:
                self.faults.clear()
            case {"op": "set_switches", **fields}:
                self._set_switches(fields)
            case {"op": "state"}:
                pass
            case _:
                raise UserError(f"simulated terminal: control message not understood: {message}")
        return self.state()

    def state(self) -> dict[str, Any]:
        """Return time, speed and what is scripted, as plain values.

        `speed` is 0.0 for stepped time; `next_open_ns` None when the data has ended.
        """
        now_ns = self.now_ns()
        timeline = self.timeline
        return {
            "now_ns": now_ns,
            "stepped": isinstance(timeline, SteppedTime),
            "speed": timeline.clock.speed if isinstance(timeline, RealTime) else 0.0,
            "next_open_ns": self.market.next_open_ns(now_ns + 1),
            "n_positions": len(self.broker.positions),
            "balance_ccy": self.broker.account.balance_ccy,
            "switches": msgspec.to_builtins(self.switches),
            "faults": msgspec.to_builtins(self.faults.pending()),
        }

    def close(self) -> None:
        """Write the clock and release the ledger."""
        self.broker.save_clock(self.timeline.now_ns)
        self.broker.close()


def _read(fields: dict[str, Any], kind: type[Any]) -> Any:
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise UserError(f"simulated terminal: {kind.__name__}: {error}") from None
