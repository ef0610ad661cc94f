"""Why no entry is sent is told once, and shown as long as it lasts."""

from engine.model.broker import MarketUpdate
from engine.runtime.engine import Engine
from engine.settings.settings import load_settings

DOUBT = "server clock is UTC+3 h"


def update(doubt: str, *, connected: bool = True) -> MarketUpdate:
    return MarketUpdate(market_ns=1, batch_ns=0, quotes=[], connected=connected, doubt=doubt)


def test_a_doubt_is_an_event_when_it_comes_and_when_it_goes() -> None:
    """Heartbeats repeat it; the operator reads it once. A lost host says nothing about it."""
    engine = Engine(load_settings(mode="demo"))
    for message in (
        update(""),
        update(DOUBT),
        update(DOUBT),
        update("", connected=False),
        update(DOUBT),
        update(""),
    ):
        engine._see(message)
    told = [(e.level, e.text) for e in engine.events.newest() if "clock" in e.text]
    assert told == [("warning", f"no entries: {DOUBT}"), ("info", "server clock measured")]
