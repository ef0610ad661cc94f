"""No request leaves that the simulated terminal's rules would refuse."""

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.broker import OrderRequest, OrderResult
from engine.model.errors import NotSent
from engine.terminal.host import trading
from engine.terminal.host.loading import LoadedTerminal
from engine.terminal.host.session import TerminalSession
from engine.terminal.protocol import HostConfig
from engine.terminal.simulated.module import constants as c
from tests.terminal.simulated.worlds import EUR, flat, make_bars, make_terminal, minute

BID, ASK, POINT = 1.1, 1.1001, 1e-5
FOK, IOC = 1, 2  # of the bitmask, which has no constants in the module
TAKEN = {c.TRADE_RETCODE_DONE, c.TRADE_RETCODE_DONE_PARTIAL, c.TRADE_RETCODE_NO_CHANGES}
# What only the broker can know at the moment it executes, or `order_check` before: not rules of
# the symbol.
OF_THE_MOMENT = {
    c.TRADE_RETCODE_NO_MONEY,
    c.TRADE_RETCODE_MARKET_CLOSED,
    c.TRADE_RETCODE_REQUOTE,
    c.TRADE_RETCODE_POSITION_CLOSED,
}

lots = st.one_of(
    st.sampled_from([0.5, 1.0]),
    st.sampled_from([0.5, 1.0]),
    st.integers(0, 80).map(lambda n: float(n * Decimal("0.05"))),
    st.floats(0, 5, allow_nan=False),
)
points = st.one_of(st.just(0), st.integers(100, 400), st.integers(-40, 120))
levels = st.one_of(st.just(0.0), st.floats(1.05, 1.15))


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, Any]:
    """What a broker may ask for."""
    wishes = {
        "execution": st.sampled_from(["market", "instant", "request", "exchange"]),
        "filling_mode": st.integers(0, 7),
        "freeze_level_points": st.sampled_from([0.0, 5.0, 50.0]),
        "volume_limit_lots": st.sampled_from([0.0, 1.0, 2.5]),
    }
    spec = {
        "volume_min_lots": draw(st.sampled_from([0.05, 0.1, 1.0])),
        "volume_step_lots": draw(st.sampled_from([0.05, 0.1, 0.25])),
        "volume_max_lots": draw(st.sampled_from([1.0, 3.0])),
        "stops_level_points": float(draw(st.sampled_from([0, 10, 100]))),
    }
    return {
        "spec": spec,
        "account": {"hedging": draw(st.booleans())},
        "mode": draw(st.sampled_from([0, 1, 2, 3, 4, 4, 4, 4])),
        **{name: draw(wish) for name, wish in wishes.items()},
    }


@st.composite
def orders(draw: st.DrawFn) -> OrderRequest:
    direction = draw(st.sampled_from([1, -1]))
    price = ASK if direction > 0 else BID
    stop, target = draw(points), draw(points)
    return OrderRequest(
        symbol=EUR,
        direction=direction,
        lots=draw(lots),
        price=price + draw(st.sampled_from([0.0, 0.0, 3e-6, 5e-5])),
        magic=7,
        comment="pm1",
        stop=price - direction * (stop + draw(st.floats(0, 1))) * POINT if stop else 0.0,
        target=price + direction * (target + draw(st.floats(0, 1))) * POINT if target else 0.0,
    )


changes = st.tuples(levels, levels)


class Broker:
    """A session on a simulated terminal that remembers what it answered."""

    def __init__(self, world: dict[str, Any], *, checked: bool) -> None:
        config = {name: value for name, value in world.items() if name != "mode"}
        self.terminal = make_terminal({EUR: make_bars(flat(BID))}, **config)
        self.terminal.advance(minute(5))
        self.terminal.control({"op": "set_switches", "trade_modes": {EUR: world["mode"]}})
        host = HostConfig(module="simulated", lock_path="", login=1_000_001, stepped=True)
        loaded = LoadedTerminal(self.terminal, now_ns=self.terminal.now_ns, control=None)
        self.session = TerminalSession(loaded, host)
        self.session.connect()
        self.checked = checked
        self.answers: list[OrderResult] = []

    def send(self, order: OrderRequest) -> None:
        self._pass(lambda: trading.prepare_send(self.session, order, checked=self.checked))

    def modify(self, ticket: int, stop: float, target: float) -> None:
        self._pass(lambda: trading.prepare_modify(self.session, EUR, ticket, stop, target))

    def _pass(self, prepare: Any) -> None:
        try:
            prepared = prepare()
        except NotSent:
            return
        if not isinstance(prepared, dict):
            return
        answer = trading.send(self.session, prepared)
        # A close is always tried; without the terminal's own check also inside the freeze level.
        is_close = "volume" in prepared and "position" in prepared
        if self.checked or not is_close or answer.retcode != c.TRADE_RETCODE_FROZEN:
            self.answers.append(answer)

    def close(self, ticket: int, share: float) -> None:
        for position in self.session.positions():
            if position.ticket == ticket:
                self.send(
                    OrderRequest(
                        symbol=EUR,
                        direction=-position.direction,
                        lots=position.lots * share,
                        price=BID if position.direction > 0 else ASK,
                        magic=7,
                        comment="pm2",
                        position=ticket,
                    )
                )


@settings(deadline=None, max_examples=400)
@given(
    worlds(),
    st.booleans(),
    st.lists(st.one_of(orders(), changes, st.sampled_from([0.5, 1.0])), min_size=1, max_size=8),
)
def test_nothing_leaves_that_the_rules_refuse(
    world: dict[str, Any], checked: bool, steps: list[Any]
) -> None:
    """Entries, changes of levels and closes of any size and price, under any rules of a symbol:
    what is sent is taken. Without the terminal's own check only what it alone can know remains."""
    broker = Broker(world, checked=checked)
    for step in steps:
        tickets = [position.ticket for position in broker.session.positions()]
        if isinstance(step, OrderRequest):
            broker.send(step)
        elif isinstance(step, tuple) and tickets:
            broker.modify(tickets[-1], *step)
        elif isinstance(step, float) and tickets:
            broker.close(tickets[0], step)
    allowed = TAKEN if checked else TAKEN | OF_THE_MOMENT
    if not checked and not world["filling_mode"] & (FOK | IOC):
        allowed |= {c.TRADE_RETCODE_INVALID_FILL}  # it says that it takes nothing
    assert [a for a in broker.answers if a.retcode not in allowed] == []
