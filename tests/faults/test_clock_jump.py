"""The server's clock jumps under a whole running engine: doubt lets nothing in, and passes."""

import time
from collections.abc import Callable

import pytest

from engine.control.client import ControlClient, new_command
from engine.model.broker import BrokerDeal, OrderRequest
from engine.model.errors import NotSent
from engine.model.times import NS_PER_MINUTE
from engine.runtime.engine import Engine
from engine.settings.settings import load_settings
from tests.faults.bench import SCRIPTED
from tests.faults.engine_process import DEADLINE_S, demo_home, running
from tests.faults.scripted import code_of

HELD = f"""
[[strategy]]
name = "held"
kind = "scripted"
symbol = "EURUSD"
sizing = {{ method = "fixed_lots", lots = 0.1 }}
params = {{ plan = {code_of("L")} }}
"""
FLIPS = """
[[strategy]]
name = "{symbol}-{fast}"
kind = "ma_cross"
symbol = "{symbol}"
params = {{ fast = {fast}, slow = {slow}, stop_points = 60, target_points = 60 }}
sizing = {{ risk_frac = 0.0002 }}
"""
ENTRY = OrderRequest(symbol="EURUSD", direction=1, lots=0.1, price=1.1, magic=1, comment="x")


def until(what: str, found: Callable[[], object]) -> None:
    """Look until something has come about."""
    end_s = time.monotonic() + DEADLINE_S
    while not found():
        assert time.monotonic() < end_s, f"never {what}"
        time.sleep(0.02)


def deals(engine: Engine) -> list[BrokerDeal]:
    """The broker's trading deals, by its own word."""
    assert engine._gateway is not None
    return [d for d in engine._gateway.deals(0) if d.direction]


def entries(engine: Engine) -> int:
    return sum(d.entry == 0 for d in deals(engine))


def last_batch_ns(engine: Engine) -> int:
    assert engine._trader is not None
    return int(engine._trader.core.account[0]["batch_ns"])


@pytest.mark.timeout(300)
def test_a_clock_that_jumps_stops_entries_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is off the rule nothing enters and a kill closes; measured well, entries go on."""
    flips = [
        FLIPS.format(symbol=symbol, fast=fast, slow=3 * fast)
        for symbol in ("GBPUSD", "USDJPY", "AUDUSD")
        for fast in (2, 3)
    ]
    with demo_home("".join([HELD, *flips])):
        monkeypatch.setenv("PMPRO_DEMO__SPEED", "120")
        with running(Engine(load_settings(mode="demo"), files=[SCRIPTED])) as engine:
            assert engine._gateway is not None

            def doubt() -> str:
                view = engine.snapshot().terminal
                return "" if view is None else view.doubt

            def owners() -> list[str]:
                return [p.owner for p in engine.snapshot().positions]

            def market_ns() -> int:
                return engine.snapshot().market_ns

            until("in the market", lambda: "held" in owners() and entries(engine) >= 3)
            engine.simulate({"op": "set_switches", "clock_off_s": 3600})
            until("in doubt", lambda: "set terminal.server_clock" in doubt())
            before, since_ns = entries(engine), market_ns()
            batch_ns = last_batch_ns(engine)
            with pytest.raises(NotSent, match=r"set terminal\.server_clock"):
                engine._gateway.send(ENTRY)
            until("later", lambda: market_ns() > since_ns + 4 * NS_PER_MINUTE)
            with ControlClient(engine.settings.socket_path) as client:
                client.send(new_command("kill", "held", now_ns=time.time_ns))
            until("closed", lambda: "held" not in owners())
            assert doubt()
            assert (entries(engine), last_batch_ns(engine)) == (before, batch_ns)

            engine.simulate({"op": "set_switches", "clock_off_s": 0})
            until("measured", lambda: not doubt())
            until("entered again", lambda: entries(engine) > before)
            seen = engine.snapshot()
            assert seen.state == "ACTIVE"
            assert [e for e in seen.events if e.level == "critical"] == []
            said = [e.text for e in seen.events if e.source == "terminal"]
            assert "server clock measured" in said
